"""One thing that was looked at, and how it is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Colour(StrEnum):
    """Red keeps mail from flowing; yellow may be meant so."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True)
class Finding:
    """What was asked (`check`), about what, what came of it, and what to do when that is not well."""

    colour: Colour
    check: str
    about: str
    said: str
    hint: str = ""

    @property
    def well(self) -> bool:
        return self.colour is Colour.GREEN

    def lines(self, *, coloured: bool) -> str:
        """Two lines at most, readable without colours too."""
        word, code = _DRAWN[self.colour]
        mark = f"\033[{code}m{word}\033[0m" if coloured else word
        said = "".join(one if one.isprintable() else "?" for one in self.said)  # it may be a stranger's
        first = f"{mark}  {self.check:12} {self.about}: {said}"
        return f"{first}\n{'':6}{'':12} -> {self.hint}" if self.hint and not self.well else first


Question = Iterable[Finding]  # mostly a generator: it is asked when somebody wants the answers

_DRAWN = {Colour.GREEN: ("good", 32), Colour.YELLOW: ("look", 33), Colour.RED: ("bad ", 31)}


def good(check: str, about: object, said: str) -> Finding:
    return Finding(Colour.GREEN, check, str(about), said)


def look(check: str, about: object, said: str, hint: str) -> Finding:
    return Finding(Colour.YELLOW, check, str(about), said, hint)


def bad(check: str, about: object, said: str, hint: str) -> Finding:
    return Finding(Colour.RED, check, str(about), said, hint)
