"""What the quarantine remembers beside the messages: who has any, whose mail they welcome or block, what was reported,
and which messages are on their way into a mailbox.

One SQLite file under /var. A message is never here: losing the file loses no mail. Who blocks whom is also in a file
for the filter, so that clean mail of a blocked sender finds its way to the agent.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardware.host import files

_FILING = 86400  # seconds within which a message that was said to come has come
_QUEUED = 6 * 86400  # seconds in which a message may come again: a day more than Postfix tries
RECORDS = Path("/var/lib/postern-quarantine/records.sqlite")
BLOCKED = Path("/var/lib/postern-blocked/blocked")  # for decide.lua: owner|sender, and |sender for anybody's
_SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (name TEXT PRIMARY KEY, reported TEXT NOT NULL DEFAULT '', seen INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS filing (owner TEXT, mark TEXT, since INTEGER, PRIMARY KEY (owner, mark)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS welcome (owner TEXT, sender TEXT, PRIMARY KEY (owner, sender)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS filing_since ON filing (since);
CREATE TABLE IF NOT EXISTS block (owner TEXT, sender TEXT, PRIMARY KEY (owner, sender)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS day (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Records:
    """The file; each call opens it anew, so that daemons may share it."""

    path: Path = RECORDS
    blocked_file: Path = BLOCKED

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=20)
        try:
            with connection:
                connection.executescript(_SCHEMA)
                yield connection
        finally:
            connection.close()

    def begin(self, name: str, mark: str) -> int | None:
        """Remember, also over a loss of power, that this mailbox gets the message with this mark. It is said before it
        is filed.

        How long ago it was said before [s]: nobody knows whether the message is there. None when it is the first time.
        """
        with self._open() as now:
            known = "INSERT INTO owner (name, seen) VALUES (?, ?) ON CONFLICT DO UPDATE SET seen = excluded.seen"
            at = int(time.time())
            now.execute(known, (name, at))
            now.execute("DELETE FROM filing WHERE since < ?", (at - _QUEUED,))
            if now.execute("INSERT OR IGNORE INTO filing VALUES (?, ?, ?)", (name, mark, at)).rowcount == 1:
                return None
            (since,) = now.execute("SELECT since FROM filing WHERE owner = ? AND mark = ?", (name, mark)).fetchone()
            return max(0, at - int(since))

    def begin_again(self, name: str, mark: str) -> None:
        """It was not there, and is about to be filed once more."""
        with self._open() as now:
            now.execute("UPDATE filing SET since = ? WHERE owner = ? AND mark = ?", (int(time.time()), name, mark))

    def settle(self, name: str, mark: str) -> None:
        """The store has refused: the message is not there."""
        with self._open() as now:
            now.execute("DELETE FROM filing WHERE owner = ? AND mark = ?", (name, mark))

    def forget_owner(self, name: str) -> None:
        """Whose mailbox is empty need not be looked after; unless something is just being filed into it."""
        with self._open() as now:
            gone = now.execute("DELETE FROM owner WHERE name = ? AND seen < ?", (name, int(time.time()) - _FILING))
            if gone.rowcount:
                now.execute("DELETE FROM filing WHERE owner = ?", (name,))

    def owners(self) -> list[str]:
        with self._open() as now:
            return [name for (name,) in now.execute("SELECT name FROM owner ORDER BY name")]

    def reported(self, owner: str) -> str:
        """The name of the last message that a report has told of."""
        with self._open() as now:
            row = now.execute("SELECT reported FROM owner WHERE name = ?", (owner,)).fetchone()
        return str(row[0]) if row else ""

    def set_reported(self, owner: str, name: str) -> None:
        with self._open() as now:
            now.execute("UPDATE owner SET reported = ? WHERE name = ?", (name, owner))

    def welcome(self, owner: str, sender: str) -> None:
        """From now on this owner wants this sender's mail."""
        self._list(owner, sender, "welcome")

    def block(self, owner: str, sender: str) -> None:
        """From now on this sender's mail is kept from this owner."""
        self._list(owner, sender, "block")

    def unlist(self, owner: str, sender: str) -> None:
        """Neither the one nor the other."""
        self._list(owner, sender, "")

    def welcomed(self, owner: str) -> list[str]:
        return self._listed(owner, "welcome")

    def blocked(self, owner: str) -> list[str]:
        return self._listed(owner, "block")

    def _listed(self, owner: str, table: str) -> list[str]:
        with self._open() as now:
            query = f"SELECT sender FROM {table} WHERE owner = ? ORDER BY sender"  # noqa: S608 - one of two words of ours
            return [sender for (sender,) in now.execute(query, (owner,))]

    def _list(self, owner: str, sender: str, wanted: str) -> None:
        """A sender is on one list at most. The filter's file is written before the change holds, or neither is."""
        pair = (owner, sender.lower())
        with self._open() as now:
            gone = {}
            for table in ("welcome", "block"):
                query = f"DELETE FROM {table} WHERE owner = ? AND sender = ?"  # noqa: S608 - one of two words of ours
                gone[table] = now.execute(query, pair).rowcount
            if wanted:
                now.execute(f"INSERT INTO {wanted} VALUES (?, ?)", pair)  # noqa: S608 - one of two words of ours
            if gone["block"] or wanted == "block":
                rows = now.execute("SELECT owner, sender FROM block UNION SELECT '', sender FROM block").fetchall()
                lines = sorted(f"{name}|{blocked}\n" for name, blocked in rows)
                files.write(self.blocked_file, "".join(lines), mode=0o640)

    def last(self, name: str) -> str:
        """When something was last done that is done once a day."""
        with self._open() as now:
            row = now.execute("SELECT value FROM day WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set_last(self, name: str, value: str) -> None:
        with self._open() as now:
            now.execute("INSERT OR REPLACE INTO day VALUES (?, ?)", (name, value))
