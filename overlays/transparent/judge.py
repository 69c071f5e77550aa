"""What becomes of a message: the question that the proxy asks, and what it can be answered.

The dialogue knows these types alone, so that it can be shown right without a scanner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from overlays.transparent.content import Content
from overlays.transparent.words import Address


class Unsure(Exception):
    """Nobody could say what the message is, or keep it: the client is to try again."""


class Fate(StrEnum):
    """What happens to a message."""

    DELIVER = "deliver"
    REJECT = "reject"
    DEFER = "defer"
    QUARANTINE = "quarantine"
    DISCARD = "discard"


@dataclass(frozen=True)
class Verdict:
    """A message's fate. `text` is told to the client with a refusal; `header` goes on top of what is delivered, and
    `mark` before its subject."""

    fate: Fate
    text: str = ""
    header: bytes = b""
    mark: str = ""


@dataclass(frozen=True)
class Client:
    """Who sends: address, name in EHLO, and whether the server let them log in."""

    address: str
    helo: str = ""
    authenticated: bool = False
    encrypted: bool = False


@dataclass(frozen=True)
class Envelope:
    """A message's envelope as the server accepted it. `group` names what its recipients have in common."""

    number: str
    client: Client
    sender: str
    recipients: tuple[str, ...] = field(default=())
    group: str = ""


class Judge(Protocol):
    """Who decides. Both questions raise `Unsure`."""

    def group(self, recipient: Address) -> str:
        """Recipients of one group are treated alike; one message goes to one group."""

    async def judge(self, envelope: Envelope, content: Content) -> Verdict:
        """What is to happen to the message."""

    async def keep(self, envelope: Envelope, content: Content, verdict: Verdict) -> None:
        """Put it into the quarantine of each recipient; back when all of them have it."""
