"""The self-test tells right from wrong: faults are staged in a box in service, one after the other."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.container.box import Box, until
from tests.container.lab import ANSWERS, Lab, lab
from tests.container.test_filtering import OFF, dns
from tests.peers import Peers

# example.com (and bücher.example) as it comes; example.net keeps all spam; example.org is not filtered.
CHOICES = (
    OFF.sub("filtering: {{greylisting: {{enabled: false}}, reputation: {{enabled: true}}}}\n", ANSWERS)
    .replace("port: 2525}}", "port: 2525, filtering: {{reject: false}}}}")
    .replace('verify: "off"', 'verify: "off", filtering: {{antispam: "off", antivirus: false}}')
)
COM, NET, ORG = "example.com and 1 more", "example.net", "example.org"
SPACES = {"spool/postfix": 200}
TESTED = "postern-selftest@example.com"


@pytest.fixture(scope="module")
def gateway(root: Path, peers: Peers) -> Iterator[Lab]:
    with lab(root, peers, CHOICES, "st", 600, SPACES) as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


Found = dict[str, tuple[str, str]]


def looked(of: Box) -> Found:
    """What it said of each thing that it tried: colour and words."""
    done = of.run("postern", "selftest", "--json", check=False, timeout=600)
    assert done.stdout, done.stderr
    found = {f"{one['check']} {one['about']}": (one["colour"], one["said"]) for one in json.loads(done.stdout)}
    assert done.status == (2 if any(colour == "red" for colour, _ in found.values()) else 0)
    assert all(one["hint"] for one in json.loads(done.stdout) if one["colour"] != "green")
    return found


def red(found: Found) -> dict[str, str]:
    return {what: said for what, (colour, said) in found.items() if colour == "red"}


def test_all_is_well(gateway: Lab) -> None:
    """Each domain by its settings; and the text for a person."""
    found = looked(gateway.box)
    assert {what: said for what, said in found.items() if said[0] != "green"} == {
        "definitions viruses": ("yellow", "only a test set, which protects from nothing"),
        f"spam {ORG}": ("yellow", "taken: nobody judges spam here, by the settings"),
        f"virus {ORG}": ("yellow", "taken: nobody looks for viruses here, by the settings"),
    }
    assert {"listener 192.0.2.10 port 25", "listener 10.0.0.1 port 25", "listener 2001:db8:1::10 port 25"} < set(found)
    assert found[f"clean {COM}"][1].startswith("taken, found clean, score ")
    assert found[f"spam {COM}"][1].startswith("refused: 554 5.7.1 refused as spam")
    assert found[f"virus {COM}"][1].startswith("refused: 554 5.7.1 virus found: Eicar-Test-Signature")
    assert found[f"spam {NET}"][1].startswith("found to be spam, which the settings want kept in the quarantine")
    text = gateway.box.run("postern", "selftest").stdout
    assert f"good  virus        {COM}: refused: 554 5.7.1 virus found" in text
    assert text.endswith(f"\n{len(found) - 3} good, 3 to look at, 0 bad\n")


def test_nothing_of_it_is_left_but_in_the_logs(gateway: Lab) -> None:
    before = [len(server.received()) for server in gateway.servers]
    looked(gateway.box)
    gateway.until_empty()
    assert [len(server.received()) for server in gateway.servers] == before
    assert not [asked for server in gateway.servers for asked in server.asked if "selftest" in asked]
    assert json.loads(gateway.box.run("postern", "quarantine", "list", "--json").stdout) == []
    assert "127.0.0.1" not in gateway.box.run("postern", "reputation").stdout
    told = gateway.box.run("postern", "log", "history", "--json").stdout
    fates = {json.loads(line)["disposition"] for line in told.splitlines() if "Postern self-test: clean" in line}
    assert fates == {"discarded"}


def test_nobody_else_may_write_to_its_recipient(gateway: Lab) -> None:
    with gateway.stranger() as stranger:
        stranger.mail("eve@example.net")
        assert stranger.rcpt(TESTED)[0] == 554
        assert stranger.rcpt("Postern-SelfTest@example.com")[0] == 554
        assert stranger.rcpt("postern-selftest@selftest.invalid")[0] == 554


@contextmanager
def stopped(of: Lab, *units: str) -> Iterator[None]:
    of.box.run("systemctl", "stop", *units)
    yield
    of.box.run("systemctl", "start", *reversed(units))
    until(lambda: "127.0.0.1:11332" in of.box.run("ss", "-Hltn").stdout, "the filter")


@contextmanager
def changed(of: Lab, setting: str) -> Iterator[None]:
    """Somebody has changed Postfix's configuration by hand."""
    before = of.box.path("etc/postfix/main.cf").read_text()
    of.box.run("postconf", "-e", setting)
    of.box.run("systemctl", "reload", "postfix")
    yield
    of.box.path("etc/postfix/main.cf").write_text(before)
    of.box.run("systemctl", "reload", "postfix")
    of.box.run("postqueue", "-f")
    of.until_empty()


