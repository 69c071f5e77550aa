"""Ports, addresses, routes and name servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Annotated

from pydantic import Field

from hardware.host.documents import Frozen
from overlays.network.links import Bond, Link, bond_link, carrier, is_bond, is_vlan, vlan_link
from overlays.values import Address, AnyAddress, AnyInterface, AnyNetwork, Interface, Line, Network, OneOrMore, Reason

NAME_SERVERS = 3  # the C library reads no more than these


class PortService(StrEnum):
    """What a port can let in."""

    PING = "ping"
    SSH = "ssh"
    SMTP = "smtp"
    HTTPS = "https"
    HTTP = "http"  # leads to https, and nothing else
    SUBMISSION = "submission"
    SUBMISSIONS = "submissions"
    IMAP = "imap"
    IMAPS = "imaps"
    POP3 = "pop3"
    POP3S = "pop3s"
    SIEVE = "sieve"


# What users of mailboxes need: nothing of it is there while the mailboxes are on other servers.
MAILBOX_SERVICES = (
    PortService.SUBMISSION,
    PortService.SUBMISSIONS,
    PortService.IMAP,
    PortService.IMAPS,
    PortService.POP3,
    PortService.POP3S,
    PortService.SIEVE,
)


class PickUp(StrEnum):
    """What transparent mode does with SMTP connections that cross the box."""

    PROXY = "proxy"
    PASS = "pass"  # noqa: S105 - not a password
    DROP = "drop"

    @property
    def nft(self) -> str:
        """The verdict as the pick-up rules write it."""
        return {PickUp.PROXY: "goto pick", PickUp.PASS: "accept", PickUp.DROP: "drop"}[self]


class PortSmtp(Frozen):
    """SMTP connections that begin at a port of the bridge. A connection to a protected domain's server is incoming."""

    incoming: PickUp = Field(PickUp.PROXY, description="to the protected domains' servers: proxy, pass or drop")
    outgoing: PickUp = Field(PickUp.PASS, description="to all others: proxy, pass or drop")
    local: bool = Field(True, description="whether the box's own mail service answers at this port")


class Port(Frozen):
    """What one port is used for. Without addresses it stays down, or in transparent mode is a port of the bridge."""

    addresses: Annotated[tuple[Interface, ...], OneOrMore] = Field(
        (), description="the port's addresses, each with its network"
    )
    allow: Annotated[tuple[PortService, ...], OneOrMore] = Field(
        (), description="what the port lets in; everything else is dropped"
    )
    smtp: PortSmtp | None = Field(None, description="what transparent mode does with SMTP at a port of the bridge")


class Bridge(Frozen):
    """Transparent mode: all ports without addresses are one bridge, and these are its own addresses.

    Frames that carry a VLAN tag cross it unread.
    """

    addresses: Annotated[tuple[Interface, ...], OneOrMore] = Field(
        min_length=1, description="where the box is managed: one address, or one of IPv4 and one of IPv6"
    )
    allow: Annotated[tuple[PortService, ...], OneOrMore] = Field(
        (), description="what the box lets in at these addresses; everything else is dropped"
    )


class Route(Frozen):
    """A network behind a router that is not the default gateway."""

    to: Network
    via: Address


@dataclass(frozen=True)
class PortPlan:
    """One port of the hardware as networkd is told of it."""

    name: str
    addresses: tuple[AnyInterface, ...]
    gateways: tuple[AnyAddress, ...]
    routes: tuple[Route, ...]
    bridge: str = ""  # that the port belongs to
    bond: str = ""  # that the port belongs to
    vlans: tuple[str, ...] = ()  # that the port carries
    awake: bool = False  # before set-up: without an address nothing answers, and the wizard can tell where a cable is

    @property
    def in_use(self) -> bool:
        return bool(self.addresses or self.bridge or self.bond or self.vlans or self.awake)

    @property
    def memberships(self) -> tuple[str, ...]:
        """The links that networkd makes of the port, and those that it belongs to."""
        belongs = {"Bridge": self.bridge, "Bond": self.bond}
        return (
            *(f"{word}={name}" for word, name in belongs.items() if name),
            *(f"VLAN={name}" for name in self.vlans),
        )

    @property
    def activation(self) -> str:
        """networkd's word for a port that is brought up, or kept down."""
        return "up" if self.in_use else "always-down"

    @property
    def link_local(self) -> str:
        """IPv6 finds its neighbours by link-local addresses; a port without IPv6 has none."""
        return "ipv6" if any(address.version == 6 for address in self.addresses) else "no"


