"""A message's way, as a person sees it, and records as lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from installer.box import log, trace
from overlays.logs.message import Disposition, Fate, Message, Stage, Step
from overlays.logs.records import Record
from overlays.logs.settings import Level, LogType

TIME = datetime(2026, 11, 25, 1, 6, tzinfo=UTC)


def message() -> Message:
    made = Message("4jZ1jB4YZqz1jZf", TIME, "mx.example.net[192.0.2.77]", sender="eve@example.net", ruled=True)
    made.message_id, made.subject = "one@example.net", "=?utf-8?q?Caf=C3=A9?="
    made.steps = [
        Step(TIME, Stage.CONNECTION, "mx.example.net [192.0.2.77], by postfix/smtpd"),
        Step(TIME + timedelta(seconds=1), Stage.QUEUE, "602 bytes"),
        Step(TIME + timedelta(seconds=1), Stage.VERDICT, "spam: " + " ".join(["SYMBOL(1)"] * 20)),
        Step(TIME + timedelta(seconds=2), Stage.QUARANTINE, "kept for ann@example.com", "ann@example.com"),
        Step(TIME + timedelta(seconds=2), Stage.DELIVERY, "delivered to 10.0.0.26", "cid@example.net"),
    ]
    made.fates = {"ann@example.com": Fate(TIME, "ann@example.com", Disposition.QUARANTINED, "spam", "")}
    return made


def test_the_path_is_drawn() -> None:
    lines = [line[11:] if line[:2].isdigit() or line[:11].isspace() else line for line in trace.drawn(message())]
    assert lines[:4] == [
        "Message  <one@example.net>",
        "From     eve@example.net",
        "Subject  Café",
        "Client   mx.example.net[192.0.2.77]",
    ]
    assert lines[5:] == [
        "● connection  mx.example.net [192.0.2.77], by postfix/smtpd",
        "● access      no rule matched: mail for protected domains alone is taken",
        "● verdict     spam: " + " ".join(["SYMBOL(1)"] * 8),
        "│             " + " ".join(["SYMBOL(1)"] * 9),
        "│             " + " ".join(["SYMBOL(1)"] * 3),
        "● queue       602 bytes",
        "├─ ann@example.com: QUARANTINED (spam)",
        "│  ● quarantine  kept for ann@example.com",
        "└─ cid@example.net",
        "   ● delivery    delivered to 10.0.0.26",
    ]
    assert all(len(line) <= 118 for line in trace.drawn(message()))


def history(seconds: int, disposition: str, *key: str) -> Record:
    facts = dict.fromkeys(("from", "to", "client", "user", "detail", "subject", "classifier"), "x")
    return Record(
        TIME + timedelta(seconds=seconds), LogType.HISTORY, Level.INFORMATION, facts | {"disposition": disposition}, key
    )


def test_what_became_of_a_message_is_its_last_lot() -> None:
    found = [
        history(0, "deferred", "1", "a"),
        history(1, "rejected"),
        history(2, "rejected"),
        history(3, "delivered", "1", "a"),
    ]
    assert [one.facts["disposition"] for one in log.latest(found)] == ["rejected", "rejected", "delivered"]


def test_what_is_no_time_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "systemd-analyze"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="'rubbish' is no time"):
        log.moment("rubbish")
