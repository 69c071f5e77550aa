"""The full-screen form, drawn by Debian's `dialog`: 80x24, few bytes, any terminal that terminfo knows."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

from hardware.host import run
from installer.wizard.ui import Answer, Choice, Field, Head, HungUp, Remark, Way, no_remark

WIDTH = 76
ROWS = 24
# What 9600 baud carry in two seconds: lines of a text that is only shown (a longer one has more pages), and rows of a
# list (a longer one scrolls).
MOST_LINES, MOST_ROWS = 10, 10
FRAME = 6  # lines of a box that are neither text nor list: borders and buttons
INTERRUPTS = 5  # in a row, before it is rather dialog that cannot start
RCFILE = Path(__file__).with_name("dialogrc")
# Terminals that draw lines without a second character set being switched on and off for every corner.
DRAWS_LINES = ("linux", "xterm", "screen", "tmux")
DIFFER = "The two entries are not the same; type it again."


class Unusable(Exception):
    """dialog cannot work on this terminal; its message stands on the screen. The plain form always can."""


class _Status(IntEnum):
    """How dialog says which button was pressed."""

    OK = 0
    CANCEL = 1  # has no button of ours: an interrupt
    HELP = 2
    EXTRA = 3


class DialogUi:
    """A `Ui` on the terminal that this process owns."""

    def __init__(self) -> None:
        term = os.environ.get("TERM", "")
        self.options = [] if term.startswith(DRAWS_LINES) else ["--ascii-lines"]

    def notice(self, head: Head) -> None:
        lines = _wrapped(_above(head))
        pages = [lines[at : at + MOST_LINES] for at in range(0, len(lines), MOST_LINES)]
        for number, page in enumerate(pages, start=1):
            title = f"{head.title} ({number} of {len(pages)})" if len(pages) > 1 else head.title
            box = ["--msgbox", "\n".join(page), str(len(page) + 5), str(WIDTH)]
            while self._show(["--title", title, "--ok-label", "OK" if number == len(pages) else "More"], box)[0]:
                pass

    def menu(self, head: Head, choices: Sequence[Choice], chosen: str = "") -> Answer[str]:
        head = self._shortened(head, len(choices))
        while True:
            rows = [word for choice in choices for word in (choice.name, choice.label)]
            box = ["--menu", *_sized(_above(head), len(choices)), *_escaped(rows)]
            status, lines = self._ask(head, box, ["--default-item", *_escaped([chosen])] if chosen else [])
            picked = lines[0] if lines else chosen
            if status is not _Status.HELP:
                return Answer(Way.BACK if status is _Status.EXTRA else Way.NEXT, picked)
            chosen = picked.removeprefix("HELP ")

    def form(self, head: Head, fields: Sequence[Field]) -> Answer[tuple[str, ...]]:
        while True:
            box = ["--form", *_sized(_above(head, fields), len(fields)), *_lines(fields)]
            status, lines = self._ask(head, box)
            typed = lines[1:] if status is _Status.HELP else lines
            if len(typed) == len(fields):
                fields = [replace(field, value=value.strip()) for field, value in zip(fields, typed, strict=True)]
            if status is not _Status.HELP:
                way = Way.BACK if status is _Status.EXTRA else Way.NEXT
                return Answer(way, tuple(field.value for field in fields))

    def secret(self, head: Head, label: str, remark: Remark = no_remark) -> Answer[str]:
        while True:
            first = self._hidden(head, f"{label} (nothing is shown while you type):")
            if first.way is Way.BACK or not first.value:
                return first
            again = self._hidden(replace(head, text=remark(first.value), problems=()), "The same again:")
            if again.way is Way.NEXT and again.value == first.value:
                return first
            head = replace(head, problems=(DIFFER,) if again.way is Way.NEXT else ())

    def say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def _hidden(self, head: Head, prompt: str) -> Answer[str]:
        """A form of one field: to dialog's password box Escape and F1, as `dialogrc` has them, are the button Next."""
        text = "\n\n".join(part for part in (_above(head), prompt) if part)
        field = ["", "1", "1", "", "1", "1", str(WIDTH - 7), "1000"]
        while True:
            status, lines = self._ask(head, ["--passwordform", *_sized(text, 1), *field])
            if status is _Status.EXTRA:
                return Answer(Way.BACK, "")
            if status is _Status.OK:
                return Answer(Way.NEXT, lines[0] if lines else "")

    def _ask(self, head: Head, box: list[str], options: Sequence[str] = ()) -> tuple[_Status, list[str]]:
        """One question with its three buttons. Help is shown here; its status tells the caller to ask again."""
        buttons = ["--ok-label", "Next", "--no-cancel", "--extra-button", "--extra-label", "Back"]
        buttons += ["--help-button", "--help-status"]
        status, lines = self._show(["--title", head.title, *buttons, *options], box)
        if status is _Status.HELP:
            self.notice(Head(f"Help: {head.title}", head.help))
        return status, lines

    def _show(self, options: Sequence[str], box: Sequence[str]) -> tuple[_Status, list[str]]:
        """Run dialog until a button was pressed; an interrupt only draws the question again."""
        fixed = ["--output-fd", "3", "--no-shadow", "--no-collapse", "--cr-wrap", "--no-nl-expand", *self.options]
        for _ in range(INTERRUPTS):
            try:
                done = run.attach(["dialog", *fixed, *options, *box], env={"DIALOGRC": str(RCFILE)})
            except run.Failed as missing:
                raise Unusable(str(missing)) from missing
            if done.status < 0:
                raise HungUp
            if done.status not in list(_Status):
                raise Unusable(f"dialog ended with status {done.status}")
            if done.status != _Status.CANCEL:
                return _Status(done.status), done.stdout.splitlines()
        raise Unusable("dialog ends as soon as it starts")

    def _shortened(self, head: Head, choices: int) -> Head:
        """A head that leaves room for the choices; a longer text is shown on its own first."""
        if len(_wrapped(_above(head))) + min(choices, 5) <= MOST_LINES + 3:
            return head
        self.notice(head)
        return replace(head, text="", problems=())


