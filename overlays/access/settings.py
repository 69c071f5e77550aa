"""Access rules: which clients may send to everywhere, and which may not send at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from hardware.host.documents import Frozen
from overlays.values import AnyNetwork, Network, OneOrMore, Reason

# The widest network that one rule may relay for without saying so: a whole private range.
WIDEST = {4: 8, 6: 16}


class Action(StrEnum):
    """What happens to a client that a rule matches."""

    RELAY = "relay"
    REJECT = "reject"

    @property
    def postfix(self) -> str:
        """The action as access(5) writes it."""
        return {Action.RELAY: "OK", Action.REJECT: "REJECT client refused by access rule"}[self]


def _somebody(clients: tuple[AnyNetwork, ...]) -> tuple[AnyNetwork, ...]:
    if not clients:
        raise ValueError("names no client: such as 10.0.0.0/24 is right")
    return clients


class AccessRule(Frozen):
    """One rule. The first that matches a client decides; without one, only mail to protected domains is taken."""

    client: Annotated[tuple[Network, ...], OneOrMore, AfterValidator(_somebody)] = Field(
        description="the client's network, or several"
    )
    action: Action
    open_relay: bool = Field(False, description="must be true for a rule that relays for (nearly) everyone")


@dataclass(frozen=True)
class Row:
    """One line of the table that Postfix reads."""

    client: AnyNetwork
    action: str


def rows(rules: tuple[AccessRule, ...]) -> tuple[Row, ...]:
    """The rules as Postfix's table, in order."""
    return tuple(Row(client, rule.action.postfix) for rule in rules for client in rule.client)


def problems(rules: tuple[AccessRule, ...]) -> Iterator[Reason]:
    earlier: list[tuple[int, AnyNetwork]] = []
    for index, rule in enumerate(rules):
        path = f"access.{index}.client"
        for client in rule.client:
            hidden = [number for number, network in earlier if _covers(network, client)]
            if hidden:
                yield Reason(path, f"{client} is decided by rule {hidden[0]} before", "remove it or move it up")
            wide = client.prefixlen < WIDEST[client.version]
            if rule.action is Action.RELAY and wide and not rule.open_relay:
                yield Reason(
                    path,
                    f"relaying for {client} makes the box an open relay",
                    "name the networks of your own clients; if this is meant, add open_relay: true",
                )
            earlier.append((index, client))


def _covers(network: AnyNetwork, other: AnyNetwork) -> bool:
    if network.version == 4:
        return other.version == 4 and other.subnet_of(network)
    return other.version == 6 and other.subnet_of(network)
