"""Other operation modes of the example answer files: what stays, what goes, and what is there again on the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.parts import OperationMode
from overlays.mode import changed, difference
from overlays.problems import problems
from overlays.settings import Settings, parse_answers
from overlays.values import read_host

ANSWERS = Path(__file__).parents[2] / "answers"
PROFILE = profiles.load("vm-uefi")
PORTS = PROFILE.port_names
GATEWAY, TRANSPARENT, SERVER = OperationMode.GATEWAY, OperationMode.TRANSPARENT, OperationMode.SERVER


def load(name: str) -> Settings:
    """An example as a box keeps it: its users are in a table of their own."""
    return parse_answers((ANSWERS / f"{name}.yaml").read_text(), name).without_users


def paths(settings: Settings, mode: OperationMode, earlier: Settings | None = None) -> tuple[set[str], set[str]]:
    found = difference(settings, changed(settings, mode, PORTS, earlier))
    return set(found.gone), set(found.come)


@pytest.mark.parametrize("name", ["gateway", "gateway-minimal", "gateway-ipv6", "server", "transparent"])
@pytest.mark.parametrize("mode", list(OperationMode))
def test_what_every_mode_has_stays(name: str, mode: OperationMode) -> None:
    now = load(name)
    new = changed(now, mode, PORTS)
    assert new.mode is mode
    assert (new.mailhost, new.clock, new.admin) == (now.mailhost, now.clock, now.admin)
    assert (new.network.gateways, new.network.routes) == (now.network.gateways, now.network.routes)
    assert new.network.dns == now.network.dns
    assert set(new.network.addresses) == set(now.network.addresses)
    assert [domain.name for domain in new.domains] == [domain.name for domain in now.domains]


@pytest.mark.parametrize("name", ["gateway", "gateway-minimal", "gateway-ipv6", "server", "transparent"])
@pytest.mark.parametrize("mode", list(OperationMode))
def test_there_and_back_nothing_is_missing(name: str, mode: OperationMode) -> None:
    now = load(name)
    there = changed(now, mode, PORTS)
    back = changed(there, now.mode, PORTS, earlier=now)
    assert difference(now, back).gone.keys() <= {"network.bridge.allow"}  # a gateway lets smtp in, and then so it stays
    if name != "transparent":
        assert back == now


def test_a_server_keeps_no_other_servers() -> None:
    gone, come = paths(load("gateway-minimal"), SERVER)
    assert gone == {"domains.0.server"}
    assert come == set()
    assert problems(changed(load("gateway-minimal"), SERVER, PORTS), PROFILE) == []


def test_what_nobody_decided_is_asked_for_unless_it_was_decided_before() -> None:
    server = load("server")
    found = problems(changed(server, GATEWAY, PORTS), PROFILE)
    assert {problem.path for problem in found} == {"domains.0.server", "domains.1.server"}
    named = {domain.name: read_host("192.0.2.25") for domain in server.domains}
    gateway = changed(server, GATEWAY, PORTS, servers=named)
    assert problems(gateway, PROFILE) == []
    again = changed(changed(gateway, SERVER, PORTS, server), GATEWAY, PORTS, gateway)
    assert again == gateway


def test_users_are_let_in_again_where_they_were() -> None:
    server = load("server")
    gone, _ = paths(server, GATEWAY)
    assert {"network.ports.port1.allow", "network.ports.port2.allow"} <= gone
    gateway = changed(server, GATEWAY, PORTS)
    assert set(changed(gateway, SERVER, PORTS, server).network.ports["port2"].allow) == set(
        server.network.ports["port2"].allow
    )


def test_the_first_port_joins_the_bridge_with_its_address() -> None:
    gateway = load("gateway-minimal")
    new = changed(gateway, TRANSPARENT, PORTS)
    assert new.network.bridge
    assert new.network.bridge.addresses == gateway.network.ports["port1"].addresses
    assert problems(new, PROFILE) == []
    back = changed(new, GATEWAY, PORTS, gateway)
    assert back == gateway


def test_what_is_said_of_ports_of_the_bridge_is_there_again() -> None:
    wire = load("transparent")
    gateway = changed(wire, GATEWAY, PORTS)
    assert gateway.network.bridge is None
    assert problems(gateway, PROFILE) == []
    again = changed(gateway, TRANSPARENT, PORTS, wire)
    assert again.network.ports["port4"] == wire.network.ports["port4"]
    assert again.transparent == wire.transparent