def _above(head: Head, fields: Sequence[Field] = ()) -> str:
    """The text over a question: what is wrong comes first."""
    wrong = [*head.problems, *(f"{field.label}: {field.problem}" for field in fields if field.problem)]
    return "\n\n".join(part for part in ("\n".join(f"! {text}" for text in wrong), head.text) if part)


def _wrapped(text: str) -> list[str]:
    """A text in the lines that fit the box. dialog's own count of them is wrong for texts with line ends."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, WIDTH - 4) or [""]]


def _sized(text: str, rows: int) -> list[str]:
    """The text, height, width and height of the list of a box with that many rows; longer lists scroll."""
    lines = _wrapped(text)
    room = max(1, min(rows, MOST_ROWS, ROWS - FRAME - len(lines)))
    return ["\n".join(lines), str(min(ROWS, len(lines) + room + FRAME)), str(WIDTH), str(room)]


def _lines(fields: Sequence[Field]) -> list[str]:
    """The fields as `--form` wants them: label y x, value y x, visible and permitted length."""
    labels = [f"{field.label} ({field.hint})" if field.hint else field.label for field in fields]
    column = max(len(label) for label in labels) + 2
    words: list[str] = []
    for row, (label, field) in enumerate(zip(labels, fields, strict=True), start=1):
        value = [*_escaped([field.value]), str(row), str(column + 1), str(WIDTH - 7 - column), "1000"]
        words += [*_escaped([label]), str(row), "1", *value]
    return words


def _escaped(words: Sequence[str]) -> list[str]:
    """Typed words as arguments: `--` in front of one keeps dialog from reading it as an option."""
    return [part for word in words for part in (["--", word] if word.startswith("-") else [word])]
