"""The journal's entries, of the units that have to do with mail and of those who tell of system and administrators."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAIL_UNITS = ("postfix", "rspamd", "dovecot", "postern-access", "postern-quarantine", "postern-proxy")
# By who says it (the name in syslog), the kind of event.
SPEAKERS = {
    "postern": "config",
    "systemd": "system",
    "systemd-networkd": "system",
    "nft": "system",
    "chronyd": "system",
    "kernel": "system",
    "freshclam": "update",
    "sudo": "admin",
    "sshd": "admin",
    "sshd-session": "admin",
    "login": "admin",
    "webmail": "webmail",
    "gunicorn": "quarantine",
    "postern-quarantine-daily": "quarantine",
}
BEFORE = 6 * 3600  # seconds that are read before what is asked for: messages that were under way then
_FIELDS = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT,_SOURCE_REALTIME_TIMESTAMP,_PID"


@dataclass(frozen=True)
class Entry:
    """One line of the journal. `unit` is what systemd says, `speaker` what the program calls itself."""

    arrived: int  # at the journal, which never goes back [µs since 1970]
    time: datetime
    unit: str
    speaker: str
    level: int
    text: str
    about: str = ""  # the unit that systemd speaks of


def command(*words: str, events: bool = True) -> list[str]:
    """The journalctl that gives the entries. No pager: one that runs as root could start a shell."""
    units = [f"_SYSTEMD_UNIT={name}.service" for name in MAIL_UNITS]
    speakers = [f"SYSLOG_IDENTIFIER={name}" for name in SPEAKERS] if events else []
    either = ["+", *speakers] if speakers else []
    return ["journalctl", "--no-pager", "--output=json", f"--output-fields={_FIELDS}", *words, *units, *either]


def entries(lines: Iterable[str | bytes]) -> Iterator[Entry]:
    """What journalctl prints, as values."""
    for line in lines:
        try:
            yield _entry(json.loads(line))
        except (ValueError, KeyError):  # a line that was cut off, or is no entry
            continue


def _entry(said: dict[str, Any]) -> Entry:
    time = said.get("_SOURCE_REALTIME_TIMESTAMP") or said["__REALTIME_TIMESTAMP"]
    return Entry(
        arrived=int(said["__REALTIME_TIMESTAMP"]),
        time=datetime.fromtimestamp(int(time) / 1e6, UTC),
        unit=_text(said.get("_SYSTEMD_UNIT")).removesuffix(".service"),
        speaker=_text(said.get("SYSLOG_IDENTIFIER")),
        level=int(_text(said.get("PRIORITY")) or "6"),
        text=_text(said.get("MESSAGE")),
        about=_text(said.get("UNIT")),
    )


def _text(value: object) -> str:
    """A field on one line, which a terminal may get: text; bytes, where it is no text; or several of them."""
    if isinstance(value, list):
        value = bytes(value) if all(isinstance(one, int) for one in value) else value[0]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return "".join(c if c.isprintable() else " " for c in re.sub(r"\s*\n\s*", " | ", text.strip()))
