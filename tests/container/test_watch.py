"""Watch: mail of each fate is traced from connection to verdict to delivery, and has its line in the history; what the
quarantine, the queue and the definitions are like stands in the status; nothing of a message's content is in a log."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from hardware.host import run
from tests.container.box import Box, box, until
from tests.container.bridged import Bridged, bridged
from tests.container.client import Client
from tests.container.lab import REJECTED, STRANGER, TRUSTED, Lab, lab
from tests.container.malformed import EICAR
from tests.container.network import Segment, segments
from tests.container.test_filtering import REFUSED, SPAM, attached, dns, letter, send
from tests.container.test_quarantine import KEEPING
from tests.container.test_webmail import ADDRESS, ANN, ANSWERS, PASSWORD, READER, SECRETS
from tests.peers import Peers

SENDER = "someone@example.net"
CONTENT = "Sparrow-dives~08-mild"  # in every message's text
LINK = f"https://example.net/reset?token={CONTENT}"
Found = list[dict[str, Any]]


@dataclass(frozen=True)
class Fate:
    """A message and what becomes of it: for each recipient the disposition and the classifier."""

    raw: bytes
    fates: dict[str, tuple[str, str]]
    stages: tuple[str, ...]
    source: str = STRANGER
    named: bool = True  # it came as far as to have a message-id


def _letter(subject: str, text: str = "") -> EmailMessage:
    return letter(subject, f"{text or 'Good morning.'}\n{LINK}\n")


def _virus() -> bytes:
    return attached("watched virus", EICAR, "eicar.com").replace(b"Good morning.", LINK.encode())


_COMING = ("connection", "access", "verdict")
FATES = {
    "clean": Fate(
        _letter("watched clean").as_bytes(),
        {"ann@example.com": ("delivered", "clean")},
        (*_COMING, "queue", "delivery"),
    ),
    "spam": Fate(
        _letter("watched spam", SPAM).as_bytes(),
        {"ann@example.com": ("quarantined", "spam"), "cid@example.net": ("delivered", "spam")},
        (*_COMING, "queue", "quarantine", "store", "delivery"),
    ),
    "rejected": Fate(
        _letter("watched rejected", REFUSED).as_bytes(),
        {"ann@example.com": ("rejected", "spam"), "bob@example.com": ("rejected", "spam")},
        (*_COMING, "refusal"),
    ),
    "virus": Fate(_virus(), {"ann@example.com": ("rejected", "virus")}, (*_COMING, "refusal")),
    "unknown": Fate(
        _letter("watched unknown").as_bytes(),
        {"zoe@example.com": ("rejected", "unknown recipient")},
        ("connection", "access", "refusal"),
        named=False,
    ),
    "denied": Fate(
        _letter("watched denied").as_bytes(),
        {"eve@elsewhere.example": ("rejected", "relay denied")},
        ("connection", "access", "refusal"),
        named=False,
    ),
    "rule": Fate(
        _letter("watched rule").as_bytes(),
        {"ann@example.com": ("rejected", "access rule")},
        ("connection", "access", "refusal"),
        REJECTED,
        named=False,
    ),
    "relayed": Fate(
        _letter("watched relayed").as_bytes(),
        {"tom@outside.example": ("delivered", "clean")},
        (*_COMING, "queue", "delivery"),
        TRUSTED,
    ),
    "deferred": Fate(
        _letter("watched deferred").as_bytes(),
        {"dora@example.org": ("deferred", "clean")},
        (*_COMING, "queue", "delivery"),
    ),
}


@pytest.fixture(scope="module")
def watched(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box that keeps spam, after a message of each fate."""
    with lab(root, peers, KEEPING, "wa") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        made.example_com.know_only("ann@example.com", "bob@example.com")
        made.example_org.stop()
        for fate in FATES.values():
            client = made.stranger() if fate.source == STRANGER else made.client(fate.source)
            hand_in(lambda fate=fate, client=client: send(made, fate.raw, *fate.fates, client=client))  # type: ignore[misc]
        until(lambda: len(of(history(made.box), "watched deferred")) == 1, "the last one", made.box.tail)
        yield made
        made.example_org.start()


def hand_in(send: Callable[[], object]) -> None:
    """A refusal is what some messages are sent for."""
    try:
        send()
    except smtplib.SMTPRecipientsRefused:
        return


def history(box: Box, *words: str) -> Found:
    return lines(box, "history", *words)


def lines(box: Box, *words: str) -> Found:
    return [json.loads(line) for line in box.run("postern", "log", *words, "--json").stdout.splitlines()]


def of(found: Found, subject: str) -> Found:
    return [one for one in found if one["subject"] == subject]


def traced(box: Box, word: str) -> Found:
    made: Found = json.loads(box.run("postern", "trace", word, "--json").stdout)
    return made


def stages(message: dict[str, Any]) -> set[str]:
    steps = [*message["steps"], *(step for one in message["recipients"] for step in one["steps"])]
    return {step["stage"] for step in steps}


