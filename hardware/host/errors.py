"""The two kinds of failure: the world's fault is a `Refused` with its problems, ours is any other exception."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One reason why something cannot work, in the operator's words.

    `where` is the file or command it stands in, `path` the setting inside it (`network.ports.port1`); both may be
    empty.    `hint` says what to do about it.
    """

    where: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.path) if part)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} ({self.hint})" if self.hint else text


class Refused(Exception):
    """The world's fault: every problem at once, no traceback, exit status 2."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def refuse(message: str, hint: str = "", *, where: str = "", path: str = "") -> Refused:
    """A refusal with a single problem, to be raised by the caller."""
    return Refused([Problem(where, path, message, hint)])
