"""Where answers come from, with secrets that age has encrypted; the box is a folder, age is the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.host import age
from hardware.host.errors import Refused
from installer.apply import answers, device
from installer.apply.boot import boot
from installer.apply.places import Stage
from tests.ovf import TYPED, environment
from tests.unit.installer.apply.conftest import ANSWERS, PASSWORD, SECRETS, Lab


@pytest.fixture
def media(lab: Lab) -> Path:
    """What a volume holds, once it is mounted; the lab's mount does nothing."""
    folder = lab.places.run / "media"
    folder.mkdir(parents=True)
    return folder


def put_in(lab: Lab, name: str) -> None:
    path = lab.root / "dev" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def sealed(lab: Lab) -> str:
    """The secrets, encrypted to the box."""
    device.prepare(lab.places, "postern")
    return age.seal(SECRETS, [answers.recipient(lab.places)])


def password(lab: Lab) -> str:
    """The administrator's, as the answers that wait for the box have it."""
    found = answers.find(lab.places)
    assert found
    assert PASSWORD not in repr(found)
    _, secrets = found.parse(lab.places)
    assert secrets.admin
    assert secrets.admin.password
    return secrets.admin.password.get_secret_value()


@pytest.mark.parametrize("name", ["secrets.yaml", "secrets.yaml.age"])
def test_a_volume_with_secrets_for_this_box_alone(lab: Lab, media: Path, name: str) -> None:
    put_in(lab, "disk/by-label/POSTERN")
    (media / "answers.yaml").write_text(ANSWERS)
    (media / name).write_text(sealed(lab))
    assert password(lab) == PASSWORD


def test_secrets_for_another_box_say_whose_they_should_be(lab: Lab, media: Path) -> None:
    """Beside what is wrong with the settings, all at once."""
    device.prepare(lab.places, "postern")
    ours = answers.recipient(lab.places)
    put_in(lab, "disk/by-label/POSTERN")
    (media / "answers.yaml").write_text(ANSWERS.replace("mode: gateway", "mode: gatway"))
    (media / "secrets.yaml").write_text(age.seal(SECRETS, [age.make_key()[1]]))
    assert boot(lab.places, print) is Stage.FACTORY
    told = lab.places.answers_problems.read_text()
    assert "gatway" in told
    assert f"secrets.yaml: is encrypted, but not to this key (this box opens what is encrypted to {ours})" in told


def test_a_credential_may_be_encrypted_too(lab: Lab) -> None:
    lab.places.credentials.mkdir(parents=True)
    (lab.places.credentials / "postern.answers").write_text(ANSWERS)
    (lab.places.credentials / "postern.secrets").write_text(sealed(lab))
    assert password(lab) == PASSWORD


def test_the_hypervisors_form_makes_the_answers(lab: Lab, media: Path) -> None:
    put_in(lab, "sr0")
    (media / "ovf-env.xml").write_text(environment(**TYPED))
    found = answers.find(lab.places)
    assert found
    settings, secrets = found.parse(lab.places)
    assert settings.mailhost.fqdn == "mx1.mail.example.org"
    assert secrets.shadow_field == TYPED["password_hash"]
    (mount,) = lab.calls("mount")
    assert "-t iso9660,udf -o ro,nosuid,noexec,nodev" in mount
    assert lab.calls("umount") == [f"umount {media}"]


def test_a_drive_without_a_disc_or_with_another_one_is_passed_over(lab: Lab, media: Path) -> None:
    put_in(lab, "sr0")
    assert answers.find(lab.places) is None
    (media / "ovf-env.xml").write_text(environment(**TYPED))
    lab.break_("mount")
    assert answers.find(lab.places) is None


def test_a_labelled_volume_goes_before_the_form(lab: Lab, media: Path) -> None:
    put_in(lab, "sr0")
    put_in(lab, "disk/by-label/POSTERN")
    (media / "answers.yaml").write_text(ANSWERS)
    (media / "ovf-env.xml").write_text("nobody reads this")
    found = answers.find(lab.places)
    assert found
    assert found.settings == ANSWERS


def test_what_is_wrong_in_the_form_is_said_by_its_settings_path(lab: Lab, media: Path) -> None:
    put_in(lab, "sr0")
    (media / "ovf-env.xml").write_text(environment(**(TYPED | {"address": "192.0.2.10", "password_hash": PASSWORD})))
    found = answers.find(lab.places)
    assert found
    with pytest.raises(Refused) as refused:
        found.parse(lab.places)
    told = str(refused.value)
    assert "OVF environment (ovf-env.xml): network.ports.port1.addresses.0: " in told
    assert "password_hash is not a hash" in told
    assert PASSWORD not in told
