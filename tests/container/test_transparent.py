"""Transparent mode: two boxes, one that fails closed and one that fails open, each a bridge between two networks.

outside  port1  incoming connections are proxied, outgoing ones pass
inside   port2  all are proxied; the box itself takes no mail here
third    port3  all are dropped
desk     port4  left the bridge

Shown on the kernel of whoever runs it. The scanner is a stand-in (`scanner.py`): what is tested is what its answers do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware.host import run
from tests.container.box import Box, box, until
from tests.container.client import Client
from tests.container.mailserver import MailServer
from tests.container.network import Segment, segments
from tests.container.scanner import PORT as SCANNER

PASSWORD = "Quail-sings~07-low"
BOX, SERVER, SERVER6, OTHER, WORLD = "192.0.2.10", "192.0.2.25", "2001:db8:1::25", "192.0.2.26", "192.0.2.80"
STRANGER, STRANGER6, INSIDER, THIRD = "192.0.2.77", "2001:db8:1::77", "192.0.2.66", "192.0.2.88"
ANSWERS = f"""
format: 1
mode: transparent
network:
  bridge: {{{{addresses: [{BOX}/24, "2001:db8:1::10/64"], allow: [ping, smtp]}}}}
  ports:
    port2: {{{{smtp: {{{{outgoing: proxy, local: false}}}}}}}}
    port3: {{{{smtp: {{{{incoming: drop, outgoing: drop}}}}}}}}
    port4: {{{{addresses: [172.16.0.1/24], allow: [ping, ssh]}}}}
mailhost: {{{{host_name: filter, local_domain: mail.example.org}}}}
domains:
  - {{{{name: example.com, server: {SERVER}}}}}
  - {{{{name: example.net, server: "{SERVER6}"}}}}
transparent: {{{{fail: {{fail}}}}}}
"""


@dataclass(frozen=True)
class Wire:
    """The box in the wire, and the hosts at both its ends."""

    box: Box
    outside: Segment
    inside: Segment
    third: Segment
    server: MailServer
    server6: MailServer
    other: MailServer  # inside, and nobody's protected server
    elsewhere: MailServer  # a service at another port
    world: MailServer

    def send(self, source: str, target: str, text: str = "hello", where: Segment | None = None) -> tuple[int, str]:
        """One message; the answer to it."""
        with Client(where or self.outside, target, source) as client:
            assert client.say("MAIL FROM:<ann@example.org>")[0] == 250
            assert client.say("RCPT TO:<bob@example.com>")[0] == 250
            assert client.say("DATA")[0] == 354
            return client.say(f"Subject: x\r\nX-Postern-Verdict: forged\r\n\r\n{text}\r\n.")


@contextmanager
def wire(root: Path, fail: str, label: str) -> Iterator[Wire]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postern-wire-")))
        outside, inside, third, desk = stack.enter_context(segments(4, label))
        made = stack.enter_context(box(root, (outside, inside, third, desk)))
        secrets = f'format: 1\nadmin: {{password: "{PASSWORD}"}}\n'
        made.start({"postern.answers": ANSWERS.format(fail=fail), "postern.secrets": secrets})
        outside.host(f"{STRANGER}/24", f"{WORLD}/24", f"{STRANGER6}/64")
        inside.host(f"{SERVER}/24", f"{OTHER}/24", f"{INSIDER}/24", f"{SERVER6}/64")
        third.host(f"{THIRD}/24")
        argv = ["nsenter", "--target", str(made.leader), "--net", sys.executable, "-m", "tests.container.scanner"]
        stack.enter_context(run.spawn(argv, log=folder / "scanner.log", cwd=Path(__file__).parents[2]))
        servers = [
            MailServer(inside, SERVER, 25, folder / "server"),
            MailServer(inside, SERVER6, 25, folder / "server6"),
            MailServer(inside, OTHER, 25, folder / "other"),
            MailServer(inside, SERVER, 2525, folder / "elsewhere"),
            MailServer(outside, WORLD, 25, folder / "world"),
        ]
        for server in servers:
            server.start()
            stack.callback(server.stop)
        until(lambda: outside.answers(SERVER, 25), "the proxy to serve", made.tail)
        yield Wire(made, outside, inside, third, *servers)
        made.require_well(PASSWORD)


@pytest.fixture(scope="module")
def closed(root: Path) -> Iterator[Wire]:
    with wire(root, "closed", "tc") as made:
        yield made


@pytest.fixture(scope="module")
def opened(root: Path) -> Iterator[Wire]:
    with wire(root, "open", "to") as made:
        yield made


@pytest.mark.parametrize(("target", "source"), [(SERVER, STRANGER), (SERVER6, STRANGER6)], ids=["IPv4", "IPv6"])
def test_neither_end_sees_the_box(closed: Wire, target: str, source: str) -> None:
    server = closed.server if target == SERVER else closed.server6
    before = server.count()
    with Client(closed.outside, target, source) as client:
        assert client.esmtp_features
        assert client.ehlo_resp is not None
        assert b"mail.example.com" in client.ehlo_resp  # the server's own name
    assert closed.send(source, target) == (250, f"OK stored as {before + 1}")
    got = server.received()[-1]
    assert got.client == source
    assert got.content.startswith(b"X-Postern-Score: 0.50\r\nX-Postern-Verdict: clean\r\nSubject: x\r\n")
    assert b"forged" not in got.content
    assert b"Received" not in got.content


@pytest.mark.parametrize(("word", "code"), [("reject", 550), ("soft reject", 451)])
def test_what_the_scanner_refuses_never_arrives(closed: Wire, word: str, code: int) -> None:
    before = closed.server.count()
    answer = closed.send(STRANGER, SERVER, f"TEST: {word}")
    assert answer[0] == code
    assert f"TEST {word}" in answer[1]
    assert closed.server.count() == before


def test_the_servers_refusal_is_the_clients(closed: Wire) -> None:
    closed.server6.know_only("bob@example.com")
    with Client(closed.outside, SERVER6, STRANGER6) as client:
        assert client.try_recipient("nobody@example.net") == (550, "5.1.1 nobody of that name here")


def test_other_ports_and_protocols_cross_the_bridge(closed: Wire) -> None:
    with Client(closed.outside, SERVER, STRANGER, 2525) as client:
        client.sendmail("ann@example.org", ["bob@example.com"], b"Subject: x\r\n\r\nunread\r\n")
    got = closed.elsewhere.received()[-1]
    assert (got.client, b"X-Postern" in got.content) == (STRANGER, False)
    assert closed.outside.pings(SERVER)
    assert closed.outside.pings(SERVER6)


def test_an_outgoing_connection_passes_where_it_may(closed: Wire) -> None:
    assert closed.send(STRANGER, OTHER)[0] == 250
    assert b"X-Postern-Verdict: forged" in closed.other.received()[-1].content


def test_an_outgoing_connection_is_read_where_it_shall(closed: Wire) -> None:
    assert closed.send(INSIDER, WORLD, where=closed.inside)[0] == 250
    got = closed.world.received()[-1]
    assert got.client == INSIDER
    assert b"X-Postern-Verdict: clean" in got.content


def test_a_port_that_drops(closed: Wire) -> None:
    assert not closed.third.answers(SERVER, 25)
    assert not closed.third.answers(WORLD, 25)
    assert closed.third.answers(SERVER, 2525)


def test_the_box_takes_its_own_mail_where_it_may(closed: Wire) -> None:
    assert closed.outside.answers(BOX, 25)
    assert not closed.inside.answers(BOX, 25)
    assert not closed.outside.answers(BOX, 22)
    assert not closed.outside.answers(BOX, 10025)


def test_bridged_frames_see_no_ip_rules(closed: Wire) -> None:
    """Debian's kernel has br_netfilter as a module, which is kept away; this one may have it built in."""
    switches = closed.box.run("sh", "-c", "cat /proc/sys/net/bridge/bridge-nf-call-* 2>/dev/null", check=False).stdout
    assert set(switches.split()) <= {"0"}


