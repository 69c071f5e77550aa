"""Two thousand messages while programs die, the disk fills and DNS goes: none is lost, doubled or unscanned."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.container.box import until
from tests.container.faults import Fault, Sending, absences, deaths, emptied, require_each_once, state, undisturbed
from tests.container.lab import ANSWERS, TRUSTED, Lab, lab
from tests.container.load import Letter, Load
from tests.container.malformed import EICAR
from tests.container.test_filtering import OFF, SENDER, SPAM, dns
from tests.peers import Peers

COUNT = 2000
DISK_MIB = 768
TWO, OUT, SPAMS, VIRUS = 4, 5, (6, 7), 8  # the last digit of their numbers

UNITS = ("rspamd.service", "clamav-daemon.service", "dovecot.service", "valkey-server.service", "unbound.service")
FILTERING = OFF.sub("filtering: {{greylisting: {{enabled: false}}}}\n", ANSWERS)
_NUMBER = re.compile(rb"^X-Number: (\d+)\r?$", re.MULTILINE)
_VERDICT = re.compile(rb"^X-Postern-Verdict: (\w+)\r?$", re.MULTILINE)


@pytest.fixture(scope="module")
def busy(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box that filters, on a disk that can get full."""
    with lab(root, peers, FILTERING, "lo", DISK_MIB) as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        undisturbed(made.box)
        yield made


def letters() -> Iterator[Letter]:
    """Of ten seven are clean (one of these is for two domains, one for the world), two are spam, one is a virus."""
    places = ("example.com", "example.net", "example.org")
    for number in range(COUNT):
        kind = number % 10
        domains = places[:2] if kind == TWO else ("outside.example",) if kind == OUT else (places[number % 3],)
        head = f"From: Some One <{SENDER}>\r\nTo: Ann <ann@{domains[0]}>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        head += f"Message-ID: <{number}@example.edu>\r\nSubject: number {number}\r\nX-Number: {number}\r\n"
        text = "The quick brown fox jumps over the lazy dog.\r\n" * (20 + number % 200)
        if kind in SPAMS or kind == VIRUS:
            text = SPAM if kind in SPAMS else EICAR.decode()
        yield Letter(number, SENDER, tuple(f"ann@{domain}" for domain in domains), f"{head}\r\n{text}".encode())


def test_two_thousand_messages_while_everything_fails(busy: Lab) -> None:
    began = time.monotonic()
    every = list(letters())
    sending = Sending(  # a stranger's mail server and one inside
        Load(busy.stranger, [one for one in every if not _goes_out(one)], lanes=10),
        Load(lambda: busy.client(TRUSTED), [one for one in every if _goes_out(one)], lanes=2),
    )
    each = [(unit,) for unit in UNITS] + [UNITS]
    sending.under([*deaths(busy.box, each), *absences(busy.box, each), *_shortages(busy)])
    until(lambda: all(state(busy.box, unit) == "active" for unit in UNITS), "every unit")
    until(lambda: emptied(busy.box), "an empty queue", lambda: busy.box.run("postqueue", "-p").stdout)
    print(f"all delivered after {time.monotonic() - began:.1f} s")
    print(busy.box.lines_with("postern-quarantine", "said=451"))
    assert not [number for load in sending.loads for number in load.unanswered]
    viruses = {letter.number for letter in every if letter.number % 10 == VIRUS}
    require_each_once(sending, viruses, _arrived(busy))


def _shortages(of: Lab) -> Iterator[Fault]:
    def without_dns(sending: Sending) -> None:
        of.outside.ip("address", "delete", "192.0.2.53/24", "dev", of.outside.cable)
        sending.goes_on()
        of.outside.host("192.0.2.53/24")

    def without_space(sending: Sending, left_mib: int) -> None:
        filler = of.box.var / "filler"
        with filler.open("ab", buffering=0) as file, suppress(OSError):  # the disk is full
            while not left_mib or shutil.disk_usage(of.box.var).free > left_mib << 20:
                file.write(bytes(1 << 16))
        before = len(sending.put_off)
        until(
            lambda: any(said.startswith("452") for said in sending.put_off[before:]),
            "452",
            lambda: sending.put_off[-3:],
        )
        filler.unlink()

    yield "no DNS", without_dns
    yield "little space", partial(without_space, left_mib=60)
    yield "no space at all", partial(without_space, left_mib=0)


def _arrived(of: Lab) -> Iterator[tuple[int, str]]:
    """The number of each message that is at its recipients' servers or in their quarantine, and for whom."""
    for server in of.servers:
        for message in server.received():
            if message.sender != SENDER:
                continue  # what the box writes to its postmaster
            (number,) = map(int, _NUMBER.findall(message.content))
            assert _VERDICT.findall(message.content) == [b"clean"], f"{number} was not scanned"
            assert number % 10 not in SPAMS
            yield from ((number, recipient) for recipient in message.recipients)
    for path in of.box.var.glob("vmail/*/*/Maildir/.Quarantine/[nc]*/*"):
        content = path.read_bytes()
        (number,) = map(int, _NUMBER.findall(content))
        assert _VERDICT.findall(content) == [b"spam"], f"{number} was not scanned"
        assert number % 10 in SPAMS
        yield number, path.parents[3].name


def _goes_out(letter: Letter) -> bool:
    return letter.number % 10 == OUT
