"""One kind of data fills its space: the others work on, and mail is neither lost nor accepted in vain.

The spaces are file systems of their own here. That they are project quotas on the real box, and how these are set, is
for the machine lane (`test_setup.py`).
"""

from __future__ import annotations

import os
import shutil
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.container.box import until
from tests.container.lab import Lab, lab
from tests.container.test_filtering import SPAM, dns, letter, send
from tests.container.test_quarantine import KEEPING, arrived, hand_over, kept
from tests.peers import Peers

ANN = "ann@example.com"
SPACES = {"spool/postfix": 200, "vmail": 40, "log": 40, "lib": 120}


@pytest.fixture(scope="module")
def divided(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box that keeps spam, on a disk with a space for each kind of data."""
    with lab(root, peers, KEEPING, "sp", 600, SPACES) as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


@contextmanager
def full(of: Lab, space: str) -> Iterator[None]:
    """Not a block is free in a space."""
    filler = of.box.var / space / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler).free)
        while True:
            file.write(bytes(1 << 12))
    try:
        yield
    finally:
        filler.unlink()


def clean(of: Lab, subject: str) -> str:
    """Send a message that is nobody's spam; the code of the answer."""
    try:
        return send(of, letter(subject).as_bytes(), ANN)
    except smtplib.SMTPSenderRefused as refused:
        return str(refused.smtp_code)


def test_a_full_queue_takes_nothing_and_says_452(divided: Lab) -> None:
    with full(divided, "spool/postfix"):
        assert clean(divided, "queue full") == "452"
        assert divided.queued() == []
    assert clean(divided, "queue free") == "250"
    until(lambda: arrived(divided, "queue free") == [ANN], "the message")
    assert arrived(divided, "queue full") == []


def test_a_full_quarantine_keeps_spam_in_the_queue_and_delays_nothing_else(divided: Lab) -> None:
    with full(divided, "vmail"):
        assert hand_over(divided, "agent", 7, ANN) == ["451"]
        assert send(divided, letter("spam waits", SPAM).as_bytes(), ANN) == "250"
        assert clean(divided, "clean goes on") == "250"
        until(lambda: arrived(divided, "clean goes on") == [ANN], "the clean one")
        until(lambda: len(divided.queued()) == 1, "the spam in the queue", divided.queued)
        divided.box.run("postqueue", "-f")
        assert len(divided.queued()) == 1
    divided.box.run("postqueue", "-f")
    divided.until_empty()
    assert kept(divided, ANN, "spam waits") == 1
    assert arrived(divided, "spam waits") == []
    for server in divided.servers:
        assert not [one for one in server.received() if not one.sender], "something was sent back"


def test_full_logs_delay_nothing_and_the_journal_makes_room(divided: Lab) -> None:
    with full(divided, "log"):
        assert clean(divided, "logs full") == "250"
        until(lambda: arrived(divided, "logs full") == [ANN], "the message")
        divided.box.run("logger", "a line while the logs are full")
    divided.box.run("logger", "a line with room again")
    until(lambda: "a line with room again" in divided.box.journal("--lines=50"), "the journal")


def test_nothing_is_lost_while_the_rest_is_full(divided: Lab) -> None:
    """Definitions, the filter's memory, the quarantine's tables: what cannot be written down is not answered for."""
    with full(divided, "lib"):
        said = {subject: send(divided, letter(subject, text).as_bytes(), ANN) for subject, text in _TWO.items()}
        assert said == dict.fromkeys(_TWO, "250")
        until(lambda: arrived(divided, "rest clean") == [ANN], "the clean one")
    divided.box.run("postqueue", "-f")
    divided.until_empty()
    assert [kept(divided, ANN, "rest clean"), kept(divided, ANN, "rest spam")] == [0, 1]


_TWO = {"rest clean": "Good morning.", "rest spam": SPAM}
