"""Greylisting: what is suspicious and comes from an unknown sender is put off once, and taken when it comes again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, until
from tests.container.lab import ANSWERS, TRUSTED, Lab, lab
from tests.container.test_filtering import OFF, SPAM, arrived, delivered, dns, letter, send
from tests.peers import Peers

PERIOD = 60  # seconds
LATER = "451 b'4.7.1 Please try again later'"
GREYLISTING = OFF.sub("filtering: {{incoming: {{spam: header}}, greylisting: {{period_minutes: 1}}}}\n", ANSWERS)
# Everything that Rspamd noted, so much earlier: as if the time had passed since. What it compares is the true clock.
_EARLIER = """
for _, key in ipairs(server.call("KEYS", "rg*")) do
  server.call("SET", key, server.call("GET", key) - ARGV[1], "KEEPTTL")
end
"""


@pytest.fixture(scope="module")
def wary(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box that puts off, for the shortest period that there is."""
    with lab(root, peers, GREYLISTING, "gl") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


def pass_time(of: Box, seconds: int) -> None:
    """Let the box take its notes of unknown senders for older."""
    of.run("valkey-cli", "-e", "-s", "/run/valkey/valkey.sock", "eval", _EARLIER, "0", str(seconds))


def suspicious(subject: str, sender: str) -> bytes:
    return letter(subject, SPAM, sender).as_bytes()


def test_put_off_once_and_taken_after_the_period(wary: Lab) -> None:
    message = suspicious("a grey one", "eve@example.net")
    for _ in range(2):
        assert send(wary, message, sender="eve@example.net") == LATER
    pass_time(wary.box, PERIOD - 20)
    assert send(wary, message, sender="eve@example.net") == LATER
    assert arrived(wary, "a grey one") == []
    pass_time(wary.box, 20)
    assert send(wary, message, sender="eve@example.net") == "250"
    delivered(wary, "a grey one")
    assert send(wary, suspicious("one more of hers", "eve@example.net"), sender="eve@example.net") == "250"


def test_what_is_not_suspicious_is_taken_at_once(wary: Lab) -> None:
    assert send(wary, letter("a clean one").as_bytes()) == "250"
    delivered(wary, "a clean one")


def test_who_may_relay_is_not_put_off(wary: Lab) -> None:
    message = suspicious("from inside", "ann@example.com")
    assert send(wary, message, "cid@example.net", sender="ann@example.com", client=wary.client(TRUSTED)) == "250"
    delivered(wary, "from inside")


def test_without_valkey_nobody_is_put_off(wary: Lab) -> None:
    wary.box.run("systemctl", "stop", "valkey-server.service")
    assert send(wary, suspicious("without valkey", "mel@example.net"), sender="mel@example.net") == "250"
    delivered(wary, "without valkey")
    wary.box.run("systemctl", "start", "valkey-server.service")
    message = suspicious("valkey again", "moe@example.net")
    until(lambda: send(wary, message, sender="moe@example.net") == LATER, "greylisting")
