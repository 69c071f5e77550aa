"""The serial line as a person at a terminal has it: 80x24 characters, and keys."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pexpect
import pyte

from tests.machine.twin import PATIENCE

if TYPE_CHECKING:
    from tests.machine.twin import Line

TAB, ENTER, ESCAPE, UP, DOWN = "\t", "\r", "\x1b", "\x1b[A", "\x1b[B"
ERASE = "\x15"  # empties a field
QUIET_SECONDS = 0.6  # nothing drawn for so long: at 9600 baud that is 600 characters not sent


class _Terminal(pyte.Screen):
    """80x24 characters; it answers, as terminals do, when it is asked where its cursor is."""

    def __init__(self, answer: Callable[[str], int]) -> None:
        super().__init__(80, 24)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class Screen:
    """A terminal on the line of a box."""

    def __init__(self, line: Line) -> None:
        self._talk = line.talk
        self._screen = _Terminal(self._talk.send)
        self._stream = pyte.Stream(self._screen)

    @property
    def text(self) -> str:
        """What is to be seen."""
        return "\n".join(row.rstrip() for row in self._screen.display)

    def shows(self, pattern: str, seconds: float = PATIENCE) -> str:
        """Wait until the pattern is to be seen and nothing more is drawn; the whole screen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self._stream.feed(self._talk.read_nonblocking(4096, timeout=QUIET_SECONDS))
            except pexpect.TIMEOUT:
                if re.search(pattern, self.text):
                    return self.text
        raise AssertionError(f"{pattern!r} did not appear on:\n{self.text}")

    def press(self, *keys: str) -> None:
        """Keys, and the text of fields."""
        self._talk.send("".join(keys))

    def answer(self, *pairs: tuple[str, str]) -> None:
        """What to wait for, and which keys to press then."""
        for pattern, keys in pairs:
            self.shows(pattern)
            self.press(keys)