@dataclass(frozen=True)
class Accept:
    """One rule of the packet filter: `match` as nft writes it, on packets that come in by `port`."""

    port: str
    match: str


@dataclass(frozen=True)
class PickUpRule:
    """One rule of the pick-up: `match` and `verdict` as nft writes them, on frames that come in by `port`."""

    port: str
    match: str
    verdict: str


BRIDGE = "br0"
_PICKED_UP = Accept(BRIDGE, "meta mark 1")  # from the wire, for the proxy

# The echo limit is per port; the daemons have limits of their own.
_MATCHES = {
    PortService.PING: (
        "icmp type echo-request limit rate 20/second burst 50 packets",
        "icmpv6 type echo-request limit rate 20/second burst 50 packets",
    ),
    PortService.SSH: ("tcp dport 22",),
    PortService.SMTP: ("tcp dport 25",),
    PortService.HTTPS: ("tcp dport 443",),
    PortService.HTTP: ("tcp dport 80",),
    PortService.SUBMISSION: ("tcp dport 587",),
    PortService.SUBMISSIONS: ("tcp dport 465",),
    PortService.IMAP: ("tcp dport 143",),
    PortService.IMAPS: ("tcp dport 993",),
    PortService.POP3: ("tcp dport 110",),
    PortService.POP3S: ("tcp dport 995",),
    PortService.SIEVE: ("tcp dport 4190",),
}


