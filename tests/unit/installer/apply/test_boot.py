"""Each start of the box."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.host.errors import refuse
from hardware.host.log import Steps
from installer.apply import boot as booting
from installer.apply import plan
from installer.apply.boot import boot
from installer.apply.pipeline import apply
from installer.apply.places import Stage
from installer.apply.store import Store, Verdict
from overlays.settings import Secrets, Settings
from tests.unit.installer.apply.conftest import ANSWERS, PASSWORD, SECRETS, Lab


@pytest.fixture(autouse=True)
def quick(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The box of the lab, whoever makes it: its probes and its patience."""
    monkeypatch.setattr(booting, "Box", lambda places, profile: lab.box)


def put_credentials(lab: Lab, answers: str, secrets: str = "") -> None:
    lab.places.credentials.mkdir(parents=True)
    (lab.places.credentials / "postern.answers").write_text(answers)
    if secrets:
        (lab.places.credentials / "postern.secrets").write_text(secrets)


def test_a_new_box_waits_for_its_setup(lab: Lab) -> None:
    said: list[str] = []
    assert boot(lab.places, said.append) is Stage.FACTORY
    assert lab.active() - {"systemd-udev-trigger"} == {"systemd-networkd"}
    assert "192.168.1.99/24" in "".join(path.read_text() for path in (lab.root / "etc/systemd/network").iterdir())
    made = {path.name for path in lab.places.device.iterdir()}
    assert made == {"age", "ssh", "tls", "certificate", "webmail", "quarantine"}
    assert lab.places.device.stat().st_mode & 0o777 == 0o711
    assert (lab.places.device / "tls/key.pem").stat().st_mode & 0o777 == 0o640


def test_another_model_is_refused(lab: Lab) -> None:
    (lab.root / "proc/cmdline").write_text("postern.profile=fortimail-100\n")
    said: list[str] = []
    assert boot(lab.places, said.append) is Stage.REFUSED
    assert "fortimail-100" in lab.places.refused.read_text()
    assert lab.places.stage() is Stage.REFUSED
    assert lab.calls("systemctl") == []
    assert list((lab.root / "etc").iterdir()) == []


def test_what_keeps_a_box_from_starting_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> Stage:
        raise refuse("cannot be", "this would be right", where="/var")

    monkeypatch.setattr(booting, "boot", refused)
    assert booting.main(tmp_path) == 2
    assert capsys.readouterr().out == "/var: cannot be (this would be right)\n"


