"""The other modes under load, as test_load.py has gateway mode: programs die, and no message is lost or doubled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, until
from tests.container.bridged import SERVER, Bridged, bridged
from tests.container.client import Client
from tests.container.faults import Sending, absences, deaths, emptied, require_each_once, state, undisturbed
from tests.container.lab import OUTSIDE_BOX
from tests.container.load import Letter, Load
from tests.container.malformed import EICAR
from tests.container.test_filtering import SENDER, SPAM
from tests.container.test_server import Server, serving
from tests.peers import Peers

COUNT = 600
SPAMS, VIRUS = (6, 7), 8  # the last digit of their numbers
PEOPLE = ("ann@example.com", "bob@example.com")
SCANNING = ("rspamd.service", "clamav-daemon.service", "valkey-server.service")
KEEPING = ("dovecot.service", "postern-quarantine.service")
_NUMBER = re.compile(rb"^X-Number: (\d+)\r?$", re.MULTILINE)
_VERDICT = re.compile(rb"^X-Postern-Verdict: (\w+)\r?$", re.MULTILINE)


@pytest.fixture(scope="module")
def server(root: Path, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(root, peers, tmp_path_factory.mktemp("server"), "ls") as made:
        undisturbed(made.box)
        yield made


@pytest.fixture(scope="module")
def wire(root: Path, peers: Peers) -> Iterator[Bridged]:
    with bridged(root, peers, "lt", fail="closed", third="drop") as made:
        undisturbed(made.box)
        yield made


def letters() -> Iterator[Letter]:
    """Of ten seven are clean, two are spam, one is a virus. Of five two are for two people."""
    for number in range(COUNT):
        head = f"From: Some One <{SENDER}>\r\nTo: Ann <ann@example.com>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        head += f"Message-ID: <{number}@example.edu>\r\nSubject: number {number}\r\nX-Number: {number}\r\n"
        text = "The quick brown fox jumps over the lazy dog.\r\n" * (number % 20 + 1)
        if number % 10 in SPAMS or number % 10 == VIRUS:
            text = SPAM if number % 10 in SPAMS else EICAR.decode()
        recipients = PEOPLE if number % 5 < 2 else (PEOPLE[number % 2],)
        yield Letter(number, SENDER, recipients, f"{head}\r\n{text}".encode())


def viruses() -> set[int]:
    return {number for number in range(COUNT) if number % 10 == VIRUS}


def kept(of: Box, folder: str, verdict: bytes) -> Iterator[tuple[int, str]]:
    """The number of each message in everybody's folder of that name, and whose it is. All of them have that verdict."""
    for path in of.var.glob(f"vmail/*/*/Maildir/{folder}[nc][eu][wr]/*"):
        content = path.read_bytes()
        if found := _NUMBER.findall(content):
            assert _VERDICT.findall(content) == [verdict]
            yield int(found[0]), path.relative_to(of.var / "vmail").parts[1]


def test_server_mode(server: Server) -> None:
    sending = Sending(Load(lambda: Client(server.outside, OUTSIDE_BOX), list(letters())))
    groups = [*[(unit,) for unit in (*SCANNING, *KEEPING)], KEEPING, (*SCANNING, *KEEPING)]
    sending.under([*deaths(server.box, groups), *deaths(server.box, [KEEPING] * 2), *absences(server.box, groups)])
    everything = groups[-1]
    until(lambda: all(state(server.box, unit) == "active" for unit in everything), "every unit")
    until(lambda: emptied(server.box), "an empty queue", server.box.tail)
    print(server.box.lines_with("postern-quarantine", "came again|not filed yet"))
    assert not sending.loads[0].unanswered
    spam = list(kept(server.box, ".Bulk/", b"spam"))
    assert {number % 10 for number, _ in spam} == set(SPAMS)
    require_each_once(sending, viruses(), [*kept(server.box, "", b"clean"), *spam])


def test_transparent_mode(wire: Bridged) -> None:
    sending = Sending(Load(lambda: wire.hosts.client(SERVER), list(letters())))
    proxy = ("postern-proxy.service",)
    everything = (*SCANNING, *KEEPING)
    groups = [(unit,) for unit in everything]
    sending.under(
        [*deaths(wire.box, [*groups, *[proxy] * 3, (*everything, *proxy)]), *absences(wire.box, [*groups, proxy])]
    )
    until(lambda: all(state(wire.box, unit) == "active" for unit in (*everything, *proxy)), "every unit")
    until(lambda: emptied(wire.box), "an empty queue", wire.box.tail)
    passed = []
    for message in wire.hosts.server.received():
        assert _VERDICT.findall(message.content) == [b"clean"], message
        passed += [(int(*_NUMBER.findall(message.content)), one) for one in message.recipients]
    spam = list(kept(wire.box, ".Quarantine/", b"spam"))
    assert {number % 10 for number, _ in spam} == set(SPAMS)
    require_each_once(sending, viruses(), [*passed, *spam])
