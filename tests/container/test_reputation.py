"""Sender reputation: strangers who send much that is bad are slowed down, put off and refused; others are let alone."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import until
from tests.container.client import Client
from tests.container.lab import ANSWERS, OUTSIDE_BOX, PARTNER, STRANGER, TRUSTED, Lab, lab
from tests.container.malformed import EICAR
from tests.container.test_filtering import OFF, SPAM, attached, delivered, dns, letter, send
from tests.peers import Peers

GUARDED = OFF.sub(
    """filtering:
  incoming: {{spam: header}}
  greylisting: {{enabled: false}}
  reputation: {{enabled: true}}
""",
    ANSWERS,
)
WORSE, SPAMMER, STRANGER6 = "192.0.2.79", "192.0.2.81", "2001:db8:1::77"
ANN = "ann@example.com"
# Everything that was noted, as if it were so many hours old.
_EARLIER = """
for _, key in ipairs(server.call("KEYS", "reputation|*")) do
  local name, hour = key:match("^(.*|)(%d+)$")
  server.call("RENAME", key, name .. string.format("%d", hour - ARGV[1]))
end
"""


@pytest.fixture(scope="module")
def guarded(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box where the past of strangers counts, with the figures that it has by itself."""
    with lab(root, peers, GUARDED, "rp") as made:
        made.outside.host(f"{WORSE}/24", f"{SPAMMER}/24")
        made.example_com.know_only(ANN)
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


@pytest.fixture(autouse=True)
def forgotten(guarded: Lab) -> None:
    """Nobody has a past yet."""
    valkey(guarded, "flushall")


def valkey(of: Lab, *words: str) -> None:
    of.box.run("valkey-cli", "-e", "-s", "/run/valkey/valkey.sock", *words)


def client(of: Lab, source: str) -> Client:
    return Client(of.outside, "2001:db8:1::10" if ":" in source else OUTSIDE_BOX, source)


def told(of: Lab) -> dict[str, dict[str, Any]]:
    """What the command says of each client."""
    return {one["client"]: one for one in json.loads(of.box.run("postern", "reputation", "--json").stdout)}


def tries(of: Lab, source: str, recipient: str = ANN) -> tuple[int, str]:
    with client(of, source) as session:
        return session.try_recipient(recipient)


def names(session: Client, number: int) -> None:
    """One message for Ann and so many that nobody is."""
    assert session.say("MAIL FROM:<eve@example.edu>")[0] == 250
    assert session.say(f"RCPT TO:<{ANN}>")[0] == 250
    assert {session.say(f"RCPT TO:<guess{one}@nowhere.example>")[0] for one in range(number)} == {554}


def test_who_guesses_is_slowed_down_and_others_are_not(guarded: Lab) -> None:
    with client(guarded, PARTNER) as session:
        names(session, 5)
    code, text = tries(guarded, PARTNER)
    assert (code, text) == (450, f"4.7.1 <{ANN}>: Recipient address rejected: {_why('come again in an hour')}")
    assert tries(guarded, STRANGER)[0] == 250
    one = told(guarded)[PARTNER]
    assert (one["standing"], one["past"]) == (
        "throttled",
        {"messages": 1, "asked": 6, "known": 1, "spam": 0, "virus": 0},
    )
    said = guarded.box.run("postern", "reputation").stdout
    assert f"{PARTNER} 19 throttled: 1 messages, 1 of 6 recipients exist, 0 spam, 0 viruses\n" in said


def test_in_the_next_hour_one_message_is_taken(guarded: Lab) -> None:
    with client(guarded, PARTNER) as session:
        names(session, 5)
    valkey(guarded, "eval", _EARLIER, "0", "1")
    assert tries(guarded, PARTNER)[0] == 250
    assert tries(guarded, PARTNER)[0] == 450


def test_recipients_that_the_domains_server_does_not_know_count(guarded: Lab) -> None:
    with client(guarded, PARTNER) as session:
        assert session.try_recipient("nobody@example.com")[0] == 550
    past = told(guarded)[PARTNER]["past"]
    assert (past["asked"], past["known"]) == (1, 0)


