"""Access rules with real sends: every action and condition, recipients that differ, and the service gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from hardware.host import run
from tests.container.box import until
from tests.container.client import Client
from tests.container.lab import ANSWERS, NEIGHBOUR, OUTSIDE_BOX, PARTNER, REJECTED, STRANGER, TRUSTED, Lab, lab
from tests.container.mailserver import Message
from tests.peers import Peers

WORLD = "victim@outside.example"
RULES = """
access:
  - {{client: 10.0.0.99, action: reject}}
  - {{sender: "*@spam.example", action: reject}}
  - {{recipient: "void?@example.org", action: discard}}
  - {{sender: {{pattern: '(news|list)-[0-9]+@partner\\.example', regex: true}}, reverse_dns: "*.partner.example",
     tls: "yes", action: bypass}}
  - {{reverse_dns: "*.partner.example", tls: "no", action: reject}}
  - {{client: 10.0.0.64/28, sender: "*@example.com", action: relay}}
  - {{client: 10.0.0.90, authentication: "not", recipient: "*@outside.example", action: bypass}}
  - {{sender: "friend@*", action: bypass}}
filtering: {{incoming: {{spam: header}}, greylisting: {{enabled: false}}}}
"""
# Answers every question as the rules' service never may: everybody may send to everywhere.
_LIAR = """
import os, socketserver
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line == b"\\n":
                self.wfile.write(b"action=access_relay\\n\\n")
os.unlink("/run/postern-access/policy.sock")
server = socketserver.ThreadingUnixStreamServer("/run/postern-access/policy.sock", Answer)
os.chmod("/run/postern-access/policy.sock", 0o666)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def ruled(root: Path, peers: Peers) -> Iterator[Lab]:
    """A gateway with a rule for everything that rules can say."""
    with lab(root, peers, ANSWERS[: ANSWERS.index("access:")] + RULES.lstrip(), "ac") as made:
        yield made


# Who sends from where to whom, encrypted or not; the answer to the recipient, and the word that filters are told.
SENDS = {
    "no rule": (STRANGER, "someone@example.edu", "ann@example.org", False, 250, "take"),
    "no rule, to the world": (STRANGER, "someone@example.edu", WORLD, False, 554, ""),
    "sender refused": (STRANGER, "any@spam.example", "ann@example.org", False, 554, ""),
    "sender refused, whatever its case": (STRANGER, "ANY@Spam.EXAMPLE", "ann@example.org", False, 554, ""),
    "client refused": (REJECTED, "ann@example.com", "ann@example.org", False, 554, ""),
    "discarded": (STRANGER, "someone@example.edu", "void1@example.org", False, 250, None),
    "discarded, whoever sends": (TRUSTED, "ann@example.com", "void2@example.org", False, 250, None),
    "not discarded": (STRANGER, "someone@example.edu", "void@example.org", False, 250, "take"),
    "expression, name and TLS": (PARTNER, "news-7@partner.example", "ann@example.org", True, 250, "bypass"),
    "expression and name": (PARTNER, "news-7@partner.example", "ann@example.org", False, 554, ""),
    "name and TLS": (PARTNER, "someone@partner.example", "ann@example.org", True, 250, "take"),
    "expression and TLS": (STRANGER, "news-7@partner.example", "ann@example.org", True, 250, "take"),
    "bypass without networks, to the world": (PARTNER, "news-7@partner.example", WORLD, True, 554, ""),
    "network and sender": (TRUSTED, "ann@example.com", WORLD, False, 250, "relay"),
    "network and sender, to a protected domain": (TRUSTED, "ann@example.com", "ann@example.org", False, 250, "relay"),
    "network and another sender, to the world": (TRUSTED, "ann@example.net", WORLD, False, 554, ""),
    "network and another sender": (TRUSTED, "ann@example.net", "ann@example.org", False, 250, "take"),
    "sender and another network": (NEIGHBOUR, "ann@example.com", "x@elsewhere.example", False, 554, ""),
    "network, no login, recipient": (NEIGHBOUR, "ann@example.net", WORLD, False, 250, "bypass"),
    "forged sender of a bypass": (STRANGER, "friend@example.edu", "ann@example.org", False, 250, "bypass"),
    "forged sender of a bypass, to the world": (STRANGER, "friend@example.edu", WORLD, False, 554, ""),
}


@pytest.mark.parametrize("name", SENDS)
def test_a_rule_decides(ruled: Lab, name: str) -> None:
    source, sender, recipient, tls, code, told = SENDS[name]
    subject = f"access {uuid4()}"
    with _client(ruled, source) as client:
        if tls:
            client.starttls()
            client.ehlo()
        assert client.try_recipient(recipient, sender)[0] == code
        if code != 250:
            return
        client.say("RSET")
        client.sendmail(sender, [recipient], f"X-Postern-Access: bypass\r\nSubject: {subject}\r\n\r\nX\r\n".encode())
    ruled.until_empty()
    arrived = _arrived(ruled, subject)
    assert [one.recipients for one in arrived] == ([] if told is None else [(recipient,)])
    assert not [one for one in arrived if b"X-Postern-Access" in one.content]
    # What filters were told is not in what leaves: the answer is in the service's own words, but for the usual one.
    said = ruled.box.journal("--unit=postern-access", "--lines=1").splitlines()[-1]
    assert told in (None, "take") or (f"action={told}" in said and f"sender=<{sender}>" in said)


