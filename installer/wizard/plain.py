"""The plain form: lines out, lines in, for any terminal, a screen reader, or expect. No cursor control at all."""

from __future__ import annotations

import re
import shutil
import sys
import termios
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from installer.wizard.ui import Answer, Choice, Field, Head, HungUp, Remark, Way, no_remark

BACK = ("<", "back")
HELP = "?"
EMPTY = "-"
MOST_ROWS = 18  # of a list one below the other: a screen has 24, and nobody can scroll back on it
KEYS = "At every question: Enter takes the value in brackets, - leaves it empty, < or back goes back, ? shows help."
DIFFER = "The two entries are not the same; type it again."
# What arrow and function keys send on a terminal that is only asked for lines.
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z~]|O[A-Za-z]|.)?")


class _WentBack(Exception):
    """The person typed `<`."""


@dataclass
class PlainUi:
    """A `Ui` over two streams; echo is turned off for secrets when the input is a terminal."""

    source: TextIO = field(default_factory=lambda: sys.stdin)
    target: TextIO = field(default_factory=lambda: sys.stdout)

    def notice(self, head: Head) -> None:
        self._head(head)
        try:
            self._read("Press Enter to go on: ", head.help)
        except _WentBack:
            return

    def menu(self, head: Head, choices: Sequence[Choice], chosen: str = "") -> Answer[str]:
        self._head(head)
        names = [choice.name for choice in choices]
        default = names.index(chosen) if chosen in names else 0
        rows = [f"{number:2}. {choice.name}: {choice.label}" for number, choice in enumerate(choices, start=1)]
        for row in _columns(rows) if len(rows) > MOST_ROWS else rows:
            self._paragraph(row, indent=4)
        while True:
            try:
                typed = self._read(f"Your choice [{default + 1}]: ", head.help)
            except _WentBack:
                return Answer(Way.BACK, names[default])
            if not typed:
                return Answer(Way.NEXT, names[default])
            if typed.isdecimal() and 1 <= int(typed) <= len(names):
                return Answer(Way.NEXT, names[int(typed) - 1])
            if typed.lower() in names:
                return Answer(Way.NEXT, typed.lower())
            self._problem(f"{typed} is not a choice; type a number from 1 to {len(names)} or the word after it.")

    def form(self, head: Head, fields: Sequence[Field]) -> Answer[tuple[str, ...]]:
        self._head(head)
        values = [one.value for one in fields]
        index = next((number for number, one in enumerate(fields) if one.problem), 0)
        while index < len(fields):
            one = fields[index]
            if one.problem:
                self._problem(f"{one.label}: {one.problem}")
            label = f"{one.label} ({one.hint})" if one.hint else one.label
            try:
                typed = self._read(f"{label} [{values[index]}]: ", head.help)
            except _WentBack:
                if index == 0:
                    return Answer(Way.BACK, tuple(values))
                index -= 1
                continue
            values[index] = "" if typed == EMPTY else typed or values[index]
            index += 1
        return Answer(Way.NEXT, tuple(values))

    def secret(self, head: Head, label: str, remark: Remark = no_remark) -> Answer[str]:
        self._head(head)
        while True:
            try:
                first = self._read(f"{label} (not shown): ", head.help, hidden=True)
                if not first:
                    return Answer(Way.NEXT, "")
                if said := remark(first):
                    self._paragraph(said)
                again = self._read("The same again (not shown): ", head.help, hidden=True)
            except _WentBack:
                return Answer(Way.BACK, "")
            if first == again:
                return Answer(Way.NEXT, first)
            self._problem(DIFFER)

    def say(self, line: str) -> None:
        self._paragraph(line)

    def _head(self, head: Head) -> None:
        self._write(f"\n== {head.title} ==\n")
        for line in head.text.splitlines():
            self._paragraph(line)
        for problem in head.problems:
            self._problem(problem)

    def _read(self, prompt: str, help: str, *, hidden: bool = False) -> str:
        """One line without its surrounding spaces (a secret keeps them). Raises `_WentBack` and `HungUp`."""
        while True:
            with self._silence(hidden):
                self._write(prompt)
                line = self.source.readline()
            if hidden:
                self._write("\n")
            if not line:
                raise HungUp
            line = _ESCAPES.sub("", line.rstrip("\r\n"))
            typed = line if hidden else "".join(letter for letter in line if letter.isprintable()).strip()
            if typed == BACK[0] or (typed == BACK[1] and not hidden):
                raise _WentBack
            if typed != HELP:
                return typed
            for paragraph in (*help.splitlines(), KEYS):
                self._paragraph(paragraph)

    @contextmanager
    def _silence(self, wanted: bool) -> Iterator[None]:
        """No echo; off before the prompt is written, so that whoever waits for the prompt is not too early."""
        if not (wanted and self.source.isatty()):
            yield
            return
        handle = self.source.fileno()
        before = termios.tcgetattr(handle)
        silent = termios.tcgetattr(handle)
        silent[3] &= ~termios.ECHO
        termios.tcsetattr(handle, termios.TCSADRAIN, silent)
        try:
            yield
        finally:
            termios.tcsetattr(handle, termios.TCSADRAIN, before)

    def _problem(self, text: str) -> None:
        self._paragraph(f"! {text}", indent=2)

    def _paragraph(self, text: str, indent: int = 0) -> None:
        """A text wrapped to the terminal; a line that is indented or columned keeps its shape where it fits."""
        width = _width()
        lines = [text] if len(text) <= width else textwrap.wrap(text, width, subsequent_indent=" " * indent)
        self._write("\n".join(lines or [""]) + "\n")

    def _write(self, text: str) -> None:
        coding = self.target.encoding or "ascii"
        self.target.write(text.encode(coding, "replace").decode(coding))
        self.target.flush()


def _columns(rows: Sequence[str]) -> list[str]:
    """Rows side by side, as many as fit, read downwards."""
    width = max(map(len, rows)) + 2
    height = -(-len(rows) // max(1, (_width() + 2) // width))  # the last column needs no gap behind it
    return ["".join(f"{row:<{width}}" for row in rows[at::height]).rstrip() for at in range(height)]


def _width() -> int:
    return max(20, shutil.get_terminal_size((80, 24)).columns - 1)
