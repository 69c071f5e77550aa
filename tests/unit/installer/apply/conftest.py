"""A box that is a folder: real settings, real files, and small programs on PATH in place of the daemons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware import profile
from hardware.host.log import Steps
from installer.apply.pipeline import Box
from installer.apply.places import Places
from overlays.overlay import Check, Probe, overlays
from overlays.settings import Secrets, Settings, parse_answers, parse_secrets

ANSWERS = """
format: 1
mode: gateway
network:
  ports:
    port1: {addresses: [192.0.2.10/24], allow: [ping, ssh, smtp]}
mailhost: {host_name: mx1, local_domain: example.org}
domains:
  - {name: example.com, server: 192.0.2.25}
filtering: {incoming: {antispam: "off", antivirus: false}, outgoing: {antivirus: false}}
"""
PASSWORD = "correct horse battery"
SECRETS = f"format: 1\nadmin: {{password: {PASSWORD}}}\n"
HASH = "$6$saltsaltsalt$" + "x" * 86

SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> {log}
for word; do case $word in -*) continue ;; esac; verb=${{verb:-$word}}; done
case $verb in
show)
    for unit; do case $unit in *.service | *.socket | *.timer)
        cat {units}/$unit 2>/dev/null || echo ActiveState=inactive; echo Id=$unit; echo ;; esac; done ;;
start | restart)
    for unit; do case $unit in *.service | *.socket | *.timer)
        if [ -e {broken}/$unit ]; then printf 'ActiveState=failed\\nResult=exit-code\\n' > {units}/$unit
        else echo ActiveState=active > {units}/$unit; fi ;; esac; done ;;
stop)
    for unit; do rm -f {units}/$unit; done ;;
esac
"""
SSH_KEYGEN = """#!/bin/sh
echo "ssh-keygen $*" >> {log}
while [ "$1" != -f ]; do shift; done
head -c 16 /dev/urandom | od -An -tx1 > "$2"; echo public > "$2.pub"
"""
OPENSSL = """#!/bin/sh
echo "openssl $*" >> {log}
case $1 in
passwd) cat > {stdin}; echo '{hash}' ;;
genpkey) head -c 16 /dev/urandom | od -An -tx1 ;;
req) echo "certificate $*" ;;
esac
"""
PLAIN = """#!/bin/sh
echo "{name} $*" >> {log}
if [ -e {broken}/{name} ]; then echo "{name}: line 3: this is wrong" >&2; exit 1; fi
"""


@dataclass(frozen=True)
class Lab:
    """The box, and how its programs are made to fail."""

    root: Path
    box: Box

    @property
    def places(self) -> Places:
        return self.box.places

    def calls(self, *beginning: str) -> list[str]:
        """The commands that were run, of those that begin so."""
        log = self.root / "fake/log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith(" ".join(beginning))]

    def forget_calls(self) -> None:
        (self.root / "fake/log").unlink(missing_ok=True)

    def break_(self, name: str) -> None:
        """From now on the program complains, or the unit does not start."""
        (self.root / "fake/broken" / name).touch()

    def mend(self, name: str) -> None:
        (self.root / "fake/broken" / name).unlink()

    def reboot(self) -> None:
        """What a reboot takes away: /run and the rendered /etc."""
        for folder in (self.places.run, self.root / "etc", self.root / "fake/units"):
            for path in sorted(folder.rglob("*"), reverse=True):
                path.unlink() if path.is_symlink() or path.is_file() else path.rmdir()

    def active(self) -> set[str]:
        folder = self.root / "fake/units"
        return {
            path.name.removesuffix(".service")
            for path in folder.iterdir()
            if path.read_text() == "ActiveState=active\n"
        }

    def everything_written(self) -> str:
        """All text below the root, the stored secrets apart, as one string."""
        texts = (
            path.read_text(errors="replace") for path in self.root.rglob("*") if path.is_file() and path.name != "stdin"
        )
        return "\n".join(texts)


_command = Check.command


def _by_name(check: Check, root: Path) -> list[str]:
    """Our own parsers have paths, at which a test must not put anything: on PATH stand their names."""
    program, *words = _command(check, root)
    return [Path(program).name, *words]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    root = tmp_path / "box"
    fake = root / "fake"
    for folder in (
        fake / "bin",
        fake / "units",
        fake / "broken",
        root / "proc",
        root / "usr/lib",
        root / "etc",
        root / "var/lib",
    ):
        folder.mkdir(parents=True)
    (root / "proc/cmdline").write_text("quiet postern.profile=vm-uefi postern.force roothash=abc123\n")
    words = {
        "log": fake / "log",
        "units": fake / "units",
        "broken": fake / "broken",
        "stdin": fake / "stdin",
        "hash": HASH,
    }
    programs = {"systemctl": SYSTEMCTL, "ssh-keygen": SSH_KEYGEN, "openssl": OPENSSL}
    parsers = {Path(check.argv[0]).name for overlay in overlays().values() for check in overlay.checks}
    plain = {*parsers, "journalctl", "systemd-run", "udevadm", "mount", "umount"} - set(programs)
    for name, text in programs.items() | {(name, PLAIN) for name in plain}:
        (fake / "bin" / name).write_text(text.format(name=name, **words))
        (fake / "bin" / name).chmod(0o755)
    monkeypatch.setattr(Check, "command", _by_name)
    monkeypatch.setenv("PATH", f"{fake / 'bin'}:{os.environ['PATH']}")

    def ask(probe: Probe) -> str:
        return "does not answer" if (fake / "broken" / f"port-{probe.tcp}").exists() else ""

    return Lab(root, Box(Places(root), profile.load("vm-uefi"), patience=0.0, ask=ask))


@pytest.fixture
def settings() -> Settings:
    return parse_answers(ANSWERS, "answers.yaml")


@pytest.fixture
def other(settings: Settings) -> Settings:
    """The same box with another protected domain."""
    return parse_answers(ANSWERS.replace("example.com", "example.net"), "answers.yaml")


@pytest.fixture
def secrets() -> Secrets:
    return parse_secrets(SECRETS, "secrets.yaml")


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(6, (tmp_path / "steps").open("w"))
