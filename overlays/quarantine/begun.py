"""Which messages were begun to be filed into users' mailboxes: one that comes again is looked for before it is filed.

One SQLite file that the agent alone opens. What is written outlives the process, and costs no wait for the disk: a loss
of power can take the last seconds with it, but then Postfix, too, has forgotten what it had delivered.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

BEGUN = Path("/var/lib/postern-quarantine/begun.sqlite")
_QUEUED = 6 * 86400  # seconds in which a message may come again: a day more than Postfix tries
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS begun
    (id INTEGER PRIMARY KEY, number TEXT, recipient TEXT, mailbox TEXT, since INTEGER, UNIQUE (number, recipient));
CREATE INDEX IF NOT EXISTS begun_since ON begun (since);
"""


@dataclass(frozen=True)
class Copy:
    """A message for one recipient: how many copies its mailbox was to get before this one (a user may have several
    addresses), and how long ago it was begun [s]; None when it is the first time."""

    place: int
    ago: int | None


class Begun:
    """The file. One thread at a time may use it."""

    def __init__(self, path: Path = BEGUN) -> None:
        self._file = sqlite3.connect(path, timeout=20, isolation_level=None, check_same_thread=False)
        self._file.executescript(_SCHEMA)

    def begin(self, number: str, recipient: str, mailbox: str) -> Copy:
        """Remember that this message is about to be filed, if it was not remembered before."""
        now = int(time.time())
        self._file.execute("DELETE FROM begun WHERE since < ?", (now - _QUEUED,))
        new = "INSERT OR IGNORE INTO begun (number, recipient, mailbox, since) VALUES (?, ?, ?, ?)"
        is_new = self._file.execute(new, (number, recipient, mailbox, now)).rowcount == 1
        known = "SELECT id, since FROM begun WHERE number = ? AND recipient = ?"
        row, since = self._file.execute(known, (number, recipient)).fetchone()
        before = "SELECT count(*) FROM begun WHERE number = ? AND mailbox = ? AND id < ?"
        (place,) = self._file.execute(before, (number, mailbox, row)).fetchone()
        return Copy(place, None if is_new else max(0, now - since))

    def begin_again(self, number: str, recipient: str) -> None:
        """It was not there, and is about to be filed once more."""
        again = "UPDATE begun SET since = ? WHERE number = ? AND recipient = ?"
        self._file.execute(again, (int(time.time()), number, recipient))

    def settle(self, number: str, recipient: str) -> None:
        """The store has refused: it is not there."""
        self._file.execute("DELETE FROM begun WHERE number = ? AND recipient = ?", (number, recipient))
