"""What right looks like for settings, what each answer means, and the way of a message to a real SMTP server."""

from __future__ import annotations

import email
import email.policy
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from hardware.host.errors import Refused
from installer.preflight.finding import Colour
from installer.selftest import state, way
from installer.selftest.letters import EICAR, GTUBE, Kind, letter
from installer.selftest.meaning import Wish, finding, wishes
from installer.selftest.way import Sent, Way
from overlays import selftest
from overlays.filtering.settings import SpamAction
from overlays.logs.message import Disposition, Fate, Message, Verdict
from overlays.settings import Settings, parse_answers

ANSWERS = """
format: 1
mode: gateway
network: {ports: {port1: {addresses: [192.0.2.10/24], allow: [smtp]}}}
mailhost: {host_name: mx1, local_domain: example.org}
domains:
  - {name: example.com, server: 192.0.2.25}
  - {name: bücher.example, server: 192.0.2.25}
  - {name: example.net, server: 192.0.2.25, filtering: {reject: false, spam: subject}}
  - {name: example.edu, server: 192.0.2.25, filtering: {antispam: "off", antivirus: false}}
"""
NOW = datetime.now(UTC)
ALL = Wish("example.com", 1, filters=True, antispam=True, refuses=True, spam=SpamAction.QUARANTINE, antivirus=True)
KEEPS = Wish("example.com", 0, filters=True, antispam=True, refuses=False, spam=SpamAction.SUBJECT, antivirus=True)
NONE = Wish("example.com", 0, filters=False, antispam=False, refuses=True, spam=SpamAction.HEADER, antivirus=False)


def settings(more: str = "") -> Settings:
    return parse_answers(ANSWERS + more, "answers")


def taken(word: str = "clean", fate: Disposition | None = Disposition.DISCARDED, *, arrived: bool = True) -> Sent:
    """Taken, by what the journal has of it: a verdict (or none), and an end (or none)."""
    seen = Message("4abc", NOW, verdict=Verdict(word, "0.10") if word else None)
    if fate:
        seen.fates["a"] = Fate(NOW, "a", fate, word, "queue is stopped" if fate is Disposition.DEFERRED else "")
    return Sent(250, "queued", seen=seen, arrived=arrived)


def test_domains_that_want_the_same_are_tried_once() -> None:
    found = {wish.about: wish for wish in wishes(settings())}
    assert list(found) == ["example.com and 1 more", "example.net", "example.edu"]
    assert found["example.com and 1 more"] == ALL
    assert (found["example.net"].refuses, found["example.net"].spam) == (False, SpamAction.SUBJECT)
    assert (found["example.edu"].antispam, found["example.edu"].antivirus) == (False, False)
    assert found["example.net"].recipient == "postern-selftest@example.net"


def test_a_rule_that_holds_for_everybody_decides_first() -> None:
    assert state.deciding(settings("access: [{client: 10.0.0.0/8, action: relay}]\n")) is None
    for action, judged in (("bypass", False), ("discard", False), ("reject", True)):
        rules = f'access: [{{client: 10.0.0.0/8, action: relay}}, {{sender: "<>", action: {action}}}]\n'
        (found,) = state.rule(settings(rules))
        assert (found.colour, found.about) == (Colour.YELLOW, "rule 1")
        assert found.said.startswith(action)
        assert next(wishes(settings(rules))).antispam is judged


RED, YELLOW, GREEN = Colour.RED, Colour.YELLOW, Colour.GREEN
CLEAN, SPAM, VIRUS = Kind.CLEAN, Kind.SPAM, Kind.VIRUS
NO_SPAM, NO_VIRUS = Sent(554, "5.7.1 refused as spam"), Sent(554, "5.7.1 virus found: Eicar-Test-Signature")


