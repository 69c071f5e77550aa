"""Settings into service on the real root: closed before, only what changed after, back when it does not get well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hardware.host.run import Completed
from tests.container.box import Box, box
from tests.container.network import segments

PASSWORD = "Heron-stands~12-tall"
ANSWERS = """
format: 1
mode: gateway
network:
  ports:
    port1: {addresses: [192.0.2.10/24], allow: [ping, smtp]}
mailhost: {host_name: mx1, local_domain: example.org}
domains:
  - {name: example.com, server: 192.0.2.25}
"""
SECRETS = f"format: 1\nadmin: {{password: {PASSWORD}}}\n"
WITH_SSH = ANSWERS.replace("smtp]", "smtp, ssh]")


@pytest.fixture(scope="module")
def fresh(root: Path) -> Iterator[Box]:
    """A box that nobody has set up; the tests here are its life, in their order."""
    with segments(1, "ap") as nets, box(root, nets) as made:
        made.start(stage="factory")
        yield made
        made.require_well(PASSWORD)


def apply(of: Box, answers: str, secrets: str = "", *words: str, check: bool = True) -> Completed:
    """`postern setup` with an answer file."""
    given = ["--answers", "/run/a.yaml"] + (["--secrets", "/run/s.yaml"] if secrets else [])
    of.path("run/a.yaml").write_text(answers)
    of.path("run/s.yaml").write_text(secrets)
    return of.run("postern", "setup", *given, *words, check=check)


def status(of: Box) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of.run("postern", "status", "--json").stdout)
    return found


def listening(of: Box) -> list[str]:
    """Every address and port that takes connections or datagrams."""
    return sorted(line.split()[4] for line in of.run("ss", "-Hltun").stdout.splitlines())


def test_closed_before_its_setup(fresh: Box) -> None:
    assert listening(fresh) == []
    rules = fresh.run("nft", "list", "ruleset").stdout
    assert "policy drop" in rules
    assert "dport" not in rules
    assert status(fresh)["ports"][0]["addresses"] == ["192.168.1.99/24"]
    assert status(fresh)["services"]["postfix"] == "off"


def test_units_are_as_systemd_likes_them(fresh: Box) -> None:
    ours = ["postern.service", "postern-ports.service", "postern-fence.service", "postern-answers.service"]
    theirs = ["postfix.service", "ssh.service", "chrony.service", "nftables.service", "getty@tty1.service"]
    said = fresh.run("systemd-analyze", "verify", "--man=no", *ours, *theirs, check=False)
    assert said.stderr == ""
    assert said.status == 0
    exposed = fresh.run("systemd-analyze", "security", "--no-pager", "postfix.service", check=False).stdout
    (level,) = re.findall(r"Overall exposure level for postfix.service: ([0-9.]+)", exposed)
    assert float(level) <= 4.0


def test_wrong_settings_change_nothing(fresh: Box) -> None:
    refused = apply(
        fresh, ANSWERS.replace("port1:", "port7:").replace("192.0.2.25", "192.0.2.10"), SECRETS, check=False
    )
    assert refused.status == 2
    assert len(refused.stderr.strip().splitlines()) >= 2
    assert status(fresh)["stage"] == "factory"
    assert status(fresh)["generation"] is None


def test_into_service(fresh: Box) -> None:
    apply(fresh, ANSWERS, SECRETS)
    assert listening(fresh) == ["127.0.0.1:25", "192.0.2.10:25"]
    assert fresh.run("hostname").stdout.strip() == "mx1"
    assert "dport 25" in fresh.run("nft", "list", "ruleset").stdout


def test_only_what_changed_is_touched(fresh: Box) -> None:
    before = fresh.run("systemctl", "show", "--property=MainPID,NRestarts", "postfix", "systemd-networkd").stdout
    done = apply(fresh, ANSWERS.replace("192.0.2.25", "192.0.2.26"))
    assert "reloaded postfix" in done.stdout
    assert "restarted" not in done.stdout
    assert (
        fresh.run("systemctl", "show", "--property=MainPID,NRestarts", "postfix", "systemd-networkd").stdout == before
    )
    assert "192.0.2.26" in fresh.path("etc/postfix/transport").read_text()


def test_what_does_not_get_well_is_taken_back(fresh: Box) -> None:
    broken = fresh.path("run/systemd/system/ssh.service.d/broken.conf")
    broken.parent.mkdir(parents=True)
    broken.write_text("[Service]\nExecStart=\nExecStart=/usr/bin/false\n")
    fresh.run("systemctl", "daemon-reload")
    before = status(fresh)["generation"]
    refused = apply(fresh, WITH_SSH, check=False)
    broken.unlink()
    fresh.run("systemctl", "daemon-reload")
    fresh.run("systemctl", "reset-failed")
    assert refused.status == 2
    assert f"generation {before} is in force" in refused.stderr
    assert status(fresh)["generation"] == before
    assert "192.0.2.26" in fresh.path("etc/postfix/transport").read_text()
    assert not fresh.path("etc/ssh/sshd_config").read_text().count("192.0.2.10")
    assert listening(fresh) == ["127.0.0.1:25", "192.0.2.10:25"]


def test_the_same_after_a_restart(fresh: Box) -> None:
    rendered = etc(fresh)
    key = fresh.path("var/lib/postern/device/ssh/ssh_host_ed25519_key").read_text()
    fresh.stop()
    fresh.start()
    fresh.run("systemctl", "is-system-running", "--wait", check=False)
    assert etc(fresh) == rendered
    assert fresh.path("var/lib/postern/device/ssh/ssh_host_ed25519_key").read_text() == key
    assert listening(fresh) == ["127.0.0.1:25", "192.0.2.10:25"]


def test_back_to_an_earlier_generation(fresh: Box) -> None:
    fresh.run("postern", "settings", "rollback", "1")
    assert "192.0.2.25" in fresh.path("etc/postfix/transport").read_text()
    history = json.loads(fresh.run("postern", "settings", "history", "--json").stdout)
    assert history[0]["reason"] == "back to generation 1"
    assert [one["verdict"] for one in history] == ["good", "failed", "good", "good"]


def etc(of: Box) -> dict[str, str]:
    """Every file that was rendered."""
    names = json.loads(of.path("run/postern/rendered.json").read_text())
    return {name: of.run("cat", f"/etc/{name.removeprefix('etc/')}").stdout for name in names}
