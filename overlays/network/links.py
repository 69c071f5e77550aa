"""Links that are made of ports: VLANs, which are named after what carries them (`port1.10`), and bonds of ports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from hardware.host.documents import Frozen
from overlays.values import Line, OneOrMore

HIGHEST_VLAN = 4094
_VLAN = re.compile(r"(port|bond)[1-9][0-9]?\.[1-9][0-9]{0,3}")
_BOND = re.compile(r"bond[1-9]")


class BondMode(StrEnum):
    """How several ports are one link."""

    ACTIVE_BACKUP = "active-backup"  # one works, and another one when its cable is pulled: any switch will do
    LACP = "802.3ad"  # all work together, if the switch does its part


class Bond(Frozen):
    """Several ports as one link. Its addresses stand at `ports`, under its name."""

    ports: Annotated[tuple[Line, ...], OneOrMore] = Field(description="the ports that are one link")
    mode: BondMode = BondMode.ACTIVE_BACKUP


@dataclass(frozen=True)
class Link:
    """A link that networkd makes: its kind, and the section and lines that say how."""

    name: str
    kind: str
    section: str
    options: tuple[str, ...]


def carrier(name: str) -> str:
    """What carries the VLAN of that name; empty when it is no VLAN."""
    return name.partition(".")[0] if "." in name else ""


def is_vlan(name: str) -> bool:
    """Whether a VLAN can have that name."""
    return bool(_VLAN.fullmatch(name)) and int(name.partition(".")[2]) <= HIGHEST_VLAN


def is_bond(name: str) -> bool:
    """Whether a bond can have that name."""
    return bool(_BOND.fullmatch(name))


def vlan_link(name: str) -> Link:
    return Link(name, "vlan", "VLAN", (f"Id={name.partition('.')[2]}",))


def bond_link(name: str, bond: Bond) -> Link:
    """LACP needs to be told how flows are shared out; links are looked at ten times a second."""
    more = ("LACPTransmitRate=fast", "TransmitHashPolicy=layer3+4") if bond.mode is BondMode.LACP else ()
    return Link(name, "bond", "Bond", (f"Mode={bond.mode}", "MIIMonitorSec=100ms", *more))