def test_recipients_that_differ_come_separately_and_nobody_is_left_out(ruled: Lab) -> None:
    subject = f"access {uuid4()}"
    letter = f"Subject: {subject}\r\n\r\nX\r\n".encode()
    everyone = ["void1@example.org", "ann@example.org", "void2@example.org", "bob@example.com"]
    rounds = 0
    with ruled.stranger() as client:
        while everyone:
            rounds += 1
            refused = client.sendmail("someone@example.edu", everyone, letter)
            assert {code for code, _ in refused.values()} <= {452}
            everyone = list(refused)
    ruled.until_empty()
    assert rounds == 2
    assert sorted(one.recipients[0] for one in _arrived(ruled, subject)) == ["ann@example.org", "bob@example.com"]


def test_a_recipient_that_is_refused_does_not_discard_the_message(ruled: Lab) -> None:
    """The discarded one is not known at its server: it is refused, and another one's message is not lost with it."""
    subject = f"access {uuid4()}"
    with ruled.stranger() as client:
        assert client.say("MAIL FROM:<someone@example.edu>")[0] == 250
        assert client.say("RCPT TO:<void1@example.org>")[0] == 250
        assert client.say("RCPT TO:<ann@example.org>")[0] == 452
        assert client.say("RSET")[0] == 250
        client.sendmail("someone@example.edu", ["ann@example.org"], f"Subject: {subject}\r\n\r\nX\r\n".encode())
    ruled.until_empty()
    assert len(_arrived(ruled, subject)) == 1


def test_new_rules_defer_nothing(ruled: Lab) -> None:
    """The service starts anew, as after a change of rules, while mail comes in: the questions wait."""
    subject = f"access {uuid4()}"
    for number in range(30):
        if number % 10 == 5:
            ruled.box.run("systemctl", "--no-block", "restart", "postern-access.service")
        with ruled.stranger() as client:
            client.sendmail("someone@example.edu", ["ann@example.org"], f"Subject: {subject}\r\n\r\n{number}".encode())
    ruled.until_empty()
    assert len(_arrived(ruled, subject)) == 30


def test_without_the_service_mail_is_deferred_and_not_lost(ruled: Lab) -> None:
    subject = f"access {uuid4()}"
    letter = f"Subject: {subject}\r\n\r\nX\r\n".encode()
    before = ruled.world.count()
    with ruled.stranger() as client:
        client.sendmail("someone@example.edu", ["ann@example.org"], letter)  # accepted before
        ruled.box.run("systemctl", "stop", "postern-access.socket", "postern-access.service")
        try:
            for sender, recipient in (
                ("someone@example.edu", "ann@example.org"),
                ("any@spam.example", "ann@example.org"),
                ("ann@example.com", WORLD),
            ):
                assert client.try_recipient(recipient, sender)[0] == 451
        finally:
            ruled.box.run("systemctl", "start", "postern-access.socket", "postern-access.service")
        client.say("RSET")
        client.sendmail("someone@example.edu", ["bob@example.org"], letter)
    ruled.until_empty()
    assert sorted(one.recipients[0] for one in _arrived(ruled, subject)) == ["ann@example.org", "bob@example.org"]
    assert ruled.world.count() == before


def test_a_service_that_dies_is_back(ruled: Lab) -> None:
    ruled.box.run("systemctl", "kill", "--signal=KILL", "postern-access.service")
    with ruled.stranger() as client:
        assert client.try_recipient("ann@example.org")[0] == 250


def test_a_service_that_lies_does_not_open_the_relay(ruled: Lab) -> None:
    """The worst fault that ours could have: Postfix's own guard stands behind every answer."""
    ruled.box.run("systemctl", "stop", "postern-access.socket", "postern-access.service")
    try:
        with run.spawn(ruled.box.command("python3", "-c", _LIAR)):
            socket = ruled.box.path("run/postern-access/policy.sock")
            until(lambda: socket.exists() and socket.stat().st_mode & 0o002, "the liar")
            for source in (STRANGER, PARTNER, NEIGHBOUR):
                with _client(ruled, source) as client:
                    expected = 250 if source == NEIGHBOUR else 554  # a network that a rule names
                    assert client.try_recipient("ann@example.org")[0] == 250
                    assert client.try_recipient(WORLD)[0] == expected
    finally:
        ruled.box.run("rm", "-f", "/run/postern-access/policy.sock")
        ruled.box.run("systemctl", "start", "postern-access.socket", "postern-access.service")


def test_the_service_is_confined(ruled: Lab) -> None:
    ruled.box.run("systemd-analyze", "security", "--threshold=20", "--no-pager", "postern-access.service")
    assert ruled.box.run("stat", "-c", "%U:%G %a", "/run/postern-access/policy.sock").stdout == "root:postfix 660\n"


def _client(of: Lab, source: str) -> Client:
    return Client(of.outside, OUTSIDE_BOX, source) if source.startswith("192.0.2.") else of.client(source)


def _arrived(of: Lab, subject: str) -> list[Message]:
    return [one for server in of.servers for one in server.received() if subject.encode() in one.content]
