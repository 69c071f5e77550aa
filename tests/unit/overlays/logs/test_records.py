"""Records of the four types, and how they leave the box."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from overlays.logs import journal, send
from overlays.logs.journal import Entry
from overlays.logs.records import Record, Records
from overlays.logs.settings import Level, LogType
from tests.unit.overlays.logs.test_trail import CLIENT, ENVELOPE, FIRST, verdict

TIME = datetime(2026, 11, 25, 1, 6, tzinfo=UTC)
LAST = "TLS, session=<kR0x7Q>"
PAGE = f"method=PLAIN, rip=192.0.2.7, lip=127.0.0.1, mpid=7, {LAST}"
REFUSED = f"NOQUEUE: reject: RCPT from {CLIENT}:5: 554 5.7.1 <x@y.example>: Relay access denied; {ENVELOPE}"


def entry(unit: str, text: str, speaker: str = "", level: int = 6, about: str = "", arrived: int = 1) -> Entry:
    return Entry(arrived, TIME, unit, speaker or unit, level, text, about)


def records(*entries: Entry, types: tuple[LogType, ...] = tuple(LogType)) -> list[Record]:
    found: list[Record] = []
    made = Records(types, found.append)
    for one in entries:
        made.take(one)
    return found


def test_a_line_of_history() -> None:
    (record,) = records(entry("postfix", REFUSED, "postfix/smtpd"))
    facts = json.loads(record.json)
    assert (facts["type"], facts["level"], facts["classifier"]) == ("history", "information", "relay denied")
    assert facts["disposition"] == "rejected"
    assert 'classifier="relay denied" disposition="rejected"' in record.pairs


def test_a_verdict_is_antispam_and_maybe_antivirus() -> None:
    found = records(
        entry("rspamd", verdict(FIRST, "spam", "virus found: Eicar", "reject")), entry("rspamd", verdict(FIRST))
    )
    assert [(one.type, one.level, one.facts["classifier"]) for one in found] == [
        (LogType.ANTISPAM, Level.NOTIFICATION, "virus"),
        (LogType.ANTIVIRUS, Level.WARNING, "virus"),
        (LogType.ANTISPAM, Level.INFORMATION, "clean"),
    ]
    assert records(entry("rspamd", verdict(FIRST)), types=(LogType.EVENT,)) == []


@pytest.mark.parametrize(
    ("one", "subtype"),
    [
        (entry("", "admin : COMMAND=/usr/bin/postern apply", "sudo", 5), "admin"),
        (entry("", "Accepted publickey for admin from 172.16.0.2", "sshd-session"), "admin"),
        (entry("init.scope", "Started postfix.service.", "systemd", about="postfix.service"), "system"),
        (entry("init.scope", "x.service: Failed with result 'exit-code'.", "systemd", 4, "x.service"), "system"),
        (entry("dovecot", "imap-login: Login: user=<ann@example.com>, method=PLAIN, rip=10.0.0.5"), "imap"),
        (entry("dovecot", f"imap-login: Login: user=<ann@example.com>, {PAGE}"), ""),
        (entry("dovecot", f"imap-login: Login aborted: user=<x, {PAGE}>, lip=10.0.0.1, {LAST}"), "imap"),
        (entry("", "login user=<ann@example.com> client=<192.0.2.7> wrong", "webmail"), "webmail"),
        (entry("", "PHP Fatal error: no", "webmail", 3), "webmail"),
        (entry("", "IMAP Error: Login failed for secret against 127.0.0.1 from 192.0.2.7. no", "webmail", 3), ""),
        (entry("", "User ann@example.com [192.0.2.7]; Message for bob@example.com", "webmail"), ""),
        (entry("postfix", "warning: unknown[192.0.2.1]: SASL PLAIN authentication failed", "postfix/smtpd", 4), "smtp"),
        (entry("postern-quarantine", "release by mail owner=<ann@example.com> message=1.2 done"), "quarantine"),
        (entry("postern", "in service: generation 1, from setup"), "config"),
        (entry("postern", "[1/6] look for problems"), ""),
        (entry("postern", "0.0 s"), ""),
        (entry("init.scope", "Starting postfix.service...", "systemd", about="postfix.service"), ""),
        (entry("init.scope", "Started fstrim.service.", "systemd", about="fstrim.service"), ""),
        (entry("", "br0: port 1(port1) entered forwarding state", "kernel"), ""),
        (entry("dovecot", "lmtp(254): Connect from local"), ""),
        (entry("", "chatter", "sshd", 7), ""),
    ],
)
def test_events(one: Entry, subtype: str) -> None:
    assert [record.facts["subtype"] for record in records(one, types=(LogType.EVENT,))] == [subtype] * bool(subtype)


def test_quotation_marks_end_no_value() -> None:
    record = Record(TIME, LogType.EVENT, Level.ERROR, {"text": 'a" b="c\\'})
    assert record.pairs == 'type="event" level="error" text="a\\" b=\\"c\\\\"'
    assert send.line(record, "mx1.example.org").startswith(
        "<27>1 2026-11-25T01:06:00.000000Z mx1.example.org postern - event - "
    )


def test_entries_of_the_journal() -> None:
    said = {
        "__REALTIME_TIMESTAMP": "1795568773000001",
        "_SYSTEMD_UNIT": "postfix.service",
        "SYSLOG_IDENTIFIER": "postfix/qmgr",
    }
    rows = [said | {"MESSAGE": [104, 27, 255], "PRIORITY": "4"}, said | {"MESSAGE": "two\n lines"}]
    first, second = journal.entries([*map(json.dumps, rows), "journalctl: cut off", '{"no": "time"}'])
    assert (first.unit, first.speaker, first.level, first.text) == ("postfix", "postfix/qmgr", 4, "h \ufffd")
    assert (second.level, second.text, second.arrived) == (6, "two | lines", 1795568773000001)


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[socket.socket]:
    """What rsyslog takes records from."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.settimeout(10)
        made.bind(str(tmp_path / "in"))
        yield made


