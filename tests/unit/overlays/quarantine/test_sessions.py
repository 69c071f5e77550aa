"""Who is logged in, and for how long."""

from __future__ import annotations

import time

import pytest

from overlays.quarantine.sessions import Sessions


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_session_ends_by_itself_and_at_once_when_asked(clock: list[float]) -> None:
    sessions = Sessions()
    ann, bob = sessions.begin("ann@example.com"), sessions.begin("bob@example.com")
    assert ann != bob
    assert (sessions.user(ann), sessions.user(bob), sessions.user("")) == ("ann@example.com", "bob@example.com", None)
    sessions.end(ann)
    sessions.end("unknown")
    assert sessions.user(ann) is None
    clock[0] += 31 * 60
    assert sessions.user(bob) is None


def test_who_stays_at_it_has_a_working_day(clock: list[float]) -> None:
    sessions = Sessions()
    ann = sessions.begin("ann@example.com")
    seen = 0
    while sessions.user(ann):
        seen += 1
        clock[0] += 29 * 60
    assert seen * 29 * 60 == pytest.approx(8 * 3600, abs=29 * 60)


def test_the_oldest_make_room(clock: list[float]) -> None:
    sessions = Sessions()
    first = sessions.begin("first@example.com")
    for _ in range(1000):
        clock[0] += 0.1
        last = sessions.begin("ann@example.com")
    assert sessions.user(first) is None
    assert sessions.user(last) == "ann@example.com"
