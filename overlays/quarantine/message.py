"""Messages as bytes: the few headers that the quarantine reads, adds and takes away. Nothing else is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parseaddr
from ipaddress import ip_address

from overlays.header import plain
from overlays.quarantine.policy import Judgement, Origin

SCORE, VERDICT, MARK = "X-Postern-Score", "X-Postern-Verdict", "X-Spam"
# The agent writes these on what it keeps: for whom and from whom it came, why it is kept, and how it is known again.
RECIPIENT, SENDER, KIND = "X-Postern-Recipient", "X-Postern-Sender", "X-Postern-Quarantine"
FILING = "X-Postern-Filing"
CONTENT = "X-Postern-Content"
"""Names what the client of the proxy sent; what the proxy adds is new each time."""
_OURS = (RECIPIENT, SENDER, KIND, FILING)
_STORED = (*_OURS, CONTENT, "Return-Path", "Delivered-To")  # what agent and store add, and a release takes away

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)\r?\n")
# What the box itself wrote into `Received:`; the store says LMTP.
_NUMBER = re.compile(r"from .*? by \S+ (?:\(Postfix\) )?with (?:UTF8|E)?SMTP\w* id ([0-9A-Za-z.]{6,32})\b")
# What Postfix wrote on top of each message that it hands over, wherever that came from. No stranger's words there can
# have brackets in them.
_TRACE = re.compile(rb"^Received:((?:[^\r\n]|\r?\n[ \t])*)", re.MULTILINE | re.IGNORECASE)
_HANDED_OVER = re.compile(r"(?:from .*? )?by \S+ \(Postfix[^)]*\) (?:with \S+ )?id ([0-9A-Za-z]{6,32})\b")
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Field:
    """One header field where it stands."""

    name: str
    value: bytes
    start: int
    end: int


def fields(raw: bytes) -> list[Field]:
    """The header's fields in their order; what is malformed ends the header."""
    found: list[Field] = []
    place = 0
    while match := _FIELD.match(raw, place):
        found.append(Field(match[1].decode("ascii").lower(), match[2].strip(), match.start(), match.end()))
        place = match.end()
    return found


def values(raw: bytes, name: str) -> list[str]:
    """The values of a header, unfolded, with replacement characters for what is no UTF-8."""
    wanted = name.lower()
    return [_unfolded(field.value) for field in fields(raw) if field.name == wanted]


def first(raw: bytes, name: str) -> str:
    return next(iter(values(raw, name)), "")


def readable(raw: bytes, name: str) -> str:
    """A header as a person reads it: words decoded, one line, no control characters."""
    return plain(first(raw, name))


def author(raw: bytes) -> str:
    """The address of `From:`, in lower case; empty when there is none."""
    return parseaddr(first(raw, "From"))[1].lower()


def judgement(raw: bytes) -> Judgement:
    """What the filter wrote. Of several the worst counts: a forged one cannot make a message better."""
    scores = [float(text) for text in values(raw, SCORE) if re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", text)]
    return Judgement(max(scores, default=0.0), virus="virus" in values(raw, VERDICT))


def queue_id(raw: bytes) -> str:
    """What Postfix or the proxy called a message when it came in, for the logs; empty when none of them took it."""
    found = (_NUMBER.match(trace) for trace in values(raw, "Received"))
    return next((match[1] for match in found if match), "")


def handed_over(raw: bytes) -> str:
    """What Postfix calls the message that it hands over (its beginning is enough); empty when it says nothing of it."""
    trace = _TRACE.search(raw)
    match = _HANDED_OVER.match(_unfolded(trace[1])) if trace else None
    return match[1] if match else ""


def origin(raw: bytes, sender: str) -> Origin:
    """Who sent a message. The client stands in the topmost `Received:`, which Postfix wrote when it took it."""
    match = re.match(r"from \S+ \(\S+ \[(?:IPv6:)?([0-9a-fA-F.:]+)\]", first(raw, "Received"))
    addresses = (sender.lower(), author(raw))
    return Origin(tuple(filter(None, addresses)), ip_address(match[1]) if match else None)


def with_fields(raw: bytes, added: Iterable[tuple[str, str]]) -> bytes:
    """The message with these fields before its others, in place of any that it had."""
    new = list(added)
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in new)
    return lines + without(raw, [name for name, _ in new])


def without(raw: bytes, names: Iterable[str]) -> bytes:
    """The message without the fields of these names."""
    unwanted = {name.lower() for name in names}
    for field in reversed(fields(raw)):
        if field.name in unwanted:
            raw = raw[: field.start] + raw[field.end :]
    return raw


def released(raw: bytes) -> bytes:
    """A kept message as it came, without what agent and store added."""
    return without(raw, _STORED)


def marked(raw: bytes, mark: str) -> bytes:
    """The message with a mark before its subject."""
    for field in fields(raw):
        if field.name == "subject":
            after = raw[field.start : field.end]
            text = after[after.index(b":") + 1 :].lstrip(b" \t")
            return raw[: field.start] + f"Subject: {mark} ".encode() + text + raw[field.end :]
    return f"Subject: {mark}\r\n".encode() + raw


def _unfolded(value: bytes) -> str:
    return re.sub(r"\r?\n[ \t]", " ", value.decode("utf-8", "replace")).strip()
