"""What is known of one message on its way through the box: its steps, and what became of it for each recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Disposition(StrEnum):
    """What became of a message for one recipient; DEFERRED is not the last word."""

    DELIVERED = "delivered"
    QUARANTINED = "quarantined"
    RELEASED = "released"
    DEFERRED = "deferred"  # we have it, and the next hop does not want it yet
    BOUNCED = "bounced"
    DISCARDED = "discarded"
    DELAYED = "delayed"  # its sender was told to come again
    REJECTED = "rejected"
    OBEYED = "obeyed"  # it was a command to the quarantine


class Stage(StrEnum):
    """Where on its way a step was."""

    CONNECTION = "connection"
    ACCESS = "access"
    VERDICT = "verdict"
    QUEUE = "queue"
    QUARANTINE = "quarantine"
    STORE = "store"
    DELIVERY = "delivery"
    REFUSAL = "refusal"


@dataclass(frozen=True)
class Step:
    """Something that happened to a message; with `to`, for that recipient alone."""

    time: datetime
    stage: Stage
    text: str
    to: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the filter said."""

    word: str  # clean, spam or virus
    score: str = ""
    action: str = ""
    told: str = ""  # to the client
    symbols: Mapping[str, float] = field(default_factory=dict)
    recipients: tuple[str, ...] = ()

    @property
    def classifier(self) -> str:
        """Why the message had the fate that it had, in one or two words."""
        if self.told:
            return classify(self.told)
        return "spam" if self.action == "reject" else self.word

    def __str__(self) -> str:
        heaviest = sorted(self.symbols.items(), key=lambda item: -abs(item[1]))
        symbols = " ".join(f"{name}({score:g})" for name, score in heaviest if score)
        action = "" if self.action in ("", "no action") else f", {self.action}"
        told = f" ({self.told})" if self.told else ""
        return f"{self.classifier}, score {self.score}{action}{told}{f': {symbols}' if symbols else ''}"


@dataclass(frozen=True)
class Fate:
    """The message's lot for one recipient, as far as it is known."""

    time: datetime
    to: str
    disposition: Disposition
    classifier: str
    detail: str


@dataclass
class Message:
    """One message, or one that was refused before it was any. `id` is what the queue (or the proxy) called it."""

    id: str
    begun: datetime
    client: str = ""
    user: str = ""
    sender: str = ""
    message_id: str = ""
    subject: str = ""
    origin: str = ""  # the id under which it came in, where it is one that the quarantine handed on
    verdict: Verdict | None = None
    line: tuple[str, str] = ("", "")  # the client's address and port
    ruled: bool = False  # the access rules were asked
    read: bool = False  # to its end
    probe: bool = False  # Postfix asks a server for a recipient, and has no message
    steps: list[Step] = field(default_factory=list)
    fates: dict[str, Fate] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)  # why the quarantine keeps it, by recipient

    @property
    def recipients(self) -> list[str]:
        named = [step.to for step in self.steps if step.to]
        known = self.verdict.recipients if self.verdict else ()
        return list(dict.fromkeys([*known, *named, *self.fates]))

    def has(self, word: str) -> bool:
        """Whether a message-id, a queue's number or an address is this message's."""
        wanted = word.casefold().strip("<>")
        return wanted in (self.id.casefold(), self.message_id.casefold(), self.sender.casefold()) or any(
            wanted == to.casefold() for to in self.recipients
        )


# By words in what a client was told.
_CLASSES = {
    "virus found": "virus",
    "virus scanner": "filter away",
    "scanned for viruses": "not scannable",
    "refused as spam": "spam",
    "block list": "block list",
    "Please try again later": "greylisting",
    "Relay access denied": "relay denied",
    "access rule": "access rule",
    "not confirmed by the mail server": "unknown recipient",
    "User unknown": "unknown recipient",
    "undeliverable address": "unknown recipient",
    "unverified address": "unverified recipient",
    "mailbox is full": "mailbox full",
    "Service unavailable": "filter away",
    "Cannot be checked now": "filter away",
}


def classify(told: str) -> str:
    """The class of a refusal by its words."""
    return next((name for words, name in _CLASSES.items() if words in told), "protocol")
