"""The agent on the real box: each recipient of one message gets what is theirs, once, also when a next hop was away."""

from __future__ import annotations

import itertools
import json
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, until
from tests.container.lab import Lab, lab
from tests.container.test_filtering import FILTERING, SENDER, SPAM, dns, letter, send
from tests.peers import Peers

KEEPING = (
    FILTERING.replace("  incoming: {{spam: header}}\n", "")
    .replace("antispam: low, antivirus: true, spam: header", "antivirus: true")
    .replace('port: 26, verify: "off"', f'port: 26, verify: "off", filtering: {{{{welcome: [{SENDER}]}}}}')
)


@pytest.fixture(scope="module")
def gateway(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box that keeps the spam which it does not refuse."""
    with lab(root, peers, KEEPING, "qu") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


def hand_over(
    lab: Lab, subject: str, score: float, *recipients: str, sender: str = "eve@outside.example", raw: bytes = b""
) -> list[str]:
    """Give a message (`raw`, or a plain one) to the agent as Postfix does; the code of each recipient's answer."""
    message = f"From: {sender}\r\nSubject: {subject}\r\nX-Postern-Score: {score}\r\n\r\nhello\r\n"
    return hand_over_to(lab.box, sender, raw or message.encode(), *recipients)


def hand_over_to(box: Box, sender: str, raw: bytes, *recipients: str) -> list[str]:
    with smtplib.LMTP(str(box.path("run/postern-quarantine/agent.sock"))) as agent:
        agent.ehlo()
        assert agent.mail(sender)[0] == 250
        for recipient in recipients:
            assert agent.rcpt(recipient)[0] == 250
        first = agent.data(raw)[0]
        return [str(first), *(str(agent.getreply()[0]) for _ in recipients[1:])]


def kept(lab: Lab, owner: str, subject: str) -> int:
    """How many such messages are in somebody's quarantine."""
    words = ("doveadm", "search", "-u", owner, "mailbox", "Quarantine", "subject", subject)
    return len(lab.box.run(*words).stdout.split("\n")) - 1


def arrived(lab: Lab, subject: str) -> list[str]:
    line = f"Subject: {subject}\r\n".encode()
    return sorted(
        to for server in lab.servers for one in server.received() if line in one.content for to in one.recipients
    )


@pytest.fixture
def away(gateway: Lab) -> Iterator[Lab]:
    """The store is stopped, and comes back at the end."""
    gateway.box.run("systemctl", "stop", "dovecot.service")
    yield gateway
    gateway.box.run("systemctl", "start", "dovecot.service")


def test_each_of_three_recipients_gets_what_is_theirs(gateway: Lab) -> None:
    said = hand_over(gateway, "three", 7, "ann@example.com", "bob@example.org", "tom@outside.example")
    assert said == ["250", "250", "250"]
    until(lambda: arrived(gateway, "three") == ["tom@outside.example"], "the outsider's copy")
    assert kept(gateway, "ann@example.com", "three") == 1
    assert kept(gateway, "bob@example.org", "three") == 1
    assert kept(gateway, "tom@outside.example", "three") == 0


def test_what_is_not_spam_goes_on_unchanged(gateway: Lab) -> None:
    assert hand_over(gateway, "clean", 1, "ann@example.com") == ["250"]
    until(lambda: arrived(gateway, "clean") == ["ann@example.com"], "the message")
    assert kept(gateway, "ann@example.com", "clean") == 0


def test_while_the_store_is_away_postfix_keeps_the_message(away: Lab) -> None:
    assert hand_over(away, "away", 7, "ann@example.com", "tom@outside.example") == ["451", "250"]
    away.box.run("systemctl", "start", "dovecot.service")
    until(lambda: hand_over(away, "away", 7, "ann@example.com") == ["250"], "the store")
    assert kept(away, "ann@example.com", "away") == 1
    until(lambda: arrived(away, "away") == ["tom@outside.example"], "the outsider's copy")


def test_what_was_filed_while_its_answer_was_not_heard_is_not_filed_again(gateway: Lab) -> None:
    to, sender = "ann@example.com", "eve@outside.example"
    raw = f"From: {sender}\r\nSubject: unheard\r\nX-Postern-Score: 7\r\n\r\nhello\r\n".encode()
    assert hand_over(gateway, "", 7, to, raw=raw) == ["250"]
    assert hand_over(gateway, "", 7, to, raw=raw) == ["250"]  # as it comes again when the answer was not heard
    assert kept(gateway, to, "unheard") == 1
    assert hand_over(gateway, "", 7, to, raw=raw + b"another\r\n") == ["250"]
    assert kept(gateway, to, "unheard") == 2


def test_the_way_behind_the_filter_is_the_agents_alone(gateway: Lab) -> None:
    script = "import socket; socket.create_connection(('127.0.0.1', 10026), 5)"
    as_other = ("setpriv", "--reuid", "33", "--clear-groups", "python3", "-I", "-c", script)
    assert "refused" in gateway.box.run(*as_other, check=False).stderr
    assert gateway.box.run("python3", "-I", "-c", script).status == 0


def test_spam_for_three_from_the_world_gives_each_what_is_theirs(gateway: Lab) -> None:
    """One who has it kept, one who does not filter, one whose domain welcomes the sender."""
    everyone = ("ann@example.com", "cid@example.net", "eve@example.org")
    assert send(gateway, letter("spam for three", SPAM).as_bytes(), *everyone) == "250"
    until(lambda: arrived(gateway, "spam for three") == ["cid@example.net", "eve@example.org"], "the two copies")
    gateway.until_empty()
    assert [kept(gateway, owner, "spam for three") for owner in everyone] == [1, 0, 0]
    assert arrived(gateway, "spam for three") == ["cid@example.net", "eve@example.org"]


def test_what_the_world_says_of_its_own_mail_has_no_effect(gateway: Lab) -> None:
    forged = letter("forged verdict", SPAM)
    forged["X-Postern-Verdict"], forged["X-Postern-Score"] = "clean", "-10"
    assert send(gateway, forged.as_bytes()) == "250"
    until(lambda: kept(gateway, "ann@example.com", "forged verdict") == 1, "the quarantine")
    gateway.until_empty()
    assert arrived(gateway, "forged verdict") == []


def test_whom_a_person_blocks_is_kept_for_him_alone_and_nothing_is_lost(gateway: Lab) -> None:
    """Clean mail, from the world: the filter sends it to the agent, once it knows of the block."""
    ann, bob, pest = "ann@example.com", "bob@example.com", "pest@example.edu"
    subjects = (f"pest-{number}-clean" for number in itertools.count())

    def is_kept(sender: str = pest) -> bool:
        subject = next(subjects)
        assert send(gateway, letter(subject, sender=pest).as_bytes(), ann, bob, sender=sender) == "250"
        until(lambda: bob in arrived(gateway, subject), "the other's copy")
        gateway.until_empty()
        lot = (kept(gateway, ann, subject), ann in arrived(gateway, subject))
        assert lot in ((1, False), (0, True))
        return lot == (1, False)

    assert not is_kept()
    assert senders(gateway, ann, "--block", "Pest@Example.edu") == {"welcome": [], "block": [pest]}
    until(is_kept, "the filter to know of it")
    assert is_kept("bounce@example.edu")  # as the header says it
    assert senders(gateway, ann, "--welcome", pest) == {"welcome": [pest], "block": []}
    assert not is_kept()  # by the agent's own records, whatever the filter knows
    assert senders(gateway, ann, "--forget", pest) == {"welcome": [], "block": []}


def test_lists_of_senders_hold_in_their_order(gateway: Lab) -> None:
    """What the domain welcomes a person cannot block; who does not filter can block all the same."""
    domain_welcomes, unfiltered = "eve@example.org", "cid@example.net"
    for owner in (domain_welcomes, unfiltered):
        assert senders(gateway, owner, "--block", SENDER)["block"] == [SENDER]
    numbers = itertools.count()

    def are_kept() -> list[int]:
        subject = f"order-{next(numbers)}"
        assert send(gateway, letter(subject).as_bytes(), domain_welcomes, unfiltered) == "250"
        until(lambda: domain_welcomes in arrived(gateway, subject), "the welcome copy")
        gateway.until_empty()
        return [kept(gateway, owner, subject) for owner in (domain_welcomes, unfiltered)]

    until(lambda: are_kept() == [0, 1], "the filter to know of it")
    for owner in (domain_welcomes, unfiltered):
        senders(gateway, owner, "--forget", SENDER)


def senders(of: Lab, owner: str, *change: str) -> dict[str, list[str]]:
    """Somebody's lists after a change."""
    said = of.box.run("postern", "quarantine", "senders", owner, *change, "--json").stdout
    found: dict[str, list[str]] = json.loads(said)
    return found