def sender(tmp_path: Path, place: int = 0) -> send.Sender:
    """Sends events that are of note."""
    wanted = send.Configuration(format=1, host="mx1.example.org", types=(LogType.EVENT,), level=Level.NOTIFICATION)
    return send.Sender(wanted, place, str(tmp_path / "in"))


def test_the_sender_keeps_to_types_and_level_and_goes_on_where_it_was(tmp_path: Path, inbox: socket.socket) -> None:
    made = sender(tmp_path, 5)
    made.take(entry("", "old", "sudo", 5, arrived=5))
    made.take(entry("", "of no matter", "sudo", 6, arrived=6))
    made.take(entry("postfix", REFUSED, arrived=6))
    assert made.place == 6
    made.take(entry("", "new", "sudo", 5, arrived=7))
    assert inbox.recv(9000).decode().endswith('by="sudo" text="new"')


def test_what_rsyslog_has_not_taken_is_read_again(tmp_path: Path, inbox: socket.socket) -> None:
    """Nor is it done with the last that it took: it takes one when it has sent the one before."""
    made = sender(tmp_path)
    for arrived in (6, 7, 8):
        made.take(entry("", "new", "sudo", 5, arrived=arrived))
    for place in (0, 0, 7):
        inbox.recv(9000)
        made.look()
        assert made.place == place
    inbox.close()
    with pytest.raises(SystemExit, match="read again"):
        made.take(entry("", "new", "sudo", 5, arrived=9))
    assert made.place == 7


def test_a_record_waits_until_rsyslog_is_there(tmp_path: Path) -> None:
    made = sender(tmp_path)
    waiting = threading.Thread(target=made.take, args=(entry("", "new", "sudo", 5),), daemon=True)
    waiting.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as late:
        late.settimeout(10)
        late.bind(str(tmp_path / "in"))
        assert b'text="new"' in late.recv(9000)
