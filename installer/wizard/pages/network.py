"""The network: which port is which, then each port of the profile on a screen of its own, then what is beyond them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hardware.host.cards import Cards
from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import DONE, edit, fill, sentence, spaced, within
from installer.wizard.draft import Draft, Port
from installer.wizard.typed import Link
from installer.wizard.ui import Choice, Field, Head, Ui, Way

Ask = Callable[[Ui, Draft, HardwareProfile], tuple[Draft, Way]]

BLINK_SECONDS = 5
LOOK_HELP = """Each port with the hardware address (MAC) of its card, and whether a cable links it to something \
that is switched on: pull a cable, choose its port, and see. A port that is switched off is not asked; once the box is \
set up, those without an address are. Not every driver can make the light beside the socket blink."""
PORT_HELP = """Addresses are IPv4 or IPv6 with their prefix length, such as 192.0.2.10/24, several separated by \
spaces. {without} Allowed services are what the box answers on this port, separated by \
spaces: ping, ssh (administration), smtp (mail)."""
SERVER_HELP = """ Users of this box also need submissions or submission to send, imaps, imap, pop3s or pop3 to read, \
and sieve for rules of their own. Those that end in s are encrypted from the start."""
SHUT = "A port without an address stays shut."
BRIDGED = """All ports without an address are one bridge: what comes in at one goes out at the others, and SMTP is \
read along. A port with an address of its own leaves the bridge, such as one for the administrator."""
LINKS_HELP = """A VLAN is named after its port and its number: port1.10 has the frames of port1 that carry tag 10. A \
bond is named bond1 to bond9, and its ports are one link: with active-backup one of them works, and another one when \
its cable is pulled; with 802.3ad (LACP) all work together, if the switch does its part. They have no addresses of \
their own. A VLAN of a bond is bond1.10. IPv6 needs nothing more: write its addresses beside those of IPv4."""
ROUTING_HELP = """The default gateway is the router towards the internet, at most one of IPv4 and one of IPv6, \
reachable from one of the ports. Name servers are asked for MX records: without one, mail finds only servers given by \
address."""


def screens(draft: Draft, cards: Cards) -> list[tuple[str, Ask]]:
    """The screens of this page, each with its name: all ports, the bridge where there is one, one a port, the last."""
    ports = [(f"network {name}", partial(ask_port, name=name, cards=cards)) for name in draft.ports]
    bridge = [("network bridge", ask_bridge)] if draft.bridges else []
    return [("ports", partial(_look, cards=cards)), *bridge, *ports, ("more links", ask_links), ("network", ask)]


def _look(ui: Ui, draft: Draft, _profile: HardwareProfile, cards: Cards) -> tuple[Draft, Way]:
    """Show which port is which, until the person goes on."""
    head = Head("Ports", f"Choose a port, and its light blinks for {BLINK_SECONDS} seconds.", LOOK_HELP)
    last = DONE
    while True:
        ports = [Choice(name, _seen(cards, name)) for name in draft.ports]
        answer = ui.menu(head, [*ports, Choice(DONE, "Go on")], last)
        if answer.way is Way.BACK or answer.value == DONE:
            return draft, answer.way
        last = answer.value
        refusal = cards.blink(last, BLINK_SECONDS)
        head = replace(head, problems=(f"{last}: {refusal}.",) if refusal else ())


def ask_bridge(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the addresses by which the box is managed in transparent mode, and what it lets in there."""
    head = Head(
        "Network: bridge", "The box's own address, at every port of the bridge.", PORT_HELP.format(without=BRIDGED)
    )
    port, way = _fill(
        ui, head, profile, "network.bridge", draft.bridge, "ping ssh", lambda port: draft.but(bridge=port)
    )
    return draft.but(bridge=port), way


def ask_port(ui: Ui, draft: Draft, profile: HardwareProfile, name: str, cards: Cards) -> tuple[Draft, Way]:
    """Ask for one port's addresses and services."""

    def entered(port: Port) -> Draft:
        return draft.but(ports=draft.ports | {name: port})

    number = list(draft.ports).index(name) + 1
    without = "belongs to the bridge" if draft.bridges else "stays shut"
    text = f"Port {number} of {len(draft.ports)}: {_seen(cards, name)}. Without an address it {without}."
    help_text = PORT_HELP.format(without=BRIDGED if draft.bridges else SHUT) + (
        SERVER_HELP if draft.keeps_mailboxes else ""
    )
    hint = "ping smtp submissions imaps" if draft.keeps_mailboxes else "ping ssh smtp"
    head = Head(f"Network: {name}", text, help_text)
    port, way = _fill(ui, head, profile, f"network.ports.{name}", draft.ports.get(name, Port()), hint, entered)
    return entered(port), way


