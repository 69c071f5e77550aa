"""Links that act without a log-in: who, which message, what, until when, sealed with a key that each box makes.

A seal is short enough for the subject of a mail. Whoever holds it may do this one thing; nobody can make or change one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from enum import StrEnum

_SEAL_BYTES = 20


class Act(StrEnum):
    """What a link does."""

    RELEASE = "release"
    DELETE = "delete"


@dataclass(frozen=True)
class Link:
    """One thing that may be done to one message. `expires` is in seconds since 1970."""

    owner: str
    message: str  # as the store names it
    act: Act
    expires: int


def seal(key: bytes, link: Link) -> str:
    """The link as a word of letters, digits, hyphens and underscores."""
    content = json.dumps([link.owner, link.message, link.act, link.expires], separators=(",", ":")).encode()
    return _word(content + _mac(key, content))


def opened(key: bytes, word: str, now: float | None = None) -> Link | None:
    """The link of a word that this box sealed and that has not expired; else None."""
    try:
        raw = base64.b64decode(word.encode("ascii") + b"=" * (-len(word) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    content, mac = raw[:-_SEAL_BYTES], raw[-_SEAL_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, content)):
        return None
    owner, message, act, expires = json.loads(content)
    if expires < (time.time() if now is None else now):
        return None
    return Link(owner, message, Act(act), expires)


def _mac(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, b"postern quarantine link 1\0" + content, hashlib.sha256)[:_SEAL_BYTES]


def _word(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
