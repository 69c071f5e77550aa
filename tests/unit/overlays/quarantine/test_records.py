"""What the quarantine remembers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from overlays.quarantine.records import Records


def test_an_owner_is_forgotten_when_nothing_can_be_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path / "records")
    assert records.begin("ann@example.com", "a mark")
    records.set_reported("ann@example.com", "guid.7")
    assert not records.begin("ann@example.com", "a mark")
    assert records.reported("ann@example.com") == "guid.7"
    records.forget_owner("ann@example.com")
    assert records.owners() == ["ann@example.com"]
    later = time.time() + 100_000
    monkeypatch.setattr(time, "time", lambda: later)
    records.forget_owner("ann@example.com")
    assert records.owners() == []
    assert records.reported("ann@example.com") == ""
    assert records.begin("ann@example.com", "a mark")


def test_what_was_refused_is_not_in_doubt(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    assert records.begin("ann@example.com", "a mark")
    assert records.begin("bob@example.com", "a mark")
    assert records.begin("ann@example.com", "another")
    records.settle("ann@example.com", "a mark")
    assert records.begin("ann@example.com", "a mark")
    assert not records.begin("ann@example.com", "another")


def test_a_message_is_known_as_long_as_it_may_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path / "records")
    assert records.begin("ann@example.com", "a mark")
    later = time.time() + 7 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    assert records.begin("bob@example.com", "another")
    assert records.begin("ann@example.com", "a mark")


def test_welcomes_are_an_owners_own(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    records.welcome("ann@example.com", "Eve@Outside.Example")
    records.welcome("ann@example.com", "eve@outside.example")
    assert records.welcomed("ann@example.com") == ["eve@outside.example"]
    assert records.welcomed("bob@example.com") == []
    records.unwelcome("ann@example.com", "EVE@outside.example")
    assert records.welcomed("ann@example.com") == []
