"""What the quarantine remembers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from overlays.quarantine.records import Records


def test_an_owner_is_forgotten_when_nothing_can_be_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path / "records")
    assert records.begin("ann@example.com", "a mark") is None
    records.set_reported("ann@example.com", "guid.7")
    assert records.begin("ann@example.com", "a mark") is not None
    assert records.reported("ann@example.com") == "guid.7"
    records.forget_owner("ann@example.com")
    assert records.owners() == ["ann@example.com"]
    later = time.time() + 100_000
    monkeypatch.setattr(time, "time", lambda: later)
    records.forget_owner("ann@example.com")
    assert records.owners() == []
    assert records.reported("ann@example.com") == ""
    assert records.begin("ann@example.com", "a mark") is None


def test_what_was_refused_is_not_in_doubt(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    assert records.begin("ann@example.com", "a mark") is None
    assert records.begin("bob@example.com", "a mark") is None
    assert records.begin("ann@example.com", "another") is None
    records.settle("ann@example.com", "a mark")
    assert records.begin("ann@example.com", "a mark") is None
    assert records.begin("ann@example.com", "another") is not None


def test_a_message_is_known_as_long_as_it_may_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path / "records")
    assert records.begin("ann@example.com", "a mark") is None
    later = time.time() + 7 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    assert records.begin("bob@example.com", "another") is None
    assert records.begin("ann@example.com", "a mark") is None


def test_welcomes_are_an_owners_own(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    records.welcome("ann@example.com", "Eve@Outside.Example")
    records.welcome("ann@example.com", "eve@outside.example")
    assert records.welcomed("ann@example.com") == ["eve@outside.example"]
    assert records.welcomed("bob@example.com") == []
    records.unlist("ann@example.com", "EVE@outside.example")
    assert records.welcomed("ann@example.com") == []


def test_blocks_are_an_owners_own_and_the_filter_is_told_of_them(tmp_path: Path) -> None:
    records = Records(tmp_path / "records", tmp_path / "blocked")
    records.welcome("ann@example.com", "eve@outside.example")
    assert not records.blocked_file.exists()
    records.block("ann@example.com", "Eve@Outside.Example")
    records.block("bob@example.com", "mal|lory@outside.example")
    assert (records.welcomed("ann@example.com"), records.blocked("ann@example.com")) == ([], ["eve@outside.example"])
    assert records.blocked_file.read_text().splitlines() == [
        "ann@example.com|eve@outside.example",
        "bob@example.com|mal|lory@outside.example",
        "|eve@outside.example",
        "|mal|lory@outside.example",
    ]
    records.welcome("ann@example.com", "eve@outside.example")
    records.unlist("bob@example.com", "mal|lory@outside.example")
    assert (records.blocked("ann@example.com"), records.blocked_file.read_text()) == ([], "")


def test_what_the_filter_cannot_be_told_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    records = Records(tmp_path / "records", tmp_path / "blocked")
    with pytest.raises(OSError, match="blocked"):
        records.block("ann@example.com", "eve@outside.example")
    assert records.blocked("ann@example.com") == []
