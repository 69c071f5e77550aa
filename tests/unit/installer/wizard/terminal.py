"""A console with somebody at it: the program on a pseudo-terminal, and for the full-screen form the screen it draws."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pexpect
import pyte
import pytest

REPOSITORY = Path(__file__).parents[4]
PATIENCE = 30
CLEARED = "\x1b[H\x1b[J"  # what a new page begins with
# `build.py test` installs it; where a test is run by hand it may be missing.
NEEDS_DIALOG = pytest.mark.skipif(
    shutil.which("dialog") is None and not os.environ.get("CI"), reason="needs the Debian package dialog"
)


def make_root(root: Path) -> Path:
    """What the console program reads of a box."""
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/cmdline").write_text("quiet postern.profile=fortimail-100 postern.force\n")
    (root / "proc/sys/kernel/printk").write_text("4 4 1 7\n")
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text('IMAGE_VERSION="0.1.0"\n')
    (root / "run/postern").mkdir(parents=True)
    (root / "bin").mkdir()
    # Nobody can log in, and there is no screen, where the tests run.
    for name, does in (("login", "echo 'the login program'"), ("loadkeys", f'echo "$@" >>{root}/loadkeys')):
        (root / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (root / "bin" / name).chmod(0o755)
    return root


def start(root: Path, tty: str = "ttyS0", program: str = "wizard.box", **variables: str) -> pexpect.spawn[str]:
    """The console program of that box, or another of the tests', on a terminal of 80 columns and 24 lines."""
    environment: Mapping[str, str] = os.environ | {
        "TERM": "vt220",
        "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
        **variables,
    }
    words = ["-m", f"tests.unit.installer.{program}", str(root), tty]
    return pexpect.spawn(
        sys.executable,
        words,
        cwd=str(REPOSITORY),
        env=environment,
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=PATIENCE,
    )


class Screen:
    """The 80x24 characters that a person sees, and how many bytes it took to draw them."""

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self.child = child
        self.screen = pyte.Screen(80, 24)
        self.stream = pyte.Stream(self.screen)
        self.log = ""
        self.received = 0

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, pattern: str) -> str:
        """Read until the screen shows a pattern and the program draws no more; the text on the screen."""
        self.received = 0
        for _ in range(PATIENCE * 10):
            try:
                self._take(self.child.read_nonblocking(4096, timeout=0.1))
            except pexpect.TIMEOUT:
                if re.search(pattern, self.text):
                    return self.text
            except pexpect.EOF:
                if re.search(pattern, self.text):
                    return self.text
                break
        raise AssertionError(f"{pattern!r} did not appear on:\n{self.text}")

    def turn(self, keys: str, pattern: str) -> str:
        """Press keys that lead to another page, and read until it stands there; the text on the screen."""
        before = len(self.log)
        self.send(keys)
        while CLEARED not in self.log[before:]:
            self._take(self.child.read_nonblocking(4096, timeout=PATIENCE))
        text = self.wait(pattern)
        self.received = len(self.log) - self.log.index(CLEARED, before)
        return text

    def send(self, keys: str) -> None:
        self.child.send(keys)

    def _take(self, text: str) -> None:
        self.received += len(text)
        self.log += text
        self.stream.feed(text)
