"""The clock: time zone, found by any part of its name, and time servers."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import fill, spaced
from installer.wizard.draft import Draft
from installer.wizard.ui import Choice, Field, Head, Ui, Way
from overlays.clock.settings import time_zones

MOST = 60
HELP = """The time zone is named after a place, such as Europe/Zurich or America/New_York. Type a part of the name, \
such as zurich, new york or indian, and choose among those that match. NTP servers are names or addresses, separated \
by spaces; without one the clock runs freely, and the dates in mail and log drift."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for both; a part of a zone's name that fits several leads to a choice of them."""

    def entered(values: tuple[str, ...]) -> Draft:
        timezone, ntp = values
        found = matching(timezone)
        return draft.but(timezone=found[0] if len(found) == 1 else timezone, ntp=spaced(ntp))

    def check(values: tuple[str, ...]) -> list[Problem]:
        made = entered(values)
        found = made.problems(profile, "clock")
        count = len(matching(made.timezone))
        if count < 2:
            return found
        others = [problem for problem in found if problem.path != "clock.timezone"]
        many = Problem("", "clock.timezone", f"{count} time zones match {made.timezone!r}", "type more of the name")
        return others if count <= MOST else [many, *others]

    while True:
        fields = [
            Field("clock.timezone", "Time zone", draft.timezone, "or a part of its name"),
            Field("clock.ntp", "NTP servers", draft.ntp),
        ]
        answer = fill(ui, Head("Clock", "Where the box stands, and who tells it the time.", HELP), fields, check)
        draft = entered(answer.value)
        found = matching(draft.timezone)
        if answer.way is Way.BACK or len(found) == 1:
            return draft, answer.way
        text = f"{len(found)} time zones match {draft.timezone}."
        picked = ui.menu(Head("Time zone", text, HELP), [Choice(zone, "") for zone in found])
        if picked.way is Way.NEXT:
            return draft.but(timezone=picked.value), Way.NEXT


@lru_cache(maxsize=8)
def matching(text: str) -> tuple[str, ...]:
    """The zones whose name holds a text; only that zone when the text is a whole name, in whatever case."""
    wanted = text.strip().replace(" ", "_")
    try:
        return (ZoneInfo(wanted).key,)
    except (ValueError, OSError, KeyError):  # not a name as it stands; only now is the whole database read
        names = time_zones()
    exact = [name for name in names if name.lower() == wanted.lower()]
    return tuple(exact or [name for name in names if wanted and wanted.lower() in name.lower()])
