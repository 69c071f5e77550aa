"""Virus definitions are known by their heads, and a test set is called one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from installer.apply.places import Places
from installer.box import definitions


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "var/lib/clamav").mkdir(parents=True)
    (tmp_path / "run/rspamd").mkdir(parents=True)
    return Places(tmp_path)


def put(places: Places, name: str, made: datetime) -> None:
    head = f"ClamAV-VDB:{made.strftime('%d %b %Y %H-%M %z')}:27000:2000000:90:digest:signature:builder:1795000000"
    (places.root / "var/lib/clamav" / name).write_text(head.ljust(512) + "packed")


def test_a_test_set_is_called_one(places: Places) -> None:
    (places.root / "var/lib/clamav/postern-test.hdb").write_text("x")
    assert definitions.report(places, as_json=False) == f"{definitions.TEST_SET}\nsource: none before set-up"
    assert "protects from nothing" in definitions.problem([])


@pytest.mark.parametrize(("days", "complaint"), [(0, ""), (2, ""), (5, "virus definitions: 5 days old")])
def test_their_age_counts(places: Places, days: int, complaint: str) -> None:
    put(places, "daily.cvd", datetime.now(UTC) - timedelta(days=days, minutes=5))
    (found,) = definitions.installed(places)
    assert (found.name, found.version, found.signatures) == ("daily.cvd", 27000, 2000000)
    assert definitions.problem([found]) == complaint
    assert f"{days} days old" in definitions.report(places, as_json=False)


def test_a_damaged_head_is_no_set(places: Places) -> None:
    for name, text in (("main.cvd", "something else"), ("daily.cld", "ClamAV-VDB:yesterday:x:y")):
        (places.root / "var/lib/clamav" / name).write_text(text)
    assert list(definitions.installed(places)) == []


def test_dns_that_is_away_is_told(places: Places) -> None:
    assert definitions.dns_problem(places) == ""
    state = places.root / "run/rspamd/dns"
    state.write_text("answers\n")
    assert definitions.dns_problem(places) == ""
    state.write_text("silent\n")
    assert "DNS does not answer" in definitions.dns_problem(places)