def test_settings_are_rendered_again_and_the_keys_stay(
    lab: Lab, settings: Settings, secrets: Secrets, steps: Steps
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    rendered = (lab.root / "etc/postfix/main.cf").read_text()
    key = (lab.places.device / "ssh/ssh_host_ed25519_key").read_text()
    lab.reboot()
    lab.forget_calls()
    assert boot(lab.places, print) is Stage.IN_SERVICE
    assert (lab.root / "etc/postfix/main.cf").read_text() == rendered
    assert (lab.places.device / "ssh/ssh_host_ed25519_key").read_text() == key
    assert "postfix" in lab.active()
    assert lab.calls("postfix") == [], "what this image's parsers accepted is not read again"
    assert len([call for call in lab.calls("systemctl") if " start " in call]) == 1


def test_another_image_lets_the_parsers_read_again(
    lab: Lab, settings: Settings, secrets: Secrets, steps: Steps
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    lab.reboot()
    lab.forget_calls()
    (lab.root / "proc/cmdline").write_text("postern.profile=vm-uefi postern.force roothash=another\n")
    del lab.places.__dict__["kernel_words"], lab.places.__dict__["image"]
    assert boot(lab.places, print) is Stage.IN_SERVICE
    assert lab.calls("postfix")


def test_settings_that_this_image_cannot_take_fall_back(
    lab: Lab, settings: Settings, other: Settings, secrets: Secrets, steps: Steps
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    apply(lab.box, other, secrets, "second", steps)
    (lab.places.state / "generations/0002/settings.yaml").write_text("format: 99\n")
    lab.reboot()
    said: list[str] = []
    assert boot(lab.places, said.append) is Stage.IN_SERVICE
    assert "generation 2 cannot be used" in "\n".join(said)
    assert "example.com" in (lab.root / "etc/postfix/relay_domains").read_text()


@pytest.mark.parametrize("well", [True, False])
def test_a_generation_cut_off_by_the_power_is_judged(
    lab: Lab, settings: Settings, other: Settings, secrets: Secrets, steps: Steps, well: bool
) -> None:
    store = Store(lab.places)
    apply(lab.box, settings, secrets, "first", steps)
    store.add(settings, plan.hashed(secrets), "stored, never in force")
    store.switch(store.add(other, plan.hashed(secrets), "in force when the power went"))
    lab.reboot()
    if not well:
        lab.break_("port-25")
    said: list[str] = []
    boot(lab.places, said.append)
    current = store.current()
    assert current is not None
    assert current.number == (3 if well else 1)
    assert store.get(2).about.verdict is Verdict.FAILED
    assert store.get(3).about.verdict is (Verdict.GOOD if well else Verdict.FAILED)


def test_a_good_generation_that_is_ill_is_reported_and_kept(
    lab: Lab, settings: Settings, secrets: Secrets, steps: Steps
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    lab.reboot()
    lab.break_("port-25")
    said: list[str] = []
    assert boot(lab.places, said.append) is Stage.IN_SERVICE
    assert "port 25" in lab.places.health_problems.read_text()
    current = Store(lab.places).current()
    assert current is not None
    assert current.about.verdict is Verdict.GOOD


def test_answers_from_credentials(lab: Lab) -> None:
    put_credentials(lab, ANSWERS, SECRETS)
    said: list[str] = []
    assert boot(lab.places, said.append) is Stage.IN_SERVICE
    assert "postfix" in lab.active()
    assert PASSWORD not in "\n".join(said)
    assert lab.places.stage() is Stage.IN_SERVICE


def test_all_problems_of_answers_are_told_and_the_box_waits(lab: Lab) -> None:
    put_credentials(
        lab, ANSWERS.replace("mode: gateway", "mode: gatway").replace("server:", "sever:"), "format: 1\nadmni: {}\n"
    )
    said: list[str] = []
    assert boot(lab.places, said.append) is Stage.FACTORY
    text = lab.places.answers_problems.read_text()
    assert "gatway" in text
    assert "domains.0.sever" in text
    assert "admni" in text
    assert Store(lab.places).history() == []


def test_answers_that_get_not_well_leave_a_box_that_waits(lab: Lab) -> None:
    put_credentials(lab, ANSWERS, SECRETS)
    lab.break_("port-25")
    assert boot(lab.places, print) is Stage.FACTORY
    assert "before its set-up" in lab.places.answers_problems.read_text()
    assert Store(lab.places).current() is None


def test_a_volume_is_mounted_read_only_and_unmounted(lab: Lab) -> None:
    device = lab.root / "dev/disk/by-label/POSTERN"
    device.parent.mkdir(parents=True)
    device.touch()
    media = lab.places.run / "media"
    media.mkdir(parents=True)
    (media / "answers.yaml").write_text(ANSWERS)
    (media / "secrets.yaml").write_text(SECRETS)
    assert boot(lab.places, print) is Stage.IN_SERVICE
    (mount,) = lab.calls("mount")
    assert "ro,nosuid,noexec,nodev" in mount
    assert lab.calls("umount") == [f"umount {media}"]


@pytest.mark.parametrize(
    ("make", "message"), [("link", "cannot be read"), ("pipe", "is not a file"), ("large", "larger than")]
)
def test_a_strange_volume_is_refused(lab: Lab, make: str, message: str) -> None:
    device = lab.root / "dev/disk/by-label/POSTERN"
    device.parent.mkdir(parents=True)
    device.touch()
    file = lab.places.run / "media/answers.yaml"
    file.parent.mkdir(parents=True)
    if make == "link":
        file.symlink_to("/etc/shadow")
    elif make == "pipe":
        import os

        os.mkfifo(file)
    else:
        file.write_text("#" * (1 << 20) + "\n")
    assert boot(lab.places, print) is Stage.FACTORY
    assert message in lab.places.answers_problems.read_text()
    assert lab.calls("umount")


def test_power_goes_while_keys_are_made(lab: Lab, tmp_path: Path) -> None:
    lab.break_("nothing")
    unfinished = lab.places.device / ".ssh.new"
    unfinished.mkdir(parents=True)
    (unfinished / "ssh_host_ed25519_key").write_text("half a key")
    boot(lab.places, print)
    assert "half" not in (lab.places.device / "ssh/ssh_host_ed25519_key").read_text()
    assert not unfinished.exists()


def test_a_box_that_waits_keeps_its_slot(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(booting, "mark_slot", lambda places, say: told.append("good"))
    boot(lab.places, print)
    assert told == ["good"]


def test_settings_that_no_image_can_take_cost_the_slot(
    lab: Lab, settings: Settings, secrets: Secrets, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The box waits on its console, and the boot loader takes the other slot next time."""
    apply(lab.box, settings, secrets, "first", steps)
    (lab.places.state / "generations/0001/settings.yaml").write_text("format: 99\n")
    lab.reboot()
    monkeypatch.setattr(booting, "mark_slot", lambda places, say: pytest.fail("marked good"))
    assert boot(lab.places, print) is Stage.FACTORY