def test_failing_closed_refuses(closed: Wire) -> None:
    closed.box.run("systemctl", "stop", "postern-proxy")
    assert not closed.outside.answers(SERVER, 25)
    assert closed.outside.answers(SERVER, 2525)
    closed.box.run("systemctl", "start", "postern-proxy")
    assert closed.send(STRANGER, SERVER)[0] == 250


def test_failing_open_lets_through(opened: Wire) -> None:
    assert opened.send(STRANGER, SERVER)[0] == 250
    assert b"X-Postern-Verdict: clean" in opened.server.received()[-1].content
    opened.box.run("systemctl", "stop", "postern-proxy")
    assert opened.send(STRANGER, SERVER)[0] == 250
    assert b"X-Postern-Verdict: forged" in opened.server.received()[-1].content
    opened.box.run("systemctl", "start", "postern-proxy")
    assert opened.send(STRANGER, SERVER)[0] == 250
    assert b"X-Postern-Verdict: clean" in opened.server.received()[-1].content


def test_a_proxy_that_is_killed_or_hangs_comes_back(opened: Wire) -> None:
    for blow in ("KILL", "STOP"):  # a proxy that hangs is ended by systemd's watchdog
        before = opened.box.run("systemctl", "show", "--value", "-p", "NRestarts", "postern-proxy").stdout
        opened.box.run("systemctl", "kill", f"--signal={blow}", "postern-proxy")

        def again(before: str = before) -> bool:
            now = opened.box.run("systemctl", "show", "--value", "-p", "NRestarts", "postern-proxy").stdout
            state = opened.box.run("systemctl", "is-active", "postern-proxy", check=False).stdout.strip()
            return now != before and state == "active"

        until(again, f"the proxy after {blow}", opened.box.tail, 90)
        assert opened.send(STRANGER, SERVER)[0] == 250
        assert b"X-Postern-Verdict: clean" in opened.server.received()[-1].content


def test_without_a_scanner_the_client_tries_again(closed: Wire) -> None:
    """The last test here: the stand-in is not started again."""

    def found() -> str:
        return closed.box.run("ss", "-Htlnp", f"sport = :{SCANNER}").stdout

    seen_from_here = run.run(["nsenter", "--target", str(closed.box.leader), "--net", "ss", "-Htlnp"]).stdout
    line = next(line for line in seen_from_here.splitlines() if f":{SCANNER} " in line)
    run.run(["kill", line.partition("pid=")[2].partition(",")[0]])
    until(lambda: not found(), "the end of the scanner")
    before = closed.server.count()
    assert closed.send(STRANGER, SERVER)[0] == 451
    assert closed.server.count() == before