class NetworkSettings(Frozen):
    """The network: nothing is learned from it, everything is written here."""

    ports: dict[Line, Port] = Field(
        {}, description="by name: port1, port2, ...; VLAN 10 of port1 is port1.10, and bonds are here as well"
    )
    bonds: dict[Line, Bond] = Field({}, description="several ports as one link, by name: bond1, bond2, ...")
    bridge: Bridge | None = Field(None, description="transparent mode's own addresses")
    gateways: Annotated[tuple[Address, ...], OneOrMore] = Field(
        (), description="default routers, one for IPv4 and one for IPv6"
    )
    routes: tuple[Route, ...] = ()
    dns: Annotated[tuple[Address, ...], OneOrMore] = Field((), description=f"name servers, at most {NAME_SERVERS}")

    @property
    def interfaces(self) -> dict[str, Port]:
        """Everything that has addresses and lets services in: the ports, and the bridge."""
        if self.bridge is None:
            return self.ports
        return {**self.ports, BRIDGE: Port(addresses=self.bridge.addresses, allow=self.bridge.allow)}

    @property
    def addresses(self) -> tuple[AnyAddress, ...]:
        """Every address of the box."""
        return tuple(address.ip for port in self.interfaces.values() for address in port.addresses)

    def allowing(self, service: PortService | str) -> tuple[AnyAddress, ...]:
        """The addresses of the ports that let a service in."""
        allowing = (port for port in self.interfaces.values() if service in port.allow)
        return tuple(address.ip for port in allowing for address in port.addresses)

    def bridged(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the hardware's ports that belong to the bridge."""
        return tuple(name for name in names if self.plan(name).bridge)

    def pick_up_rules(self, names: Iterable[str]) -> tuple[PickUpRule, ...]:
        """What happens to a connection that begins at a port of the bridge; the first match decides."""
        return tuple(
            PickUpRule(name, match, verdict.nft)
            for name in self.bridged(names)
            for smtp in [self._smtp(name)]
            for match, verdict in (
                ("ip daddr @protected4", smtp.incoming),
                ("ip6 daddr @protected6", smtp.incoming),
                ("tcp dport 25", smtp.outgoing),
            )
        )

    def closed_to_local_smtp(self, names: Iterable[str]) -> tuple[str, ...]:
        """The ports of the bridge at which the box's own mail service does not answer."""
        return tuple(name for name in self.bridged(names) if not self._smtp(name).local)

    def _smtp(self, name: str) -> PortSmtp:
        return self.ports.get(name, Port()).smtp or PortSmtp()

    @property
    def protocols(self) -> str:
        """The IP families that the box has addresses of, as Postfix writes it."""
        return "all" if any(address.version == 6 for address in self.addresses) else "ipv4"

    @property
    def accepts(self) -> tuple[Accept, ...]:
        """The packet filter's rules for what ports let in."""
        return (
            *((_PICKED_UP,) if self.bridge else ()),
            *(
                Accept(name, match)
                for name, port in self.interfaces.items()
                for service in PortService
                if service in port.allow
                for match in _MATCHES[service]
            ),
        )

    def plan(self, name: str) -> PortPlan:
        """What networkd does with the port of that name, whether settings speak of it or not."""
        port = self.interfaces.get(name, Port())
        networks = [address.network for address in port.addresses]
        bond = self.bond_of(name)
        return PortPlan(
            name,
            port.addresses,
            tuple(gateway for gateway in self.gateways if _inside(gateway, networks)),
            tuple(route for route in self.routes if _inside(route.via, networks)),
            BRIDGE if self.bridge and not port.addresses and not bond and name not in self.made else "",
            bond,
            tuple(vlan for vlan in self.ports if carrier(vlan) == name),
        )

    @property
    def links(self) -> tuple[Link, ...]:
        """What networkd makes of ports."""
        bonds = (bond_link(name, bond) for name, bond in self.bonds.items())
        return (*bonds, *(vlan_link(name) for name in self.ports if carrier(name)))

    @property
    def made(self) -> tuple[str, ...]:
        """The names of the links."""
        return tuple(link.name for link in self.links)

    def bond_of(self, port: str) -> str:
        """The bond that a port belongs to."""
        return next((name for name, bond in self.bonds.items() if port in bond.ports), "")

    def leads_to(self, address: AnyAddress) -> bool:
        """Whether a port's network, a route or a default route has the address."""
        known = [item.network for port in self.interfaces.values() for item in port.addresses]
        known += [route.to for route in self.routes]
        return _inside(address, known) or any(gateway.version == address.version for gateway in self.gateways)

    def problems(self) -> Iterator[Reason]:
        if not self.addresses:
            yield Reason("network.ports", "no port has an address", "such as port1: {addresses: [192.0.2.10/24]}")
        for name, port in self.interfaces.items():
            path = path_of(name)
            if port.allow and not port.addresses:
                yield Reason(path, f"lets in {', '.join(port.allow)} but has no address", "give it an address")
            if port.smtp and (port.addresses or not self.bridge):
                yield Reason(f"{path}.smtp", "the port is not in the bridge", "only SMTP there is picked up")
            if PortService.HTTP in port.allow and PortService.HTTPS not in port.allow:
                yield Reason(f"{path}.allow", "http only leads to https, which this port keeps out", "add https")
        yield from self._bridge()
        yield from self._vlans()
        yield from self._bonds()
        yield from self._overlaps()
        yield from self._routers()
        if len(self.dns) > NAME_SERVERS:
            yield Reason("network.dns", f"{len(self.dns)} name servers, and only {NAME_SERVERS} are ever asked")
        for index, server in enumerate(self.dns):
            if server in self.addresses:
                yield Reason(f"network.dns.{index}", f"{server} is the box itself, which serves no names")
            elif not self.leads_to(server):
                yield _unreachable(f"network.dns.{index}", server)

    def _bridge(self) -> Iterator[Reason]:
        for family in (4, 6):
            found = [address for address in self.bridge.addresses if address.version == family] if self.bridge else []
            if len(found) > 1:
                yield Reason("network.bridge.addresses", f"{_and(found)} are both of IPv{family}: one is right")

    def _vlans(self) -> Iterator[Reason]:
        for name in filter(carrier, self.ports):
            path, port, bond = path_of(name), carrier(name), self.bond_of(carrier(name))
            if not is_vlan(name):
                yield Reason(path, "is not the name of a VLAN", "such as port1.10: a port, and a number from 1 to 4094")
            elif bond:
                yield Reason(path, f"{port} is a port of {bond}", f"{bond}{name.removeprefix(port)} is right")
            elif not self.ports[name].addresses:
                yield Reason(path, "a VLAN without an address does nothing", "give it one, or leave it out")
            elif self.plan(port).bridge:
                hint = f"give {port} an address of its own"
                yield Reason(path, f"{port} belongs to the bridge, which lets VLANs cross unread", hint)

    def _bonds(self) -> Iterator[Reason]:
        for name, bond in self.bonds.items():
            path = f"network.bonds.{name}"
            if not is_bond(name):
                yield Reason(path, "is not the name of a bond", "such as bond1, up to bond9")
            if len(set(bond.ports)) < 2:
                yield Reason(f"{path}.ports", "a bond has two ports or more", "such as [port3, port4]")
            if not self.plan(name).addresses and not self.plan(name).vlans:
                hint = f"such as ports: {{{name}: {{addresses: [192.0.2.10/24]}}}}"
                yield Reason(path, "has neither an address nor a VLAN", hint)
            for port in dict.fromkeys(bond.ports):
                if self.bond_of(port) != name:
                    yield Reason(f"{path}.ports", f"{port} is a port of {self.bond_of(port)} already")
                elif port in self.ports:
                    yield Reason(
                        path_of(port), f"is a port of {name}, which has the addresses", f"write them at {name}"
                    )

    def _overlaps(self) -> Iterator[Reason]:
        placed = [
            (name, index, address)
            for name, port in self.interfaces.items()
            for index, address in enumerate(port.addresses)
        ]
        for (name, _, address), (other_name, other_index, other) in combinations(placed, 2):
            path = f"{path_of(other_name)}.addresses.{other_index}"
            if address.ip == other.ip:
                yield Reason(path, f"{other.ip} is also an address of {name}", "each address stands once")
            elif name != other_name and address.version == other.version and address.network.overlaps(other.network):
                yield Reason(
                    path,
                    f"the network {other.network} overlaps {address.network} of {name}",
                    "each port is in a network of its own",
                )

    def _routers(self) -> Iterator[Reason]:
        networks = [address.network for port in self.interfaces.values() for address in port.addresses]
        routers = [(f"network.gateways.{index}", gateway) for index, gateway in enumerate(self.gateways)]
        routers += [(f"network.routes.{index}.via", route.via) for index, route in enumerate(self.routes)]
        for path, router in routers:
            if router in self.addresses:
                yield Reason(path, f"{router} is the box itself", "name the router's address")
            elif not _inside(router, networks):
                yield Reason(
                    path,
                    f"{router} is in no port's network",
                    f"the ports are in {', '.join(map(str, networks)) or 'no network'}",
                )
        for family in (4, 6):
            found = [gateway for gateway in self.gateways if gateway.version == family]
            if len(found) > 1:
                yield Reason("network.gateways", f"{_and(found)} are both for IPv{family}: one is right")
        for index, route in enumerate(self.routes):
            path = f"network.routes.{index}"
            if route.to.version != route.via.version:
                yield Reason(path, f"{route.to} and {route.via} are not of one family")
            if route.to.prefixlen == 0:
                yield Reason(f"{path}.to", f"{route.to} is the default route", "it belongs into gateways")
            elif route.to in networks:
                yield Reason(f"{path}.to", f"{route.to} is a port's own network", "it needs no route")
            elif route.to in [earlier.to for earlier in self.routes[:index]]:
                yield Reason(f"{path}.to", f"{route.to} has a route already")


def path_of(interface: str) -> str:
    """Where the settings speak of a port, or of the bridge."""
    return "network.bridge" if interface == BRIDGE else f"network.ports.{interface}"


def _inside(address: AnyAddress, networks: list[AnyNetwork]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _and(items: Iterable[object]) -> str:
    return " and ".join(map(str, items))


def _unreachable(path: str, address: AnyAddress) -> Reason:
    return Reason(path, f"no port, route or gateway leads to {address}", f"add a gateway for IPv{address.version}")
