"""The four types of records, made from the journal's entries: nothing of them is stored anywhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from overlays.header import plain
from overlays.logs.journal import SPEAKERS, Entry
from overlays.logs.message import Fate, Message
from overlays.logs.settings import Level, LogType
from overlays.logs.trail import Trail, verdict_facts, verdict_of
from overlays.overlay import overlays

_LONGEST = 2000  # of one value: a line of syslog has room for 8 KiB
_LOGIN = re.compile(r"(imap|pop3|managesieve)-login: ((?:Login|Disconnected|Aborted login).*)")
# Webmail and the quarantine's pages ask with every page, and tell themselves who logged in.
_BY_A_PAGE = re.compile(r".*, lip=127\.0\.0\.1, [^<>]*session=<[^<>]*>")
_TWICE_TOLD = "IMAP Error: Login failed "  # by Roundcube, beside our plugin's line, with whatever was typed
_ALARM = re.compile(r"(?:warning|error|fatal|panic): .*")
_PROGRESS = re.compile(r"\[\d+/\d+\] .*|[\d.]+ s(?: \(.*\))?")  # what `postern apply` says while it works
_UNCLEAN = ("virus", "not scannable", "filter away")
_FINDINGS = ("POSTERN_VIRUS", "POSTERN_ENCRYPTED", "POSTERN_LIMITS")


@dataclass(frozen=True)
class Record:
    """One record. `key` is the same for what replaces what was said before: a message deferred, and then delivered."""

    time: datetime
    type: LogType
    level: Level
    facts: dict[str, str]
    key: tuple[str, ...] = ()

    @property
    def json(self) -> str:
        head = {"time": self.time.astimezone().isoformat(), "type": self.type, "level": self.level}
        return json.dumps(head | self.facts, ensure_ascii=False)

    @property
    def pairs(self) -> str:
        """For a log server: `name="value"`, with a backslash before quotation marks."""
        head = {"type": self.type, "level": self.level}
        return " ".join(f"{name}={_quoted(value)}" for name, value in (head | self.facts).items())


class Records:
    """Takes the entries one after the other, and tells the records of the types that are wanted."""

    def __init__(self, types: Collection[LogType], tell: Callable[[Record], None]) -> None:
        self._types = types
        self._tell = tell
        self._trail = Trail(lambda message, fate: tell(_history(message, fate)))

    def take(self, entry: Entry) -> None:
        if LogType.HISTORY in self._types:
            self._trail.take(entry)
        facts = verdict_facts(entry)
        if facts and LogType.ANTISPAM in self._types:
            self._tell(_antispam(entry, facts))
        if facts and LogType.ANTIVIRUS in self._types and (record := _antivirus(entry, facts)):
            self._tell(record)
        if LogType.EVENT in self._types and (record := _event(entry)):
            self._tell(record)


def _history(message: Message, fate: Fate) -> Record:
    facts = {
        "id": message.origin or message.id,
        "message_id": message.message_id,
        "client": message.client,
        "user": message.user,
        "from": message.sender,
        "to": fate.to,
        "subject": plain(message.subject),
        "classifier": fate.classifier,
        "disposition": fate.disposition,
        "detail": fate.detail,
    }
    # What was refused before it had a number stands for itself.
    key = (facts["id"], fate.to) if facts["id"] else ()
    return Record(fate.time, LogType.HISTORY, Level.INFORMATION, facts, key)


def _filtered(facts: dict[str, Any]) -> dict[str, str]:
    named = {name: str(facts.get(name, "")) for name in ("id", "message_id", "client", "from")}
    return named | {"to": ", ".join(map(str, facts.get("to", ())))}


def _antispam(entry: Entry, facts: dict[str, Any]) -> Record:
    verdict = verdict_of(facts)
    symbols = " ".join(f"{name}({score:g})" for name, score in verdict.symbols.items())
    judged = {"classifier": verdict.classifier, "score": verdict.score, "action": verdict.action, "symbols": symbols}
    level = Level.INFORMATION if verdict.classifier == "clean" else Level.NOTIFICATION
    return Record(entry.time, LogType.ANTISPAM, level, _filtered(facts) | judged)


def _antivirus(entry: Entry, facts: dict[str, Any]) -> Record | None:
    verdict = verdict_of(facts)
    found = [name for name in _FINDINGS if name in verdict.symbols]
    if not found and verdict.classifier not in _UNCLEAN:
        return None
    classifier = verdict.classifier if verdict.told else found[0].removeprefix("POSTERN_").lower()
    judged = {"classifier": classifier, "action": verdict.action, "detail": verdict.told}
    return Record(entry.time, LogType.ANTIVIRUS, Level.WARNING, _filtered(facts) | judged)


def _event(entry: Entry) -> Record | None:
    """What a person did, and what befell the system; not what programs say while all goes well."""
    if entry.level > Level.INFORMATION.number or not entry.text:
        return None
    subtype, text = SPEAKERS.get(entry.speaker, ""), entry.text
    if entry.unit == "dovecot" and (match := _LOGIN.fullmatch(text)):
        subtype, text = "" if _BY_A_PAGE.fullmatch(text) else match[1], match[2]
    elif entry.unit == "postfix":
        subtype = "smtp" if _ALARM.fullmatch(text) else ""
    elif entry.speaker == "webmail":
        told = text.startswith("login ") or entry.level <= Level.WARNING.number
        subtype = subtype if told and not text.startswith(_TWICE_TOLD) else ""
    elif entry.unit == "postern-quarantine":
        subtype = "quarantine" if " by mail owner=" in text else ""
    elif entry.speaker == "systemd" and entry.level >= Level.NOTIFICATION.number:
        subtype = subtype if entry.about in _units() and not text.startswith(("Starting ", "Stopping ")) else ""
    elif entry.speaker == "kernel":
        subtype = subtype if entry.level <= Level.WARNING.number else ""
    elif entry.speaker == "postern":
        subtype = "" if _PROGRESS.fullmatch(text) else subtype
    if not subtype:
        return None
    level = list(Level)[entry.level]
    return Record(entry.time, LogType.EVENT, level, {"subtype": subtype, "by": entry.speaker, "text": text})


@cache
def _units() -> frozenset[str]:
    """The services that an apply starts and stops."""
    return frozenset(service.unit for overlay in overlays().values() for service in overlay.services)


def _quoted(value: str) -> str:
    return '"{}"'.format(value[:_LONGEST].replace("\\", "\\\\").replace('"', '\\"'))