@pytest.mark.parametrize(
    ("kind", "wish", "sent", "colour", "said", "hint"),
    [
        (CLEAN, ALL, taken(), GREEN, "taken, found clean, score 0.10", ""),
        (CLEAN, ALL, taken("spam"), RED, "taken for spam: spam, score 0.10", "log antispam"),
        (CLEAN, ALL, Sent(554, "5.7.1 no"), RED, "refused: 554 5.7.1 no", "log mail"),
        (CLEAN, ALL, Sent(451, "4.7.1 Service unavailable"), RED, "put off: 451 4.7.1 Service", "rspamd"),
        (CLEAN, ALL, Sent(451, "4.7.1 the virus scanner does not answer"), RED, "put off: 451", "clamav-daemon"),
        (CLEAN, ALL, Sent(452, "4.3.1 Insufficient system storage"), RED, "put off: 452", "queue is full"),
        (CLEAN, ALL, Sent(0, "no answer: Connection refused"), RED, "no answer", "Postfix"),
        (CLEAN, ALL, taken(""), RED, "nobody has looked at it", "UNFILTERED"),
        (CLEAN, ALL, Sent(250, "queued"), RED, "nobody has looked at it", "UNFILTERED"),
        (CLEAN, ALL, taken(fate=None), RED, "waits in the queue", "postern apply"),
        (CLEAN, ALL, taken(fate=Disposition.DEFERRED), RED, "waits in the queue: queue is stopped", "postern apply"),
        (CLEAN, ALL, taken(fate=Disposition.DELIVERED), GREEN, "found clean", ""),
        (CLEAN, ALL, taken(fate=Disposition.DELIVERED, arrived=False), RED, "not come out whole", "log mail"),
        (CLEAN, NONE, taken(""), YELLOW, "filter nothing", "filtering.incoming"),
        (SPAM, ALL, NO_SPAM, GREEN, "refused: 554 5.7.1 refused as spam", ""),
        (SPAM, ALL, taken("clean"), RED, "taken as clean", "postern apply"),
        (SPAM, ALL, taken("spam"), RED, "taken as spam, where the settings refuse it", "welcome list"),
        (SPAM, KEEPS, taken("spam"), GREEN, "spam, which the settings want marked in its subject", ""),
        (SPAM, NONE, taken(""), YELLOW, "nobody judges spam here", "filtering.incoming.antispam"),
        (SPAM, NONE, NO_SPAM, RED, "though nobody is to judge spam", "postern apply"),
        (VIRUS, ALL, NO_VIRUS, GREEN, "refused: 554 5.7.1 virus found", ""),
        (VIRUS, ALL, taken("clean"), RED, "viruses come through", "definitions"),
        (VIRUS, NONE, taken(""), YELLOW, "nobody looks for viruses here", "filtering.incoming.antivirus"),
        (VIRUS, NONE, NO_VIRUS, RED, "though nobody is to look for viruses", "postern apply"),
    ],
)
def test_what_an_answer_means(kind: Kind, wish: Wish, sent: Sent, colour: Colour, said: str, hint: str) -> None:
    found = finding(kind, wish, sent)
    assert found.colour is colour, found
    assert (found.check, found.about) == (kind, wish.about)
    assert said in found.said
    assert hint in found.hint
    assert bool(found.hint) is (colour is not GREEN)


@pytest.mark.parametrize("kind", Kind)
def test_each_message_is_one_and_holds_what_it_is_for(kind: Kind) -> None:
    made = letter(kind, "postern-selftest@example.com")
    read = email.message_from_bytes(made.raw, policy=email.policy.default)
    assert read["Message-ID"] == f"<{made.id}>"
    assert read["Subject"] == f"Postern self-test: {kind}"
    assert (GTUBE.encode() in made.raw) is (kind is Kind.SPAM)
    parts = [part.get_content() for part in read.iter_attachments()]
    assert parts == ([EICAR.encode()] if kind is Kind.VIRUS else [])
    assert made.raw.count(b"\n") == made.raw.count(b"\r\n")
    assert letter(kind, "a@example.com").id != made.id


def test_neither_text_stands_whole_in_our_files() -> None:
    for path in Path(way.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert GTUBE not in text
        assert EICAR not in text


class Picky:
    """A server that refuses what it is told to, at the end of the message."""

    def __init__(self, said: str) -> None:
        self.said = said

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.endswith("@nobody.example"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - the same
        return self.said


def test_the_last_answer_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Message("4abc", NOW)
    monkeypatch.setattr(way, "_followed", lambda *_: seen)  # the journal is this machine's, and has nothing of it
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(Picky("554 5.7.1 refused as spam"), hostname="127.0.0.1", port=port)
    server.start()
    try:
        road = Way("127.0.0.1", port)
        assert road.send(letter(Kind.SPAM, "a@example.com")).answer == "554 5.7.1 refused as spam"
        assert road.send(letter(Kind.SPAM, "a@nobody.example")).answer == "550 5.1.1 no such user"
        server.handler.said = "250 2.0.0 queued"
        sent = road.send(letter(Kind.CLEAN, "a@example.com"))
        assert (sent.taken, sent.seen, sent.arrived) == (True, seen, True)
    finally:
        server.stop()
    assert road.send(letter(Kind.CLEAN, "a@example.com")).answer == "no answer: Connection refused"


def test_the_way_in_each_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    with way.open_for(settings()) as road:
        assert (road.host, road.port, road.stand_in) == ("192.0.2.10", 25, None)
    wired = parse_answers((Path(__file__).parents[3] / "answers/transparent.yaml").read_text(), "transparent")
    monkeypatch.setattr(selftest, "STAND_IN", ("127.0.0.1", 10127))  # a self-test of this machine has the other
    with way.open_for(wired) as road:
        assert (road.host, road.port) == way.PROXY
        assert road.stand_in is not None
        with pytest.raises(Refused, match="in use"), way.open_for(wired):
            pass