def test_who_sends_worse_is_put_off_then_refused_and_forgotten_after_twelve_hours(guarded: Lab) -> None:
    """With viruses in several sessions at once, as nobody is let begin another message after the first few."""
    virus = attached("a virus", EICAR, "eicar.com").replace(b"\n", b"\r\n")
    sessions = [client(guarded, WORSE) for _ in range(6)]
    for session in sessions:  # all begin before anything is known of them
        assert session.say("MAIL FROM:<eve@example.edu>")[0] == 250
        assert session.say(f"RCPT TO:<{ANN}>")[0] == 250
    for number, session in enumerate(sessions):
        assert {session.say(f"RCPT TO:<guess{one}@nowhere.example>")[0] for one in range(9)} == {554}
        with pytest.raises(smtplib.SMTPDataError, match="virus found"):
            _give(session, virus)
        session.close()
        if number == 3:
            until(lambda: told(guarded)[WORSE]["past"]["virus"] == 4, "the viruses to be noted")
            assert tries(guarded, WORSE) == (
                451,
                f"4.7.1 <{ANN}>: Recipient address rejected: {_why('come again later')}",
            )
    until(lambda: told(guarded)[WORSE]["past"]["virus"] == 6, "the viruses to be noted")
    assert told(guarded)[WORSE]["standing"] == "refused"
    assert tries(guarded, WORSE) == (550, f"5.7.1 <{ANN}>: Recipient address rejected: {_why()}")
    valkey(guarded, "eval", _EARLIER, "0", "12")
    assert tries(guarded, WORSE)[0] == 250
    assert told(guarded)[WORSE]["score"] == 0


def test_spam_counts(guarded: Lab) -> None:
    for number in range(4):
        said = send(guarded, letter(f"spam {number}", SPAM).as_bytes(), client=client(guarded, SPAMMER))
        assert said == "250"
    until(lambda: told(guarded)[SPAMMER]["past"]["spam"] == 4, "the spam to be noted", lambda: told(guarded))
    assert tries(guarded, SPAMMER)[0] == 450


def test_who_may_relay_has_no_past(guarded: Lab) -> None:
    with guarded.client(TRUSTED) as session:
        for number in range(8):
            assert session.try_recipient(f"nobody{number}@example.com")[0] == 550
        assert session.try_recipient(ANN)[0] == 250
    assert send(guarded, letter("spam from inside", SPAM).as_bytes(), client=guarded.client(TRUSTED)) == "250"
    delivered(guarded, "spam from inside")
    assert told(guarded) == {}


def test_an_ipv6_client_is_known_by_its_network(guarded: Lab) -> None:
    assert send(guarded, letter("spam by IPv6", SPAM).as_bytes(), client=client(guarded, STRANGER6)) == "250"
    with client(guarded, STRANGER6) as session:
        names(session, 4)
    until(lambda: told(guarded)["2001:db8:1::/64"]["past"]["spam"] == 1, "the spam to be noted", lambda: told(guarded))
    assert list(told(guarded)) == ["2001:db8:1::/64"]
    assert tries(guarded, STRANGER6)[0] == 450


def test_without_valkey_nobody_has_a_past(guarded: Lab) -> None:
    with client(guarded, PARTNER) as session:
        names(session, 5)
    guarded.box.run("systemctl", "stop", "valkey-server.service")
    assert send(guarded, letter("without a past").as_bytes(), client=client(guarded, PARTNER)) == "250"
    delivered(guarded, "without a past")
    said = guarded.box.run("postern", "reputation", check=False)
    assert (said.status, said.stderr.startswith("what is remembered cannot be read")) == (2, True)
    guarded.box.run("systemctl", "start", "valkey-server.service")
    assert guarded.box.journal("--unit=postern-access").count("reputation is not known") == 1


def _why(then: str = "") -> str:
    return "too many bad messages came from you" + (f": {then}" if then else "")


def _give(session: Client, content: bytes) -> None:
    code, text = session.data(content)
    if code != 250:
        raise smtplib.SMTPDataError(code, text)
