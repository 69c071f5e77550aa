"""Nothing is open before set-up, and after it exactly what the settings let in; looked at from every port.

nmap sends to all 65,535 ports of TCP and of UDP. Silence alone proves little, so before set-up a listener in the box
answers on both: the scan must not find it behind the fence, and must find it without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hardware.host import run
from overlays.render import all_units
from tests.container.box import Box, box, until
from tests.container.lab import DESK_BOX, INSIDE_BOX, OUTSIDE_BOX, Lab
from tests.container.network import Segment, segments
from tests.peers import Peers

FACTORY = "192.168.1.99"
BAIT = 2222
EVERY = "T:1-65535,U:1-65535"
_LISTENER = f"""
import socket, threading
tcp = socket.create_server(("0.0.0.0", {BAIT}))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", {BAIT}))
def answer():
    while True:
        udp.sendto(b"here", udp.recvfrom(2048)[1])
threading.Thread(target=answer, daemon=True).start()
while True:
    tcp.accept()[0].close()
"""


def scan(peers: Peers, segment: Segment, address: str, ports: str = EVERY) -> set[str]:
    """What a scan of an address finds open, such as {"25/tcp"}."""
    # Fast: these cables lose nothing, but on a busy machine an answer may come late. An answer to ARP is not counted.
    fast = ["-T5", "--min-rate", "20000", "--max-rtt-timeout", "200ms", "--max-retries", "1", "--disable-arp-ping"]
    family = ["-6"] if ":" in address else []
    argv = ["nmap", "-n", "-Pn", "-sS", "-sU", "-p", ports, *fast, *family, "-oG", "-", address]
    said = run.run(peers.command(*argv, namespace=segment.namespace), timeout=120).stdout
    assert "1 host up" in said, said
    return {f"{port}/{protocol}" for port, protocol in re.findall(r"\b(\d+)/open/(tcp|udp)/", said)}


def scans(peers: Peers, wanted: Sequence[tuple[Segment, str]]) -> list[set[str]]:
    """Several scans, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda one: scan(peers, *one), wanted))


@pytest.fixture(scope="module")
def factory(root: Path) -> Iterator[Box]:
    """A box that nobody has set up."""
    with segments(4, "po") as nets, box(root, nets) as made:
        made.start(stage="factory")
        nets[0].host("192.168.1.1/24")
        yield made
        made.require_well()


@contextmanager
def bait(factory: Box) -> Iterator[list[tuple[Segment, str]]]:
    """Somebody has opened what can be opened: every port is up and has an address, and something listens.

    Gives where to scan from, and which address.
    """
    # Waited for: stopped half way up, it fails.
    factory.run("systemctl", "start", "systemd-networkd-persistent-storage.service")
    factory.run("systemctl", "stop", "systemd-networkd.socket", "systemd-networkd.service")
    for number, segment in enumerate(factory.segments[1:], 2):
        factory.run("ip", "address", "add", f"10.255.{number}.1/24", "dev", f"port{number}")
        factory.run("ip", "link", "set", f"port{number}", "up")
        segment.host(f"10.255.{number}.2/24")
    addresses = [FACTORY, *(f"10.255.{number}.1" for number in range(2, 5))]
    with run.spawn(factory.command("python3", "-I", "-c", _LISTENER)):
        until(lambda: factory.run("ss", "-Hltu").stdout.count(str(BAIT)) == 2, "the listener")
        yield list(zip(factory.segments, addresses, strict=True))


def test_whatever_apply_starts_waits_for_the_init_fence(factory: Box) -> None:
    """Apply itself does not: it would have all mail wait for it."""
    words = ("systemctl", "list-dependencies", "--after", "--all", "--plain", "--no-pager")
    early = [unit for unit in all_units() if "postern-fence.service" not in factory.run(*words, unit).stdout.split()]
    assert early == []


def test_before_setup_only_port1_has_an_address_and_nothing_listens(factory: Box) -> None:
    """All are switched on: the wizard tells where a cable is."""

    def ports() -> list[tuple[str, str, str]]:
        said = factory.run("ip", "-brief", "address").stdout
        return re.findall(r"^(port\d)\S* +(\w+) *(.*?) *$", said, re.MULTILINE)

    wanted = [("port1", "UP", "192.168.1.99/24"), *((f"port{number}", "UP", "") for number in range(2, 5))]
    until(lambda: ports() == wanted, "the ports", ports)
    assert factory.run("ss", "-Hltun").stdout == ""


def test_before_setup_the_fence_lets_nothing_in(factory: Box, peers: Peers) -> None:
    with bait(factory) as wanted:
        assert scans(peers, wanted) == [set(), set(), set(), set()]
        assert [segment.pings(address) for segment, address in wanted] == [True, False, False, False]
        factory.run("nft", "flush", "ruleset")
        unfenced = [scan(peers, *one, f"T:1-65535,U:{BAIT}") for one in wanted]
        assert unfenced == [{f"{BAIT}/tcp", f"{BAIT}/udp"}] * 4


def test_after_setup_each_port_lets_in_what_it_allows(gateway: Lab, peers: Peers) -> None:
    wanted = [
        (gateway.outside, OUTSIDE_BOX),
        (gateway.outside, "2001:db8:1::10"),
        (gateway.inside, INSIDE_BOX),
        (gateway.desk, DESK_BOX),
    ]
    # An address of IPv6 is in use only after nobody else has claimed it.
    until(lambda: gateway.outside.answers("2001:db8:1::10", 25), "IPv6", gateway.box.tail)
    assert scans(peers, wanted) == [
        {"25/tcp"},
        {"25/tcp"},
        {"25/tcp", "80/tcp", "443/tcp"},
        {"22/tcp", "443/tcp"},
    ]
    assert [segment.pings(address) for segment, address in wanted] == [True, True, False, True]
    assert "port4" in gateway.box.run("ip", "-brief", "link", "show", "down").stdout


def test_after_setup_a_port_lets_no_more_in_by_the_address_of_another(gateway: Lab, peers: Peers) -> None:
    gateway.inside.ip("route", "add", DESK_BOX, "via", INSIDE_BOX)
    gateway.desk.ip("route", "add", INSIDE_BOX, "via", DESK_BOX)
    both = {"443/tcp"}  # which is no more than each lets in by its own
    assert scan(peers, gateway.inside, DESK_BOX, "T:1-1024,U:1-1024") == both
    assert scan(peers, gateway.desk, INSIDE_BOX, "T:1-1024,U:1-1024") == both


def test_after_setup_nothing_else_listens(gateway: Lab) -> None:
    listening = {line.split()[4] for line in gateway.box.run("ss", "-Hltun").stdout.splitlines()}
    mail = {f"{OUTSIDE_BOX}:25", f"{INSIDE_BOX}:25", "[2001:db8:1::10]:25"}
    others = {f"{INSIDE_BOX}:80", f"{INSIDE_BOX}:443", f"{DESK_BOX}:22", f"{DESK_BOX}:443"}
    assert listening == mail | others | {f"127.0.0.1:{port}" for port in (22, 25, 80, 443, 10026)}


def test_the_box_forwards_nothing(gateway: Lab) -> None:
    gateway.desk.ip("route", "add", "192.0.2.80", "via", DESK_BOX)
    gateway.outside.ip("route", "add", "172.16.0.0/24", "via", OUTSIDE_BOX)
    assert gateway.outside.answers("192.0.2.80", 25)
    assert not gateway.desk.answers("192.0.2.80", 25)
