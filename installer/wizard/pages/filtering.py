"""Filtering: how soon a message counts as spam, whether it is scanned for viruses, and what becomes of spam."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import fill, within
from installer.wizard.draft import Draft
from installer.wizard.typed import Filter
from installer.wizard.ui import Field, Head, Ui, Way

Ask = Callable[[Ui, Draft, HardwareProfile], tuple[Draft, Way]]

HELP = """Antispam: high marks most and errs most, low least; off looks at no message. A message with a virus is \
refused where antivirus is on. Spam beyond doubt is refused; what becomes of the rest: quarantine keeps it for its \
recipient, who gets a report once a day; subject and header mark it and let it through. An answer file can choose \
otherwise for single domains."""
TEXTS = {
    "incoming": "Messages to the protected domains.",
    "outgoing": "Messages to everybody else.",
}


def screens() -> list[tuple[str, Ask]]:
    """A screen for each direction."""
    return [(f"{direction} mail", partial(ask, direction=direction)) for direction in TEXTS]


def ask(ui: Ui, draft: Draft, profile: HardwareProfile, direction: str) -> tuple[Draft, Way]:
    """Ask for one direction's three choices."""
    path = f"filtering.{direction}"

    def entered(values: tuple[str, ...]) -> Draft:
        antispam, antivirus, spam = map(str.lower, values)
        typed = Filter(antispam=antispam, antivirus=antivirus, spam=spam)
        return draft.but(filters=draft.filters | {direction: typed})

    def check(values: tuple[str, ...]) -> list[Problem]:
        return [one for one in entered(values).problems(profile, "filtering") if within(one.path, path)]

    now = draft.filters[direction]
    fields = [
        Field(f"{path}.antispam", "Antispam", now.antispam, "off, low, medium or high"),
        Field(f"{path}.antivirus", "Antivirus", now.antivirus, "on or off"),
        Field(f"{path}.spam", "Spam", now.spam, "quarantine, subject or header"),
    ]
    answer = fill(ui, Head(f"{direction.capitalize()} mail", TEXTS[direction], HELP), fields, check)
    return entered(answer.value), answer.way
