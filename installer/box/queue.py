"""Why messages wait: what the next hops said to the box, or did not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from hardware.host.run import Failed, run

_MOST_MESSAGES = 1000  # enough to see what is wrong, and read at once however long the queue is
_LONGEST = 200
SHOWN = 3


def waiting() -> dict[str, int]:
    """The most frequent reasons why recipients wait, and how many do; empty when Postfix does not run."""
    try:
        return reasons(run(["postqueue", "-j"], timeout=20).stdout.splitlines())
    except Failed:
        return {}


def reasons(lines: Iterable[str]) -> dict[str, int]:
    """The same from what `postqueue -j` says: a line for each message."""
    found: Counter[str] = Counter()
    for line in islice(lines, _MOST_MESSAGES):
        for recipient in json.loads(line)["recipients"]:
            if reason := recipient.get("delay_reason"):
                found[reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}..."] += 1
    return dict(found.most_common(SHOWN))
