"""The mailboxes of the quarantine, by doveadm over a socket that only we (and root) may open.

A message is called `GUID.UID`, of its mailbox and in it: it never means another message, also when a mailbox was made
anew.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from pathlib import Path

from hardware.host import files
from hardware.host.run import Argument, Failed, run
from overlays.header import plain
from overlays.quarantine import carry, message
from overlays.quarantine.carry import Letter, NotTaken
from overlays.quarantine.policy import SYSTEM, Kind, Policy

SOCKET = Path("/run/dovecot/doveadm-quarantine")
LOCK = Path("/var/lib/postern-quarantine/lock")
_LONGEST = 120.0
_NAME = re.compile(r"([0-9a-f]{32})\.([0-9]{1,10})")
_HEADERS = ("From", "Subject", message.SCORE, message.KIND, message.RECIPIENT, message.SENDER)
_FIELDS = ("mailbox-guid", "uid", "date.received.unixtime", "size.virtual", *(f"hdr.{name}" for name in _HEADERS))
_NO_USER = 67  # EX_NOUSER


class Away(Exception):
    """The store does not answer."""


@dataclass(frozen=True)
class Kept:
    """What a list shows of a message. `sender` is the envelope's; `author` is the header's, as a person reads it."""

    name: str
    author: str
    address: str  # whose mail it says that it is
    subject: str
    received: datetime
    size: int
    score: str
    kind: str
    recipient: str
    sender: str

    @property
    def uid(self) -> int:
        return int(self.name.partition(".")[2])


@dataclass(frozen=True)
class Mailbox:
    """One owner's kept messages. Every call raises `Away` when the store does not answer."""

    policy: Policy
    owner: str

    def all(self) -> list[Kept]:
        """The messages, newest first."""
        return sorted(self._found("all"), key=lambda one: (one.received, one.uid), reverse=True)

    def find(self, name: str) -> Kept | None:
        """What the list says of one message; None when it is not there (any more)."""
        return next(iter(self._found(*words)), None) if (words := _query(name)) else None

    def holds(self, mark: str) -> bool:
        """Whether the message with this mark was filed."""
        return bool(self._found("header", message.FILING, mark))

    def copies(self, number: str) -> int:
        """How many of the owner's messages, wherever they lie, are the one that Postfix called by this number."""
        # Of a large mailbox only what came while Postfix had the message is looked at.
        said = self._ask("json", "search", "mailbox", "*", "since", "7days", "header", "received", number)
        return len(json.loads(said or "[]"))

    def raw(self, name: str) -> bytes | None:
        """A whole message as it came."""
        words = _query(name)
        if not words:
            return None
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "message")
            self._ask("flow", "fetch", "text", "mailbox", self.policy.mailbox, *words, stdout=file)
            said = file.read_bytes()
        # `text=`, the message with the line ends of the store, and one more line end.
        return re.sub(rb"\r?\n", b"\r\n", said[len(b"text=") : -1]) if said else None

    def delete(self, names: Iterable[str]) -> int:
        """Take messages away; how many of them were there."""
        gone = 0
        by_guid: dict[str, list[str]] = {}
        for match in filter(None, map(_NAME.fullmatch, names)):
            by_guid.setdefault(match[1], []).append(match[2])
        for guid, uids in by_guid.items():
            words = ("mailbox-guid", guid, "uid", ",".join(uids))
            gone += len(self._found(*words))
            self._ask("flow", "expunge", "mailbox", self.policy.mailbox, *words)
        return gone

    def release(self, name: str) -> bool:
        """Bring a message to its recipient, and to no other; false when it is not there. Raises `NotTaken`.

        It is taken away only after the next hop has it; whoever asks for it meanwhile waits, and finds it gone.
        """
        with files.locked(LOCK):
            if self.policy.keeps_mailboxes and self.owner != SYSTEM:
                return self._move(name)
            raw = self.raw(name)
            if raw is None:
                return False
            recipient = message.first(raw, message.RECIPIENT) or self.owner
            refused = carry.onward(Letter(message.first(raw, message.SENDER), message.released(raw)), [recipient])
            if refused:
                raise NotTaken(refused[recipient])
            self.delete([name])
            return True

    def tidy(self, now: datetime | None = None) -> tuple[int, int]:
        """Delete what is too old, and the oldest beyond the quota; how many that were, and how many stay."""
        oldest = (now or datetime.now(UTC)) - timedelta(days=self.policy.retention_days)
        room = self.policy.quota_mib << 20
        gone = []
        kept = self.all()
        for one in kept:
            room -= one.size
            if room < 0 or one.received < oldest:
                gone.append(one.name)
        return self.delete(gone), len(kept) - len(gone)

    def _move(self, name: str) -> bool:
        """From one mailbox of a user into another. What a user's mailbox says of its recipient is not believed."""
        words = _query(name)
        if not words or not self._found(*words):
            return False
        self._ask("flow", "move", "INBOX", "mailbox", self.policy.mailbox, *words)
        return True

    def _found(self, *words: str) -> list[Kept]:
        said = self._ask("json", "fetch", " ".join(_FIELDS).lower(), "mailbox", self.policy.mailbox, *words)
        return [_kept(one) for one in json.loads(said or "[]")]

    def _ask(self, form: str, verb: str, *words: str, stdout: Path | None = None) -> str:
        argv: list[Argument] = ["doveadm", "-f", form, verb, "-S", SOCKET, "-u", self.owner, *words]
        try:
            done = run(argv, stdout=stdout, timeout=_LONGEST, check=False)
        except Failed as failure:
            raise Away(str(failure)) from failure
        if done.status == _NO_USER:  # nobody of that name has a mailbox: there is nothing in it
            return ""
        if done.status != 0:
            raise Away(done.stderr.strip() or f"doveadm ended with status {done.status}")
        return done.stdout


def _query(name: str) -> Sequence[str]:
    match = _NAME.fullmatch(name)
    return ("mailbox-guid", match[1], "uid", match[2]) if match else ()


def _kept(said: dict[str, str]) -> Kept:
    header = {name: said[f"hdr.{name.lower()}"] for name in _HEADERS}
    return Kept(
        name=f"{said['mailbox-guid']}.{said['uid']}",
        author=plain(header["From"]),
        address=(parseaddr(header["From"])[1] or header[message.SENDER]).lower(),
        subject=plain(header["Subject"]),
        received=datetime.fromtimestamp(int(said["date.received.unixtime"]), UTC),
        size=int(said["size.virtual"]),
        score=header[message.SCORE],
        kind=header[message.KIND] or Kind.SPAM.value,
        recipient=header[message.RECIPIENT],
        sender=header[message.SENDER],
    )
