"""What a page may ask of the person at the console, whatever the form: full screen, plain lines, or a test's script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

Value = TypeVar("Value")
Remark = Callable[[str], str]


class Way(Enum):
    """How the person left a question."""

    NEXT = "next"
    BACK = "back"


class HungUp(Exception):
    """Nobody is there any more: end of input. The draft keeps what was typed."""


@dataclass(frozen=True)
class Head:
    """What stands above a question. `problems` are whole sentences about the page rather than one field of it."""

    title: str
    text: str = ""
    help: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """One line to fill in.

    `path` is the setting that it makes (`network.ports.port1.addresses`), so that a problem finds its field. `hint` is
    an example or the unit; `problem` says why the value as it stands cannot work.
    """

    path: str
    label: str
    value: str = ""
    hint: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Choice:
    """One of several: `name` is what the page gets back and what may be typed, `label` what it means."""

    name: str
    label: str


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """What was typed or chosen, also when the person went back: nothing typed is lost."""

    way: Way
    value: Value


def no_remark(_secret: str) -> str:
    """Nothing to be said."""
    return ""


class Ui(Protocol):
    """A form of the wizard. Back and help work in every question; help is the form's own business."""

    def notice(self, head: Head) -> None:
        """Show a text until it has been read."""

    def menu(self, head: Head, choices: Sequence[Choice], chosen: str = "") -> Answer[str]:
        """The name of one choice; `chosen` is taken unless another one is picked."""

    def form(self, head: Head, fields: Sequence[Field]) -> Answer[tuple[str, ...]]:
        """The values of the fields, in their order, without spaces around them."""

    def secret(self, head: Head, label: str, remark: Remark = no_remark) -> Answer[str]:
        """A secret, asked twice and never shown; empty when the person typed nothing.

        What `remark` says of the first entry stands over the second.
        """

    def say(self, line: str) -> None:
        """Print a line of progress, between questions."""
