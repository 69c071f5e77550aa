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
filtering: {incoming: {antispam: "off", antivirus: false}, outgoing: {antivirus: false}}
"""
SECRETS = f"format: 1\nadmin: {{password: {PASSWORD}}}\n"
# Runs in the box: stores sixty generations more of what is in force, and applies none.
_MANY = """
import sys
sys.path.insert(0, "/usr/lib/postern")
from installer.apply.places import Places
from installer.apply.store import Store
store = Store(Places())
now = store.load(store.current())
for number in range(60):
    store.add(*now, reason=f"one of many: {number}")
"""
OTHER = ANSWERS.replace("192.0.2.25", "192.0.2.26")
WITH_SSH = ANSWERS.replace("smtp]", "smtp, ssh]")


@pytest.fixture(scope="module")
def fresh(root: Path) -> Iterator[Box]:
    """A box that nobody has set up; the tests here are its life, in their order."""
    with segments(1, "ap") as nets, box(root, nets) as made:
        made.start(stage="factory")
        yield made
        made.require_well(PASSWORD, PASSWORD.replace("12", "13"))


def apply(of: Box, answers: str, secrets: str = "", *words: str, check: bool = True) -> Completed:
    """`postern setup` with an answer file."""
    given = ["--answers", "/run/a.yaml"] + (["--secrets", "/run/s.yaml"] if secrets else [])
    of.path("run/a.yaml").write_text(answers)
    of.path("run/s.yaml").write_text(secrets)
    return of.run("postern", "setup", *given, "--confirm-within", "0", *words, check=check)


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
    theirs = [
        "postfix.service",
        "dovecot.service",
        "ssh.service",
        "chrony.service",
        "nftables.service",
        "getty@tty1.service",
    ]
    said = fresh.run("systemd-analyze", "verify", "--man=no", *ours, *theirs, check=False)
    assert said.stderr == ""
    assert said.status == 0
    for unit in ("postfix.service", "dovecot.service"):
        exposed = fresh.run("systemd-analyze", "security", "--no-pager", unit, check=False).stdout
        (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", exposed)
        assert float(level) <= 4.0, exposed


def test_wrong_settings_change_nothing(fresh: Box) -> None:
    before = etc(fresh)
    wrong = ANSWERS.replace("port1:", "port7:").replace("192.0.2.25", "192.0.2.10").replace("host_name: mx1", "{LONG}")
    wrong = wrong.replace("{LONG}", f"host_name: {'x' * 60}")
    for how in ((), ("--check",)):
        refused = apply(fresh, wrong, SECRETS, *how, check=False)
        assert refused.status == 2
        for path in ("network.ports.port7", "mailhost.host_name", "domains.0.server"):
            assert f": {path}: " in refused.stderr
    assert status(fresh)["stage"] == "factory"
    assert status(fresh)["generation"] is None
    assert etc(fresh) == before
    assert listening(fresh) == []


def test_into_service(fresh: Box) -> None:
    apply(fresh, ANSWERS, SECRETS)
    assert listening(fresh) == ["127.0.0.1:10026", "127.0.0.1:25", "192.0.2.10:25"]
    assert fresh.run("hostname").stdout.strip() == "mx1"
    assert "dport 25" in fresh.run("nft", "list", "ruleset").stdout


def test_only_what_changed_is_touched(fresh: Box) -> None:
    before = lives(fresh)
    for answers, secrets, actions in (
        (ANSWERS, "", "nothing to do"),
        (OTHER, "", "reloaded postfix"),
        (OTHER, SECRETS.replace("12", "13"), "nothing to do"),
    ):
        assert did(apply(fresh, answers, secrets)) == actions
        assert lives(fresh) == before
    assert "192.0.2.26" in fresh.path("etc/postfix/transport").read_text()


def test_what_is_needed_is_started_and_stopped_and_nothing_else(fresh: Box) -> None:
    with_ssh = OTHER.replace("smtp]", "smtp, ssh]")
    two_addresses = with_ssh.replace("192.0.2.10/24", "192.0.2.10/24, 192.0.2.11/24")
    for answers, actions, touched, addresses in (
        (with_ssh, "started ssh; reloaded nftables", {"ssh"}, 1),
        (two_addresses, "restarted systemd-networkd, ssh; reloaded postfix", {"systemd-networkd", "ssh"}, 2),
        (with_ssh, "restarted systemd-networkd, ssh; reloaded postfix", {"systemd-networkd", "ssh"}, 1),
        (OTHER, "reloaded nftables; stopped ssh", set(), 0),
    ):
        before = lives(fresh)
        assert did(apply(fresh, answers)) == actions
        assert {unit for unit, life in lives(fresh).items() if life and life != before[unit]} == touched
        assert len([one for one in listening(fresh) if re.match(r"192.*:22$", one)]) == addresses
        assert len([one for one in listening(fresh) if re.match(r"192.*:25$", one)]) == max(1, addresses)


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
    assert listening(fresh) == ["127.0.0.1:10026", "127.0.0.1:25", "192.0.2.10:25"]


def test_all_of_etc_is_the_same_after_a_restart(fresh: Box) -> None:
    before = etc(fresh)
    key = fresh.path("var/lib/postern/device/ssh/ssh_host_ed25519_key").read_text()
    fresh.stop()
    fresh.start()
    fresh.run("systemctl", "is-system-running", "--wait", check=False)
    assert etc(fresh) == before
    assert fresh.path("var/lib/postern/device/ssh/ssh_host_ed25519_key").read_text() == key
    assert listening(fresh) == ["127.0.0.1:10026", "127.0.0.1:25", "192.0.2.10:25"]


def test_back_to_an_earlier_generation(fresh: Box) -> None:
    fresh.run("postern", "settings", "rollback", "1")
    assert "192.0.2.25" in fresh.path("etc/postfix/transport").read_text()
    history = json.loads(fresh.run("postern", "settings", "history", "--json").stdout)
    assert history[0]["reason"] == "back to generation 1"
    assert [one["verdict"] for one in history if one["verdict"] != "good"] == ["failed"]
    assert [one["number"] for one in history if one["current"]] == [len(history)]


def etc(of: Box) -> dict[str, str]:
    """All of /etc: each path with its kind, mode and owner, and its text or target."""
    script = """
import json, os
from pathlib import Path
found = {}
for path in sorted(Path("/etc").rglob("*")):
    status = path.lstat()
    text = os.readlink(path) if path.is_symlink() else path.read_text(errors="replace") if path.is_file() else ""
    found[str(path)] = f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {text}"
print(json.dumps(found))
"""
    found: dict[str, str] = json.loads(of.run("python3", "-I", "-c", script).stdout)
    return found


def lives(of: Box) -> dict[str, str]:
    """Each daemon's invocation: another one after a restart, the same after a reload."""
    units = ("postfix", "ssh", "nftables", "systemd-networkd")
    said = of.run("systemctl", "show", "--property=InvocationID", *units).stdout
    return dict(zip(units, re.findall("^InvocationID=(.*)$", said, re.MULTILINE), strict=True))


def did(done: Completed) -> str:
    """What an apply says that it did, but for chrony: a container has no clock and keeps it off each time."""
    said = done.stdout.strip().partition("is in force: ")[2].removesuffix(".")
    return re.sub("started chrony(; |$)|chrony, ", "", said) or "nothing to do"
