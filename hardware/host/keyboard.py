"""The keyboard of the box's screen: who sits at it, and what its keys mean."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from hardware.host import run

_SCREEN = re.compile(r"tty[0-9]+")  # tty1, and neither ttyS0 nor pts/0
_TTY_MAJOR, _VIRTUAL_TERMINALS = 4, 64  # of the major number; from 64 on they are serial lines


@dataclass
class Keyboard:
    """The kernel has one layout for all its virtual terminals, and does not say which."""

    keymap: str = field(default="", init=False)  # the last one that was asked for

    def use(self, keymap: str) -> str:
        """Have the keys mean this from now on. Returns why they do not; empty when they do."""
        if keymap == self.keymap:
            return ""
        self.keymap = keymap
        try:
            run.run(["loadkeys", "--quiet", "--console", "/dev/tty0", keymap], timeout=60)
        except run.Failed as failure:
            return str(failure)
        return ""


def is_screen(tty: str) -> bool:
    """Whether a terminal, by its name below /dev, is the box's screen."""
    return bool(_SCREEN.fullmatch(tty))


def at_screen(process: int | None = None, proc: Path = Path("/proc")) -> bool:
    """Whether a process (ours) was started from the box's screen, also if by sudo, which has terminals of its own."""
    number = os.getpid() if process is None else process
    while number > 0:
        try:
            fields = (proc / str(number) / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended, or is none of ours
            return False
        number, terminal = int(fields[1]), int(fields[4])
        major, minor = os.major(terminal), os.minor(terminal)
        if major == _TTY_MAJOR and 0 < minor < _VIRTUAL_TERMINALS:
            return True
    return False
