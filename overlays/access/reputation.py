"""Sender reputation: what a client's own past makes of it, before it may send more.

A client is scored by what it did in the last hours, from 0 to 100: the share of what was bad, with some benefit of the
doubt. Bad are recipients that nobody has, spam and viruses; good are recipients that somebody has. Who is turned away
adds nothing to it, so that the hours pass. Who may relay, or has logged in, is no stranger and has no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network

from hardware.host.documents import Frozen
from overlays.values import AnyAddress

HOURS = 12
BENEFIT = 20  # as many good recipients as everybody begins with
VIRUS = 5  # bad recipients that one virus is as bad as


class Limits(Frozen):
    """The scores from which something is done, and what a client that is slowed down may send."""

    throttle: int
    tempfail: int
    reject: int
    throttle_percent: int


@dataclass(frozen=True)
class Hour:
    """What a client did within one hour: messages begun, recipients named, those that exist; spam and viruses sent."""

    messages: int = 0
    asked: int = 0
    known: int = 0
    spam: int = 0
    virus: int = 0


class Standing(StrEnum):
    """How a client stands."""

    GOOD = "good"
    THROTTLED = "throttled"
    PUT_OFF = "put off"
    REFUSED = "refused"


REFUSALS = {
    Standing.THROTTLED: "450 4.7.1 too many bad messages came from you: come again in an hour",
    Standing.PUT_OFF: "451 4.7.1 too many bad messages came from you: come again later",
    Standing.REFUSED: "550 5.7.1 too many bad messages came from you",
}


def score(hours: Sequence[Hour]) -> int:
    """From 0 (nothing bad) to 100 (nothing else, and much of it)."""
    bad = sum(max(0, one.asked - one.known) + one.spam + VIRUS * one.virus for one in hours)
    good = sum(max(0, one.known - one.spam - one.virus) for one in hours)
    return round(100 * bad / (bad + good + BENEFIT))


def standing(hours: Sequence[Hour], limits: Limits) -> Standing:
    reached = score(hours)
    if reached >= limits.reject:
        return Standing.REFUSED
    if reached >= limits.tempfail:
        return Standing.PUT_OFF
    return Standing.THROTTLED if reached >= limits.throttle else Standing.GOOD


def refusal(hours: Sequence[Hour], limits: Limits) -> str:
    """What a client hears when it begins a message; empty when it may. `hours` has the running one first.

    Who is throttled may send part of what it sent in the hour before, one message at least.
    """
    now = standing(hours, limits)
    if now is Standing.GOOD:
        return ""
    if now is Standing.THROTTLED and hours[0].messages < max(1, hours[1].messages * limits.throttle_percent // 100):
        return ""
    return REFUSALS[now]


def client_name(address: AnyAddress) -> str:
    """Under which name a client is remembered. Whoever has an IPv6 address has its whole network of 64 bits.

    decide.lua names clients alike.
    """
    if address.version == 4:
        return str(address)
    return str(ip_network((address, 64), strict=False))
