"""Why messages wait, from what Postfix says of its queue."""

from __future__ import annotations

import json

from installer.box.queue import reasons


def message(*delays: str | None) -> str:
    recipients = [{"address": "ann@example.com"} | ({"delay_reason": why} if why else {}) for why in delays]
    return json.dumps({"queue_name": "deferred", "queue_id": "4Z", "recipients": recipients})


def test_the_most_frequent_reasons_are_counted() -> None:
    lines = [message("down", "full"), message("down", None), message("a"), message("down"), message("full")]
    assert reasons(lines) == {"down": 3, "full": 2, "a": 1}
    assert reasons([*lines, message("b"), message("b")]) == {"down": 3, "full": 2, "b": 2}


def test_a_long_reason_is_cut() -> None:
    (reason,) = reasons([message("x" * 5000)])
    assert reason == "x" * 200 + "..."


def test_nothing_waits() -> None:
    assert reasons([]) == {}