def became(message: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["to"]: (one["disposition"], one["classifier"]) for one in message["recipients"]}


@pytest.mark.parametrize("name", FATES)
def test_each_fate_is_a_line_of_history_for_each_recipient(watched: Lab, name: str) -> None:
    fate = FATES[name]
    found = [
        one for one in history(watched.box) if one["to"] in fate.fates and one["subject"] in (f"watched {name}", "")
    ]
    rows = {one["to"]: one for one in found if not fate.named or one["subject"]}
    assert {to: (row["disposition"], row["classifier"]) for to, row in rows.items()} == fate.fates
    for row in rows.values():
        assert fate.source in row["client"]
        assert row["from"] == SENDER


@pytest.mark.parametrize("name", FATES)
def test_each_fate_is_traced_from_connection_to_its_end(watched: Lab, name: str) -> None:
    fate = FATES[name]
    word = f"watched.{name}@example.net" if fate.named else next(iter(fate.fates))
    found = [one for one in traced(watched.box, word) if fate.named or one["client"].endswith(f"[{fate.source}]")]
    (message,) = [one for one in found if fate.named or became(one) == fate.fates]
    assert became(message) == fate.fates
    assert stages(message) == set(fate.stages)


def test_a_trace_for_people_shows_the_path(watched: Lab) -> None:
    drawn = watched.box.run("postern", "trace", "<watched.spam@example.net>").stdout
    for part in (
        "● connection",
        "● access",
        "no rule matched",
        "● verdict",
        "GTUBE_SPAM",
        "ann@example.com: QUARANTINED",
    ):
        assert part in drawn
    for part in ("kept for ann@example.com as spam", "mailbox 'Quarantine'", "cid@example.net: DELIVERED", "10.0.0.26"):
        assert part in drawn
    assert "rule 2: relay" in watched.box.run("postern", "trace", "watched.relayed@example.net").stdout


def test_all_messages_of_an_address_are_shown_one_after_the_other(watched: Lab) -> None:
    drawn = watched.box.run("postern", "trace", "ann@example.com").stdout
    begun = [drawn.index(f"watched.{name}@example.net") for name in ("clean", "spam", "rejected", "virus")]
    assert begun == sorted(begun)


def test_what_cannot_be_found_is_said(watched: Lab) -> None:
    done = watched.box.run("postern", "trace", "nobody@nowhere.example", check=False)
    assert (done.status, done.stderr.count("\n")) == (2, 1)
    done = watched.box.run("postern", "log", "history", "--since", "rubbish", check=False)
    assert (done.status, done.stderr.strip()[:26]) == (2, "'rubbish' is no time (such")


def test_what_is_released_is_so_in_history_and_trace(watched: Lab) -> None:
    assert send(watched, _letter("watched release", SPAM).as_bytes(), "bob@example.com") == "250"
    until(lambda: of(history(watched.box), "watched release"), "the quarantine", watched.box.tail)
    kept = json.loads(watched.box.run("postern", "quarantine", "list", "bob@example.com", "--json").stdout)
    watched.box.run("postern", "quarantine", "release", "bob@example.com", kept[0]["name"])
    row = of(history(watched.box), "watched release")
    until(lambda: of(history(watched.box), "watched release")[0]["disposition"] == "released", "it", lambda: row)
    (message,) = traced(watched.box, "watched.release@example.net")
    assert became(message) == {"bob@example.com": ("released", "spam")}


def test_antispam_and_antivirus_have_their_records(watched: Lab) -> None:
    spam = {one["message_id"]: one for one in lines(watched.box, "antispam")}
    assert spam["watched.clean@example.net"]["classifier"] == "clean"
    record = spam["watched.spam@example.net"]
    assert (record["classifier"], record["level"], record["from"]) == ("spam", "notification", SENDER)
    assert "GTUBE_SPAM(" in record["symbols"]
    (virus,) = lines(watched.box, "antivirus")
    assert (virus["message_id"], virus["classifier"], virus["to"]) == (
        "watched.virus@example.net",
        "virus",
        "ann@example.com",
    )
    assert "Eicar-Test-Signature" in virus["detail"]


def test_events_tell_what_an_administrator_did(watched: Lab) -> None:
    watched.box.run("postern", "quarantine", "report")
    events = lines(watched.box, "event")
    assert "root runs: postern quarantine report" in [one["text"] for one in events]
    assert any("in service: generation 1" in one["text"] and one["subtype"] == "config" for one in events)
    assert any("Started postfix.service" in one["text"] and one["subtype"] == "system" for one in events)


def test_the_status_has_quarantine_queue_and_definitions(watched: Lab) -> None:
    status = json.loads(watched.box.run("postern", "status", "--json").stdout)
    assert status["quarantine"]["messages"] >= 1
    assert status["quarantine"]["size_bytes"] > 500
    assert status["quarantine"]["oldest"]
    assert sum(status["queue"].values()) == 1
    assert status["log_server"] is None
    shown = watched.box.run("postern", "status").stdout
    for label in ("Quarantine", "Queue", "Definitions", "Certificate", "Data disk", "Log server  none"):
        assert label in shown


