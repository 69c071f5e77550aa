"""What reaches a file, and what never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hardware import profile
from overlays import overlay, render
from overlays.settings import Secrets, parse_answers, parse_secrets

ANSWERS = Path(__file__).parents[2] / "answers"
PROFILE = profile.load("fortimail-100")
SETTINGS = parse_answers((ANSWERS / "gateway.yaml").read_text(encoding="utf-8"), "gateway.yaml")
SECRETS = parse_secrets((ANSWERS / "secrets.yaml").read_text(encoding="utf-8"), "secrets.yaml")


@pytest.fixture
def concern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder of one concern, and how to put files into its rootfs."""

    def put(path: str, text: str, says: str = "format: 1\n") -> None:
        file = tmp_path / "demo/rootfs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        (tmp_path / "demo/overlay.yaml").write_text(says, encoding="utf-8")
        overlay.overlays.cache_clear()

    for module in (overlay, render):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    yield put
    overlay.overlays.cache_clear()


def test_boot_and_build_share_no_file() -> None:
    boot, build = render.render_boot(SETTINGS, SECRETS, PROFILE), render.render_build({"version": "1.2.3"})
    assert all(path.startswith("etc/") for path in boot)
    assert not any(path.startswith("etc/") for path in build)


def test_a_misspelt_name_is_an_error(concern: Any) -> None:
    concern("etc/a.j2", "{{ mailhost.fqnd }}")
    with pytest.raises(Exception, match="fqnd") as error:
        render.render_boot(SETTINGS, SECRETS, PROFILE)
    assert "etc/a.j2" in "".join(error.value.__notes__)


def test_no_value_starts_a_line_of_its_own(concern: Any) -> None:
    sly = SETTINGS.mailhost.model_copy(update={"local_domain": "x\nsmtpd_relay_restrictions = permit"})
    concern("etc/a.j2", "{{ mailhost.local_domain }}")
    with pytest.raises(ValueError, match=r"U\+000A"):
        render.render_boot(SETTINGS.model_copy(update={"mailhost": sly}), SECRETS, PROFILE)


def test_a_port_in_a_path_makes_a_file_for_every_port(concern: Any) -> None:
    concern("etc/{port}.j2", "{{ port.name }} {{ port.activation }}\n")
    files = render.render_boot(SETTINGS, SECRETS, PROFILE)
    assert {path: file.text for path, file in files.items()} == {
        "etc/port1": "port1 up\n",
        "etc/port2": "port2 up\n",
        "etc/port3": "port3 always-down\n",
        "etc/port4": "port4 always-down\n",
    }


def test_overlay_says_owner_mode_link_and_factory(concern: Any) -> None:
    says = """
format: 1
factory: [etc/a]
files: {etc/a: {mode: "0640", owner: postfix, group: shadow}}
links: {etc/l: "/usr/{{ mailhost.host_name }}"}
"""
    concern("etc/a", "plain {{ text }}\n", says)
    concern("etc/b", "", says)
    files = render.render_boot(SETTINGS, SECRETS, PROFILE)
    assert files["etc/a"] == render.RenderedFile("plain {{ text }}\n", 0o640, "postfix", "shadow")
    assert files["etc/l"] == render.RenderedFile("", 0o777, link_target="/usr/mx1")
    assert set(render.render_boot(None, None, PROFILE)) == {"etc/a"}


def test_build_templates_know_only_what_the_build_says(concern: Any) -> None:
    concern("usr/lib/version.j2", "{{ version }}\n")
    assert render.render_build({"version": "1.2"})["usr/lib/version"].text == "1.2\n"
    with pytest.raises(Exception, match="version"):
        render.render_build({})


def test_a_service_runs_only_where_a_port_lets_it_in() -> None:
    def units(allow: str) -> set[str]:
        text = f"""
format: 1
mode: gateway
network: {{ports: {{port1: {{addresses: [192.0.2.10/24], allow: {allow}}}}}}}
mailhost: {{host_name: mx1, local_domain: example.org}}
"""
        return {service.unit for service in render.services(parse_answers(text, "answers.yaml"))}

    assert units("[smtp, ssh]") - units("[smtp]") == {"ssh.service"}
    assert units("[smtp]") < set(render.all_units())


def test_rules_and_network_come_before_what_listens() -> None:
    units = [service.unit for service in render.services(SETTINGS)]
    assert units[:2] == ["systemd-networkd.service", "nftables.service"]
    assert "postfix.service" in units[2:]


def test_a_check_is_told_where_the_files_are() -> None:
    check = overlay.Check(argv=("nft", "-cf", "{root}/etc/nftables.conf"))
    assert check.command(Path("/run/candidate")) == ["nft", "-cf", "/run/candidate/etc/nftables.conf"]
    assert check.command(Path("/")) == ["nft", "-cf", "/etc/nftables.conf"]


def test_the_password_hash_reaches_two_private_files_and_nothing_else() -> None:
    assert SECRETS.admin is not None
    assert SECRETS.admin.password_hash is not None
    secret = SECRETS.admin.password_hash.get_secret_value()
    files = render.render_boot(SETTINGS, SECRETS, PROFILE)
    found = {path: file.mode for path, file in files.items() if secret in file.text}
    assert found == {"etc/postern/quarantine-admin": 0o600, "etc/shadow": 0o640}


def test_password_login_over_ssh_needs_a_password() -> None:
    files = render.render_boot(SETTINGS, Secrets(format=1), PROFILE)
    assert "\nPasswordAuthentication no\n" in files["etc/ssh/sshd_config"].text
    assert "\nadmin:*:::::::\n" in files["etc/shadow"].text
