"""What holds for a session: how much it may use, and what becomes of encryption."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict

if TYPE_CHECKING:
    import ssl  # the settings need a word of this file at each start of the box, and no encryption


class Starttls(StrEnum):
    """What becomes of encryption; the settings say it in the operator's words."""

    PASS = "pass"  # noqa: S105 - not a password
    STRIP = "strip"
    TERMINATE = "terminate"


@dataclass(frozen=True)
class Rules:
    """What holds for the connections to one server. `certificate` is the box's, `towards_server` verifies nobody."""

    starttls: Starttls
    certificate: ssl.SSLContext | None = None
    towards_server: ssl.SSLContext | None = None


@dataclass(frozen=True)
class Limits:
    """What a session may use. Times in seconds, after RFC 5321, 4.5.3.2."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    message_bytes: int = 50 * 1024 * 1024
    recipients: int = 1000
    mistakes: int = 20
    command: float = 300
    reply: float = 300
    data_start: float = 120
    data_block: float = 180
    judging: float = 120
    answer: float = 570  # from the client's final dot to our reply: the client waits for ten minutes
    tunnel: float = 1800  # an encrypted session that is passed through and says nothing
