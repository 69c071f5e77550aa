"""Access rules: which clients may send to everywhere, and which may not send at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from hardware.host.documents import Frozen
from overlays.access.pattern import Pattern
from overlays.values import AnyAddress, AnyNetwork, Network, OneOrMore, Reason

# The widest network that one rule may relay for without saying so: a whole private range.
WIDEST = {4: 8, 6: 16}
EVERYBODY = ("0.0.0.0/0", "::/0")


class Action(StrEnum):
    """What happens to a message that a rule matches."""

    BYPASS = "bypass"
    RELAY = "relay"
    REJECT = "reject"
    DISCARD = "discard"


class Authentication(StrEnum):
    """Whether the client has logged in."""

    ANY = "any"
    AUTHENTICATED = "authenticated"
    NOT = "not"


class Tls(StrEnum):
    """Whether the connection is encrypted."""

    ANY = "any"
    YES = "yes"
    NO = "no"


def _yes_or_no(value: Any) -> Any:
    """YAML reads an unquoted `yes` as true and `no` as false."""
    return {True: Tls.YES, False: Tls.NO}[value] if isinstance(value, bool) else value


def _somebody(clients: tuple[AnyNetwork, ...]) -> tuple[AnyNetwork, ...]:
    if not clients:
        raise ValueError("names no client: such as 10.0.0.0/24 is right")
    return clients


@dataclass(frozen=True)
class Request:
    """What is known when a client names a recipient. Each text has every form that it may be written in."""

    client: AnyAddress
    name: str  # the client's, confirmed in both directions; `unknown` without one
    sender: tuple[str, ...]  # `<>` for the null sender
    recipient: tuple[str, ...]
    authenticated: bool
    encrypted: bool


class AccessRule(Frozen):
    """One rule: everything that it says must be true. The first that matches decides.

    Without one, mail to protected domains is taken, and an authenticated client may send to everywhere.
    """

    sender: Pattern | None = Field(None, description="the envelope sender; <> is the null sender")
    recipient: Pattern | None = Field(None, description="the envelope recipient")
    client: Annotated[tuple[Network, ...], OneOrMore, AfterValidator(_somebody)] = Field(
        (), description="the client's network, or several"
    )
    reverse_dns: Pattern | None = Field(
        None, description="the client's name, confirmed in both directions; a client without one is called unknown"
    )
    authentication: Authentication = Authentication.ANY
    tls: Annotated[Tls, BeforeValidator(_yes_or_no, json_schema_input_type=Tls | bool)] = Tls.ANY
    action: Action
    open_relay: bool = Field(False, description="must be true for a rule that relays for (nearly) everyone")

    @property
    def conditions(self) -> tuple[tuple[str, object], ...]:
        """What the rule asks for besides the client's network, by the name of the setting."""
        asked = {
            "sender": self.sender,
            "recipient": self.recipient,
            "reverse_dns": self.reverse_dns,
            "authentication": None if self.authentication is Authentication.ANY else self.authentication,
            "tls": None if self.tls is Tls.ANY else self.tls,
        }
        return tuple((name, value) for name, value in asked.items() if value is not None)

    @property
    def relaying(self) -> tuple[AnyNetwork | str, ...]:
        """The networks that the rule lets send to everywhere, for what Postfix itself asks about (README.md).

        A login is its own proof. A rule that names (nearly) everyone gives no right to relay unless it says so.
        """
        if self.action not in (Action.RELAY, Action.BYPASS) or self.authentication is Authentication.AUTHENTICATED:
            return ()
        if self.open_relay and not self.client:
            return EVERYBODY
        return tuple(client for client in self.client if self.open_relay or not _wide(client))

    def matches(self, request: Request) -> bool:
        return (
            (not self.client or any(request.client in network for network in self.client))
            and self.authentication in (Authentication.ANY, _authentication(request))
            and self.tls in (Tls.ANY, Tls.YES if request.encrypted else Tls.NO)
            and _any(self.reverse_dns, (request.name,))
            and _any(self.sender, request.sender)
            and _any(self.recipient, request.recipient)
        )

    @property
    def line(self) -> str:
        """The rule in one line of YAML, for the service that applies it."""
        return self.model_dump_json(exclude_defaults=True)


def _authentication(request: Request) -> Authentication:
    return Authentication.AUTHENTICATED if request.authenticated else Authentication.NOT


def _any(pattern: Pattern | None, forms: tuple[str, ...]) -> bool:
    return pattern is None or any(pattern.matches(form) for form in forms)


def _wide(client: AnyNetwork) -> bool:
    return client.prefixlen < WIDEST[client.version]


def relaying(rules: tuple[AccessRule, ...]) -> tuple[AnyNetwork | str, ...]:
    """Every network that some rule lets send to everywhere."""
    return tuple(dict.fromkeys(network for rule in rules for network in rule.relaying))


def problems(rules: tuple[AccessRule, ...]) -> Iterator[Reason]:
    for index, rule in enumerate(rules):
        if not rule.client and not rule.conditions:
            hint = f"such as client: 10.0.0.0/24; everybody is client: [{', '.join(EVERYBODY)}]"
            yield Reason(f"access.{index}", "says nothing of whom it is for", hint)
        for client in rule.client or (None,):
            hidden = [number for number, earlier in enumerate(rules[:index]) if _hides(earlier, rule, client)]
            if hidden:
                path = f"access.{index}.client" if client else f"access.{index}"
                what = client or "everything that it matches"
                yield Reason(
                    path, f"{what} is decided by an earlier rule, number {hidden[0] + 1}", "remove it or move it up"
                )
        yield from _open(index, rule)


def _open(index: int, rule: AccessRule) -> Iterator[Reason]:
    """A rule that relays for (nearly) everyone. Names of reverse DNS are their owner's to choose: they are no proof."""
    if rule.action is not Action.RELAY or rule.open_relay or rule.authentication is Authentication.AUTHENTICATED:
        return
    hint = "name the networks of your own clients; if this is meant, add open_relay: true"
    if not rule.client:
        yield Reason(f"access.{index}", "relaying for every client makes the box an open relay", hint)
    for client in filter(_wide, rule.client):
        yield Reason(f"access.{index}.client", f"relaying for {client} makes the box an open relay", hint)


def _hides(earlier: AccessRule, rule: AccessRule, client: AnyNetwork | None) -> bool:
    """Does the earlier rule match whatever this one matches from that network (None: from anywhere)?"""
    covers = not earlier.client or (client is not None and any(_covers(network, client) for network in earlier.client))
    return covers and set(earlier.conditions) <= set(rule.conditions)


def _covers(network: AnyNetwork, other: AnyNetwork) -> bool:
    if network.version == 4:
        return other.version == 4 and other.subnet_of(network)
    return other.version == 6 and other.subnet_of(network)