def ask_links(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for VLANs and bonds. What was typed for one that was not added in the end is kept for the next try."""
    typed = draft.new_link

    def ask_one(links: tuple[Link, ...], index: int) -> tuple[Link, ...]:
        nonlocal typed
        new = index == len(links)
        link, way = _ask_link(ui, draft, profile, links, index, typed if new else links[index])
        if new:
            typed = link if way is Way.BACK else Link()
        return (*links[:index], link, *links[index + 1 :]) if way is Way.NEXT else links

    def check(links: tuple[Link, ...]) -> list[str]:
        found = draft.but(links=links).problems(profile, "network")
        return [sentence(one, link.name) for link in links for one in found if _field_of(one, link)]

    answer = edit(
        ui,
        Head("More links", "VLANs, and bonds of several ports. Most boxes need none.", LINKS_HELP),
        draft.links,
        noun="VLAN or bond",
        name=lambda link: link.name,
        label=str,
        ask=ask_one,
        check=check,
        start=DONE,
    )
    return draft.but(links=answer.value, new_link=typed), answer.way


def _ask_link(
    ui: Ui, draft: Draft, profile: HardwareProfile, others: tuple[Link, ...], index: int, link: Link
) -> tuple[Link, Way]:
    def entered(values: tuple[str, ...]) -> Link:
        name, ports, mode, addresses, allow = map(str.lower, values)
        return Link(name=name, ports=spaced(ports), mode=mode, addresses=spaced(addresses), allow=spaced(allow))

    def check(values: tuple[str, ...]) -> list[Problem]:
        made, rest = entered(values), (*others[:index], *others[index + 1 :])
        if made.name in [one.name for one in rest]:
            return [Problem("", "name", f"{made.name} is there already", "choose it in the list to change it")]
        found = draft.but(links=(*rest, made)).problems(profile, "network")
        return [replace(one, path=field) for one in found if (field := _field_of(one, made))]

    fields = [
        Field("name", "Name", link.name, "port1.10, or bond1"),
        Field("ports", "Ports", link.ports, "of a bond: port3 port4"),
        Field("mode", "Mode", link.mode, "of a bond: or 802.3ad"),
        Field("addresses", "Addresses", link.addresses, "with prefix"),
        Field("allow", "Allowed services", link.allow, "ping ssh smtp"),
    ]
    answer = fill(ui, Head("VLAN or bond", "A link of its own, with its own addresses.", LINKS_HELP), fields, check)
    return entered(answer.value), answer.way


def _field_of(problem: Problem, link: Link) -> str:
    """The field of a link's form that a problem is about; empty when it is about something else."""
    port, bond = f"network.ports.{link.name}", f"network.bonds.{link.name}"
    if problem.path in [f"network.ports.{one}" for one in link.ports.split()]:
        return "ports"
    settings = {"addresses": port, "allow": port, "ports": bond, "mode": bond}
    found = (field for field, path in settings.items() if within(problem.path, f"{path}.{field}"))
    return next(found, "name" if problem.path in (port, bond) else "")


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the default gateway and the name servers."""

    def entered(values: tuple[str, ...]) -> Draft:
        gateways, dns = values
        return draft.but(gateways=spaced(gateways), dns=spaced(dns))

    fields = [
        Field("network.gateways", "Default gateway", draft.gateways, "address"),
        Field("network.dns", "Name servers", draft.dns, "addresses"),
    ]
    head = Head(
        "Network: beyond the ports", "Where the box sends what is not in the networks of its ports.", ROUTING_HELP
    )
    answer = fill(ui, head, fields, lambda values: entered(values).problems(profile, "network"))
    return entered(answer.value), answer.way


def _seen(cards: Cards, name: str) -> str:
    card = cards.card(name)
    return str(card) if card else "not there"


def _fill(
    ui: Ui, head: Head, profile: HardwareProfile, path: str, port: Port, hint: str, entered: Callable[[Port], Draft]
) -> tuple[Port, Way]:
    """Ask for addresses and services; `entered` is the draft with them."""

    def typed(values: tuple[str, ...]) -> Port:
        addresses, allow = values
        return Port(addresses=spaced(addresses), allow=spaced(allow))

    def check(values: tuple[str, ...]) -> list[Problem]:
        made = entered(typed(values))
        others = [f"network.ports.{link.name}" for link in made.links]  # whose names begin with the port's
        found = [problem for problem in made.problems(profile, "network") if within(problem.path, path)]
        return [problem for problem in found if not any(within(problem.path, other) for other in others)]

    fields = [
        Field(f"{path}.addresses", "Addresses", port.addresses, "with prefix"),
        Field(f"{path}.allow", "Allowed services", port.allow, hint),
    ]
    answer = fill(ui, head, fields, check)
    return typed(answer.value), answer.way
