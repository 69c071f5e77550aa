"""build.py: what it needs before it can start, and how it ends."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

import build
from hardware.host import run

Fake = Callable[[str, str], Path]
Start = Callable[..., tuple[int, str]]

SCRIPT = build.HERE / "build.py"


@pytest.fixture
def bare(tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the packages and without caches, where we are root. What apt-get was given is in this file."""
    log = tmp_path / "apt"
    fake("dpkg-query", "exit 1")
    fake("apt-get", f'echo "$DEBIAN_FRONTEND $*" >> {log}')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("CI", "POSTERN_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return log


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Run a command line; its exit status, and what it said on stderr."""

    def started(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["build.py", *words])
        return build.main(), capsys.readouterr().err

    return started


@pytest.fixture
def prepared(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is there, and this is its Python."""
    monkeypatch.setenv("POSTERN_ENVIRONMENT", sys.prefix)


def test_without_root_it_prints_the_one_line_to_run(bare: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    status, said = start("profiles", "--yes")
    assert status == 2
    assert said == (
        "Needed Debian packages: python3-venv\n"
        "build.py: they are installed by root (run this, then start again: "
        "sudo sh -c 'apt-get update && apt-get install --no-install-recommends python3-venv')\n"
    )
    assert not bare.exists()


def test_with_nobody_there_to_agree_it_says_what_to_set(bare: Path, start: Start) -> None:
    status, said = start("build")
    assert status == 2
    first, second = said.splitlines()
    assert first == "Needed Debian packages: debian-archive-keyring mmdebstrap python3-venv sudo"
    assert second == "build.py: nobody is here to agree to installing them (add --yes, or set CI=true)"
    assert not bare.exists()


def test_at_a_terminal_it_asks_once(bare: Path, tmp_path: Path) -> None:
    # Only root is asked; others are root in a user namespace of their own.
    command = [sys.executable, str(SCRIPT), "profiles"]
    if run.run(["id", "-u"]).stdout != "0\n":
        command = ["unshare", "--map-root-user", *command]
    seen = run.environment({"XDG_CACHE_HOME": str(tmp_path / "caches")})
    with pexpect.spawn(command[0], command[1:], env=seen, encoding="utf-8", timeout=10) as terminal:
        terminal.expect_exact("Needed Debian packages: python3-venv")
        terminal.expect_exact("Install them with apt-get? [Y/n]")
        terminal.sendline("n")
        terminal.expect_exact("build.py: not without these packages")
        terminal.expect(pexpect.EOF)
    assert terminal.exitstatus == 2
    assert not bare.exists()


def test_what_was_agreed_to_is_installed_once(bare: Path, fake: Fake) -> None:
    build._debian_packages(["mmdebstrap", "sudo"], True)
    asked = "noninteractive -qq update\nnoninteractive -qq -y install --no-install-recommends mmdebstrap sudo\n"
    assert bare.read_text() == asked
    fake("dpkg-query", f"echo again >> {bare}")
    build._debian_packages(["sudo"], True)
    assert bare.read_text() == asked


def test_the_worlds_fault_is_2(prepared: None, start: Start) -> None:
    status, said = start("profiles", "show", "vm-uef")
    assert status == 2
    assert said.startswith("build.py: ")
    assert "did you mean vm-uefi" in said


def test_a_programs_failure_is_1_and_names_it(prepared: None, start: Start, fake: Fake) -> None:
    fake("apt-get", "echo 'E: the cache is broken' >&2; exit 100")
    status, said = start("build")
    assert status == 1
    assert said.startswith("build.py: apt-get indextargets ")
    assert said.endswith("ended with status 100:\nE: the cache is broken\n")


def test_interrupted_is_130(prepared: None, start: Start, fake: Fake) -> None:
    fake("apt-get", "kill -INT $PPID")
    assert start("build") == (130, "\nbuild.py: interrupted; nothing half made is left under a final name\n")


def test_python_too_old_is_said_before_anything_is_imported() -> None:
    script = f"import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = run.run([sys.executable, "-S", "-c", script], check=False)
    assert (done.status, done.stderr) == (
        2,
        "build.py: Python 3.11 or newer is needed (Debian 12 and 13 have it as python3)\n",
    )


def test_the_line_to_run_is_one_for_a_shell(bare: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    line = start("test")[1].partition("start again: ")[2].rstrip("\n)")
    sudo, shell, option, command = shlex.split(line)
    assert (sudo, shell, option) == ("sudo", "sh", "-c")
    assert command.split("install --no-install-recommends ")[1].split() == build.PACKAGES["test"]
