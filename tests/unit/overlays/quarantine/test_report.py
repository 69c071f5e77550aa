"""The report: what it tells whom, what its links mean, and when it is sent."""

from __future__ import annotations

import email
import html
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from email import policy as email_policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from overlays.quarantine import links, report
from overlays.quarantine.links import Act, Link
from overlays.quarantine.policy import Policy
from overlays.quarantine.records import Records
from overlays.quarantine.store import Kept, Mailbox
from tests.unit.overlays.quarantine.test_policy import POLICY

KEY = b"k" * 32
OWNER = "ann@example.com"
GUID = "a" * 32
HOSTILE = '<script>alert("x")</script>'


def kept(uid: int, subject: str = "hello", guid: str = GUID) -> Kept:
    received = datetime(2026, 11, 24, 9, tzinfo=UTC)
    return Kept(
        f"{guid}.{uid}", "Eve <e@x.example>", "e@x.example", subject, received, 900, "7", "spam", OWNER, "e@x.example"
    )


def parts(new: list[Kept]) -> tuple[EmailMessage, str, str]:
    parsed = email.message_from_bytes(report.made(POLICY, OWNER, new, KEY), policy=email_policy.default)
    assert isinstance(parsed, EmailMessage)
    text, page = (parsed.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert page is not None
    return parsed, text.get_content().replace("\r\n", "\n"), page.get_content()


def test_a_report_has_a_link_for_each_act_on_each_message() -> None:
    head, text, page = parts([kept(2), kept(1)])
    assert head["Subject"] == "Quarantine: 2 new messages"
    assert head["From"] == "Quarantine <postmaster@mx1.mail.example.org>"
    words = re.findall(rf"{re.escape(POLICY.web)}link/(\S+)\n", text)
    opened = [links.opened(KEY, word) for word in words]
    assert [(link.owner, link.message, link.act) for link in opened if link] == [
        (OWNER, f"{GUID}.{uid}", act) for uid in (2, 1) for act in (Act.RELEASE, Act.DELETE)
    ]
    first = opened[0]
    assert isinstance(first, Link)
    assert abs(first.expires - time.time() - 14 * 86400) < 60
    for word in words:
        assert f'href="{POLICY.web}link/{word}"' in page
    assert f"mailto:delete-ctrl@mx1.mail.example.org?subject={words[1]}" in page


def test_a_subject_is_text_and_nothing_else() -> None:
    _, text, page = parts([kept(1, HOSTILE)])
    assert HOSTILE in text
    assert HOSTILE not in page
    assert html.escape(HOSTILE).replace("&quot;", "&#34;") in page


def test_a_report_has_an_end() -> None:
    head, text, _ = parts([kept(uid) for uid in range(250, 0, -1)])
    assert head["Subject"] == "Quarantine: 250 new messages"
    assert text.startswith("250 new messages are kept for ann@example.com.")
    assert text.count("Release:") == 100
    assert "And 150 more." in text


def test_new_is_what_came_after_the_last_that_was_told_of() -> None:
    found = [kept(3), kept(2), kept(1)]
    assert report.newer(found, "") == found
    assert report.newer(found, f"{GUID}.2") == [kept(3)]
    assert report.newer(found, f"{GUID}.3") == []
    assert report.newer(found, f"{'b' * 32}.9") == found


def test_each_day_has_one_report_after_its_time_and_each_hour_one_clearing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(report, "tidy", lambda _policy, _records: done.append("tidy"))
    monkeypatch.setattr(report, "send_all", lambda _policy, _records: done.append("report"))
    monkeypatch.setattr(report, "lacking", int)
    records = Records(tmp_path / "records")

    def at(day: int, hour: int, minute: int, now: Policy = POLICY) -> list[str]:
        done.clear()
        report.by_the_clock(now, records, datetime(2026, 11, day, hour, minute, tzinfo=UTC))
        return list(done)

    assert at(24, 8, 55) == ["tidy"]
    assert at(24, 8, 59) == []
    assert at(24, 9, 0) == ["tidy", "report"]
    assert at(24, 9, 5) == []
    assert at(25, 13, 0) == ["tidy", "report"]  # the box was off at nine
    assert at(26, 13, 0, POLICY.model_copy(update={"reports": False})) == ["tidy"]


def test_without_room_the_oldest_go_whoever_they_are_kept_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = {
        "ann@example.com": [aged(4, 10), aged(1, 10)],
        "bob@example.com": [aged(3, 10), aged(2, 10)],
    }
    gone: list[tuple[str, list[str]]] = []

    def delete(mailbox: Mailbox, names: list[str]) -> int:
        gone.append((mailbox.owner, names))
        return len(names)

    monkeypatch.setattr(Mailbox, "all", lambda mailbox: store[mailbox.owner])
    monkeypatch.setattr(Mailbox, "delete", delete)
    records = Records(tmp_path / "records")
    for owner in store:
        records.begin(owner, owner)
    report.make_room(POLICY, records, 0)
    assert gone == []
    report.make_room(POLICY, records, 21)
    assert gone == [("ann@example.com", [f"{GUID}.1"]), ("bob@example.com", [f"{GUID}.2", f"{GUID}.3"])]


def aged(day: int, size: int) -> Kept:
    return replace(kept(day), received=datetime(2026, 11, day, tzinfo=UTC), size=size)