@contextmanager
def without_definitions(of: Lab) -> Iterator[None]:
    """What knows EICAR is gone; something else is there, or the scanner would not start."""
    folder = of.box.path("var/lib/clamav")
    own = folder / "own.hdb"
    own.write_text(f"{'0' * 31}1:68:Nothing\n")
    for name in ("hdb", "ndb"):
        (folder / f"postern-test.{name}").unlink()
    of.box.run("systemctl", "restart", "clamav-daemon")
    yield
    own.unlink()
    of.box.run("systemd-tmpfiles", "--create", "postern-filtering.conf")
    of.box.run("systemctl", "restart", "clamav-daemon")


@contextmanager
def full_queue(of: Lab) -> Iterator[None]:
    filler = of.box.var / "spool/postfix/filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(filler).free - (1 << 20))
    yield
    filler.unlink()


SCANNER = ("clamav-daemon.service", "clamav-daemon.socket")
SCANNED = {f"{kind} {about}" for kind in ("clean", "virus") for about in (COM, NET)}
FILTERED = {f"{kind} {about}" for kind in ("clean", "spam", "virus") for about in (COM, NET, ORG)}
LISTENERS = {f"listener {address} port 25" for address in ("192.0.2.10", "10.0.0.1", "2001:db8:1::10")}
Stage = Callable[[Lab], AbstractContextManager[None]]
# What is staged, what is red (a part of the words), and what else may be.
STAGED: dict[str, tuple[Stage, dict[str, str], set[str]]] = {
    "the scanner is dead": (
        lambda of: stopped(of, *SCANNER),
        dict.fromkeys(SCANNED, "put off: 451 4.7.1 the virus scanner does not answer")
        | {"service clamav-daemon": "is inactive"},
        {f"spam {NET}"},
    ),
    "the filter is dead": (
        lambda of: stopped(of, "rspamd"),
        dict.fromkeys(FILTERED, "put off: 451 4.7.1 Service unavailable") | {"service rspamd": "is inactive"},
        LISTENERS,
    ),
    "definitions are missing": (
        without_definitions,
        {f"virus {about}": "taken: viruses come through" for about in (COM, NET)},
        set(),
    ),
    "the filter decides nothing": (
        lambda of: changed(of, "smtpd_milters="),
        dict.fromkeys(FILTERED, "taken, and nobody has looked at it"),
        set(),
    ),
    "mail stands still": (
        lambda of: changed(of, "defer_transports=discard"),
        {f"clean {about}": "taken, and waits in the queue" for about in (COM, NET, ORG)},
        {f"{kind} {ORG}" for kind in ("spam", "virus")},
    ),
    "Postfix is dead": (
        lambda of: stopped(of, "postfix"),
        dict.fromkeys(FILTERED, "no answer: Connection refused")
        | dict.fromkeys(LISTENERS, "does not answer: Connection refused")
        | {"service postfix": "is inactive"},
        set(),
    ),
    "the queue is full": (
        full_queue,
        dict.fromkeys(FILTERED, "put off: 452 4.3.1 Insufficient system storage")
        | {"room queue": "MiB free, and with less than 100 no mail"},
        set(),
    ),
    "the quarantine is dead": (
        lambda of: stopped(of, "postern-quarantine.service", "postern-quarantine.socket"),
        {f"spam {NET}": "taken, and waits in the queue", "service postern-quarantine": "is inactive"},
        set(),
    ),
}


@pytest.mark.parametrize("fault", STAGED)
def test_a_fault_is_found_and_only_that(gateway: Lab, fault: str) -> None:
    stage, wanted, allowed = STAGED[fault]
    with stage(gateway):
        found = red(looked(gateway.box))
    for what, said in wanted.items():
        assert said in found.get(what, ""), found
    assert set(found) - set(wanted) <= allowed, found
    gateway.box.run("postqueue", "-f")
    gateway.until_empty()


_COME = """
import socket
try:
    line = socket.create_connection(("127.0.0.1", 25), 10, ("127.0.0.1", 40001))
    print(line.recv(512)[:3].decode())
    line.sendall(b"QUIT\\r\\n")
    while line.recv(512):
        pass
except OSError as failure:
    print(failure.strerror or failure)
"""


def test_who_comes_again_from_the_same_port_is_refused_at_once(gateway: Lab) -> None:
    """With `tcp_rfc1337`, a hardening that many lists have, he has no answer for a minute once the service is off."""
    assert gateway.box.run("python3", "-c", _COME).stdout == "220\n"
    with stopped(gateway, "postfix"):
        assert gateway.box.run("python3", "-c", _COME).stdout == "Connection refused\n"


def test_after_the_faults_all_is_well_again(gateway: Lab) -> None:
    until(lambda: not red(looked(gateway.box)), "a self-test without a fault", lambda: red(looked(gateway.box)))
