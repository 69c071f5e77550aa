"""The network: each port of the profile on a screen of its own, then what goes beyond them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import fill
from installer.wizard.draft import Draft, Port
from installer.wizard.ui import Field, Head, Ui, Way

Ask = Callable[[Ui, Draft, HardwareProfile], tuple[Draft, Way]]

PORT_HELP = """Addresses are IPv4 or IPv6 with their prefix length, such as 192.0.2.10/24, several separated by \
spaces. A port without an address stays shut. Allowed services are what the box answers on this port, separated by \
spaces: ping, ssh (administration), smtp (mail)."""
SERVER_HELP = """ Users of this box also need submissions or submission to send, imaps, imap, pop3s or pop3 to read, \
and sieve for rules of their own. Those that end in s are encrypted from the start."""
ROUTING_HELP = """The default gateway is the router towards the internet, at most one of IPv4 and one of IPv6, \
reachable from one of the ports. Name servers are asked for MX records: without one, mail finds only servers given by \
address."""


def screens(ports: Iterable[str]) -> list[tuple[str, Ask]]:
    """The screens of this page, each with its name: one a port, and the last."""
    return [*((f"network {name}", partial(ask_port, name=name)) for name in ports), ("network", ask)]


def ask_port(ui: Ui, draft: Draft, profile: HardwareProfile, name: str) -> tuple[Draft, Way]:
    """Ask for one port's addresses and services."""
    path = f"network.ports.{name}"

    def entered(values: tuple[str, ...]) -> Draft:
        addresses, allow = values
        port = Port(addresses=_spaced(addresses), allow=_spaced(allow))
        return draft.but(ports=draft.ports | {name: port})

    def check(values: tuple[str, ...]) -> list[Problem]:
        found = entered(values).problems(profile, "network")
        return [problem for problem in found if problem.path.startswith(path)]

    port = draft.ports.get(name, Port())
    hint = "ping smtp submissions imaps" if draft.keeps_mailboxes else "ping ssh smtp"
    fields = [
        Field(f"{path}.addresses", "Addresses", port.addresses, "with prefix"),
        Field(f"{path}.allow", "Allowed services", port.allow, hint),
    ]
    number = list(draft.ports).index(name) + 1
    text = f"Port {number} of {len(draft.ports)}. Without an address it stays shut."
    help_text = PORT_HELP + (SERVER_HELP if draft.keeps_mailboxes else "")
    answer = fill(ui, Head(f"Network: {name}", text, help_text), fields, check)
    return entered(answer.value), answer.way


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the default gateway and the name servers."""

    def entered(values: tuple[str, ...]) -> Draft:
        gateways, dns = values
        return draft.but(gateways=_spaced(gateways), dns=_spaced(dns))

    fields = [
        Field("network.gateways", "Default gateway", draft.gateways, "address"),
        Field("network.dns", "Name servers", draft.dns, "addresses"),
    ]
    head = Head(
        "Network: beyond the ports", "Where the box sends what is not in the networks of its ports.", ROUTING_HELP
    )
    answer = fill(ui, head, fields, lambda values: entered(values).problems(profile, "network"))
    return entered(answer.value), answer.way


def _spaced(text: str) -> str:
    """A list as typed, with commas or spaces, separated by single spaces."""
    return " ".join(text.replace(",", " ").split())
