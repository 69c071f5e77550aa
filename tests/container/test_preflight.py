"""Preflight tells right from wrong: faults are staged around a box in service, and before its set-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hardware.host import run
from tests.container.box import Box, box, until
from tests.container.lab import ANSWERS, SECRETS, Lab, lab
from tests.container.network import Segment, segments
from tests.container.test_apply import ANSWERS as SMALL
from tests.peers import Peers

NAMES = "192.0.2.54"
OWN = "mx1.mail.example.org"
RIGHT = [f"--host-record={OWN},192.0.2.10", "--host-record=mx.outside.example,192.0.2.80"]
RIGHT += ["--mx-host=outside.example,mx.outside.example,10"]
RIGHT += [f"--mx-host={domain},{OWN},10" for domain in ("example.com", "example.net", "example.org")]
RIGHT += [f"--mx-host=xn--bcher-kva.example,{OWN},10"]


@contextmanager
def name_server(peers: Peers, segment: Segment, log: Path, *records: str) -> Iterator[None]:
    words = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--group=root", "--pid-file=")
    where = (f"--listen-address={NAMES}", "--bind-interfaces", "--local=/#/")
    argv = peers.command("dnsmasq", *words, *where, *records, namespace=segment.namespace)
    with run.spawn(argv, log=log):
        until(lambda: segment.answers(NAMES, 53), "the name server", log.read_text)
        yield


@pytest.fixture(scope="module")
def gateway(root: Path, peers: Peers) -> Iterator[Lab]:
    with lab(root, peers, ANSWERS.replace("192.0.2.53", NAMES), "pf") as made:
        made.outside.host(f"{NAMES}/24")
        made.example_com.know_only("postmaster@example.com", "postmaster@xn--bcher-kva.example")
        made.example_net.know_only("postmaster@example.net")
        yield made


def names(of: Lab, *records: str) -> AbstractContextManager[None]:
    return name_server(of.peers, of.outside, of.folder / "names.log", *records)


def looked(of: Box, *words: str) -> dict[str, tuple[str, str]]:
    """What it said of each thing that it looked at: colour and words."""
    done = of.run("postern", "preflight", "--json", "--outward", "outside.example", *words, check=False)
    assert done.stdout, done.stderr
    found = {f"{one['check']} {one['about']}": (one["colour"], one["said"]) for one in json.loads(done.stdout)}
    assert done.status == (2 if any(colour == "red" for colour, _ in found.values()) else 0)
    return found


def test_all_is_well(gateway: Lab) -> None:
    with names(gateway, *RIGHT):
        found = looked(gateway.box)
        text = gateway.box.run("postern", "preflight", "--outward", "outside.example").stdout
    assert {what: said for what, said in found.items() if said[0] != "green"} == {
        "clock 192.0.2.123": ("yellow", "does not answer")
    }
    assert "good  server       example.com at 10.0.0.25:25: takes mail\n" in text
    assert text.endswith(f"\n{len(found) - 1} good, 1 to look at, 0 bad\n")


@contextmanager
def no_link(of: Lab) -> Iterator[None]:
    of.desk.ip("link", "set", of.desk.cable, "down")
    yield
    of.desk.ip("link", "set", of.desk.cable, "up")


@contextmanager
def taken(of: Lab) -> Iterator[None]:
    of.desk.ip("address", "add", "172.16.0.1/32", "dev", of.desk.cable)
    yield
    of.desk.ip("address", "delete", "172.16.0.1/32", "dev", of.desk.cable)


@contextmanager
def no_router(of: Lab) -> Iterator[None]:
    of.outside.ip("address", "delete", "192.0.2.1/24", "dev", of.outside.cable)
    of.box.run("ip", "neigh", "flush", "dev", "port1")
    yield
    of.outside.host("192.0.2.1/24")


@contextmanager
def server_off(of: Lab) -> Iterator[None]:
    of.example_net.stop()
    yield
    of.example_net.start()


@contextmanager
def server_strange(of: Lab) -> Iterator[None]:
    of.example_net.know_only("ann@example.net")
    yield
    of.example_net.know_only("postmaster@example.net")


@contextmanager
def world_off(of: Lab) -> Iterator[None]:
    of.world.stop()
    yield
    of.world.start()


STAGED = {
    "no link": (no_link, "link port3", "red", "no cable"),
    "an address that is taken": (taken, "address 172.16.0.1 on port3", "red", "taken by"),
    "no router": (no_router, "gateway 192.0.2.1", "red", "nobody answers"),
    "a server that is off": (server_off, "server example.net at 10.0.0.26:2525", "red", "does not answer"),
    "a server of another domain": (server_strange, "server example.net at 10.0.0.26:2525", "red", "refuses mail"),
    "port 25 closed outwards": (world_off, "port 25 outside.example at 192.0.2.80", "red", "cannot be reached"),
}


@pytest.mark.parametrize("fault", STAGED)
def test_a_fault_of_the_surroundings(gateway: Lab, fault: str) -> None:
    stage, what, colour, said = STAGED[fault]
    with names(gateway, *RIGHT), stage(gateway):
        found = looked(gateway.box)
    assert found[what][0] == colour
    assert said in found[what][1]
    others = {one for one, (drawn, _) in found.items() if drawn == "red"} - {what}
    assert not others


def test_a_server_that_takes_everything(gateway: Lab) -> None:
    gateway.example_com.know_all()
    with names(gateway, *RIGHT):
        found = looked(gateway.box)
    gateway.example_com.know_only("postmaster@example.com", "postmaster@xn--bcher-kva.example")
    assert found["server example.com at 10.0.0.25:25"] == ("yellow", "takes mail for recipients that do not exist")
    assert found["server example.org at 10.0.0.27:26"] == ("green", "takes mail")  # the box was told not to ask


@pytest.mark.parametrize(
    ("records", "what", "colour", "said"),
    [
        ((*RIGHT, "--address=/invalid/192.0.2.99"), f"name server {NAMES}", "red", "makes up addresses (192.0.2.99)"),
        (RIGHT[1:], f"name {OWN}", "yellow", "has no address in DNS"),
        ((f"--host-record={OWN},192.0.2.11", *RIGHT[1:]), f"name {OWN}", "yellow", "none of the box's own"),
        (
            (f"--address=/{OWN}/192.0.2.10", "--ptr-record=10.2.0.192.in-addr.arpa,dyn.isp.example", *RIGHT[1:]),
            "reverse name 192.0.2.10",
            "yellow",
            "leads to dyn.isp.example",
        ),
        (
            (*RIGHT[:3], "--mx-host=example.com,mx.outside.example,10", *RIGHT[4:]),
            "MX example.com",
            "yellow",
            "leads to mx.outside.example and not to this box",
        ),
        ((*RIGHT[:3], *RIGHT[4:]), "MX example.com", "yellow", "has none"),
    ],
    ids=["a name server that lies", "no name", "another address", "another name", "another MX", "no MX"],
)
def test_a_fault_of_the_names(gateway: Lab, records: tuple[str, ...], what: str, colour: str, said: str) -> None:
    with names(gateway, *records):
        found = looked(gateway.box)
    assert found[what][0] == colour
    assert said in found[what][1]


def test_no_name_server(gateway: Lab) -> None:
    assert looked(gateway.box)[f"name server {NAMES}"][0] == "red"


# Of a port that is off until the rehearsal, and an address that the kernel trusts only after a while.
_PORT2 = "    port2: {addresses: ['2001:db8:2::10/64']}\n  gateways: ['2001:db8:2::1']\n"
_WITH_PORT2 = SMALL.replace("mailhost:", f"{_PORT2}mailhost:")


@pytest.fixture(scope="module")
def fresh(root: Path) -> Iterator[tuple[Box, Segment]]:
    with segments(2, "pr") as nets, box(root, nets) as made:
        made.start(stage="factory")
        nets[0].host("192.0.2.1/24", "192.0.2.25/24")
        nets[1].host("2001:db8:2::1/64")
        made.path("run/a.yaml").write_text(_WITH_PORT2)
        made.path("run/s.yaml").write_text(SECRETS)
        yield made, nets[0]
        made.require_well()


def addresses(of: Box) -> dict[str, list[str]]:
    """Of each port: up or down, and its addresses."""
    rows = [row.split() for row in of.run("ip", "-brief", "address").stdout.splitlines()]
    return {row[0].partition("@")[0]: row[1:] for row in rows}


def test_before_set_up_the_settings_to_come_are_tried(fresh: tuple[Box, Segment]) -> None:
    of, segment = fresh
    until(lambda: "192.168.1.99/24" in addresses(of).get("port1", []), "the factory's address")
    before = addresses(of)
    found = looked(of, "--answers", "/run/a.yaml", "--secrets", "/run/s.yaml")
    assert found["link port1"][0] == found["link port2"][0] == "green"
    assert found["gateway 2001:db8:2::1"] == ("green", "answers")
    assert found["address 192.0.2.10 on port1"] == ("green", "nobody else has it")
    assert found["server example.com at 192.0.2.25:25"][0] == "red"  # a host, but no mail server
    segment.host("192.0.2.10/24")
    found = looked(of, "--answers", "/run/a.yaml", "--secrets", "/run/s.yaml")
    assert found["address 192.0.2.10 on port1"][1].startswith("taken by")
    assert of.run("ip", "netns").stdout == ""
    assert not of.path("run/postern/preflight.yaml").exists()
    until(lambda: addresses(of) == before, f"{before}", lambda: addresses(of))
    assert of.stage == "factory"


def test_without_settings_there_is_nothing_to_ask(fresh: tuple[Box, Segment]) -> None:
    of, _ = fresh
    refused = of.run("postern", "preflight", check=False)
    assert (refused.status, refused.stderr) == (
        2,
        "this box is not set up (name an answer file, or let the wizard ask)\n",
    )
