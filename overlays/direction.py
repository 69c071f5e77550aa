"""Incoming or outgoing. Where mail comes from does not count: what is meant for the protected is incoming, all else is
outgoing. There are two levels, which can differ: a message to the world that a user hands to the protected server is an
outgoing message on an incoming connection.

The filter asks the second question in Lua (`direction_of_message` in decide.lua), the pick-up rules the first in nft.
"""

from __future__ import annotations

from collections.abc import Container
from enum import StrEnum


class Direction(StrEnum):
    """Which way something goes, seen from the protected domains."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


def of_connection(destination: str, protected_servers: Container[str]) -> Direction:
    """Connection level: the address that a client connects to, among those of the protected domains' servers.

    It decides what is picked up from the wire, and what becomes of encryption.
    """
    return Direction.INCOMING if destination in protected_servers else Direction.OUTGOING


def of_message(recipient_domain: str, protected_domains: Container[str]) -> Direction:
    """Message level: the domain of one recipient, in any case, among the protected domains. Their subdomains are not.

    It decides what is filtered, and how; recipients of one message can differ.
    """
    return Direction.INCOMING if recipient_domain.lower() in protected_domains else Direction.OUTGOING