def test_history_can_be_followed(watched: Lab, tmp_path: Path) -> None:
    said = tmp_path / "said"
    words = ("postern", "log", "history", "--follow", "--since", "1 hour ago", "--json")
    with run.spawn(watched.box.command(*words), log=said):
        until(lambda: "watched deferred" in said.read_text(), "what was before", said.read_text)
        assert send(watched, _letter("watched follow").as_bytes()) == "250"
        until(lambda: "watched follow" in said.read_text(), "what comes", said.read_text)


def test_no_content_of_a_message_is_in_a_log(watched: Lab) -> None:
    assert CONTENT not in watched.box.journal("--all")


def test_by_default_nothing_is_sent_to_anybody(watched: Lab) -> None:
    for unit in ("rsyslog.service", "postern-logs.service"):
        assert watched.box.run("systemctl", "is-active", unit, check=False).stdout.strip() == "inactive"


# Server mode


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[tuple[Box, Segment]]:
    """A server with two users, after a message of each fate."""
    with segments(1, "ws") as nets, box(root, nets) as made:
        made.start({"postern.answers": ANSWERS, "postern.secrets": SECRETS})
        nets[0].host(f"{READER}/24")
        until(lambda: made.path("run/rspamd/dns").exists(), "the filter")
        for name, (raw, to, *_) in SERVER.items():
            message = raw.replace(b"\n", b"\r\n")

            def deliver(to: str = to, message: bytes = message) -> None:
                with Client(nets[0], ADDRESS, READER) as client:
                    client.sendmail(SENDER, [to], message)

            try:
                hand_in(deliver)
            except smtplib.SMTPDataError:
                assert name in ("rejected", "virus")
        made.run("sendmail", "-f", ANN, "tom@outside.example", stdin=_letter("watched deferred").as_string())
        until(lambda: of(history(made), "watched clean"), "the first", made.tail)
        yield made, nets[0]
        made.require_well(PASSWORD)


# By name: the message, its recipient, the disposition and the classifier.
SERVER = {
    "clean": (_letter("watched clean").as_bytes(), ANN, "delivered", "clean"),
    "spam": (_letter("watched spam", SPAM).as_bytes(), ANN, "quarantined", "spam"),
    "rejected": (_letter("watched rejected", REFUSED).as_bytes(), ANN, "rejected", "spam"),
    "virus": (_virus(), ANN, "rejected", "virus"),
    "unknown": (_letter("watched unknown").as_bytes(), "zoe@example.com", "rejected", "unknown recipient"),
    "denied": (_letter("watched denied").as_bytes(), "eve@elsewhere.example", "rejected", "relay denied"),
}
_DEFERRED = ("tom@outside.example", "deferred", "none")


@pytest.mark.parametrize("name", [*SERVER, "deferred"])
def test_each_fate_in_server_mode(server: tuple[Box, Segment], name: str) -> None:
    made, _ = server
    to, *fate = SERVER[name][1:] if name in SERVER else _DEFERRED

    def rows() -> list[list[str]]:
        named = [
            one for one in history(made) if one["to"] == to and one["message_id"] in (f"watched.{name}@example.net", "")
        ]
        return [[one["disposition"], one["classifier"]] for one in named]

    until(lambda: fate in rows(), f"the history of {name}", lambda: history(made))
    word = to if name in ("unknown", "denied") else f"watched.{name}@example.net"
    assert [tuple(fate)] == [became(one)[to] for one in traced(made, word)]


def test_where_a_mailbox_took_it_is_in_the_trace(server: tuple[Box, Segment]) -> None:
    drawn = server[0].run("postern", "trace", "watched.clean@example.net").stdout
    assert "● store" in drawn
    assert "mailbox 'INBOX'" in drawn
    assert CONTENT not in server[0].journal("--all")


# Transparent mode


@pytest.fixture(scope="module")
def wire(root: Path, peers: Peers) -> Iterator[Bridged]:
    with bridged(root, peers, "wt", fail="closed", third="drop") as made:
        yield made


def test_what_crosses_the_box_is_traced(wire: Bridged) -> None:
    hosts = wire.hosts
    wanted = {"clean": ("delivered", "clean"), "spam": ("quarantined", "spam"), "rejected": ("rejected", "spam")}
    for name in wanted:
        with hosts.client(hosts.server.address) as client:
            try:
                client.sendmail(SENDER, ["ann@example.com"], FATES[name].raw.replace(b"\n", b"\r\n"))
            except smtplib.SMTPDataError:
                assert name == "rejected"
    for name, fate in wanted.items():
        until(lambda name=name: of(history(wire.box), f"watched {name}"), name, wire.box.tail)  # type: ignore[misc]
        (message,) = traced(wire.box, f"watched.{name}@example.net")
        assert became(message) == {"ann@example.com": fate}
        assert {"connection", "verdict"} < stages(message)
    assert CONTENT not in wire.box.journal("--all")
