"""Sends the box's records to a log server: reads the journal along, makes records of it, and hands them to rsyslog, who
takes one when the server has the one before. The journal keeps them until then: what is sent is known by its place."""

from __future__ import annotations

import fcntl
import signal
import socket
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from hardware.host import files, notify, started
from hardware.host.documents import Frozen
from hardware.host.run import spawn
from overlays.logs import journal
from overlays.logs.records import Record, Records
from overlays.logs.settings import Level, LogType
from overlays.values import Line

RSYSLOG = "/run/rsyslog/in"
PLACE = Path("/var/lib/postern-logs/place")  # in the journal [µs since 1970]
_OFTEN = 5.0  # seconds between two notes of the place
_MAIL, _DAEMON = 2, 3  # syslog's facilities


class Configuration(Frozen):
    """The rendered file."""

    format: Literal[1]
    host: Line
    types: tuple[LogType, ...]
    level: Level


class Sender:
    """Hands records over, each until it is taken. `place` is how far all is sent, as far as we know."""

    def __init__(self, configuration: Configuration, place: int, to: str = RSYSLOG) -> None:
        self._configuration = configuration
        self._to = to
        self._line: socket.socket | None = None
        self._begun = self.place = place
        self._arrived = self._handed = 0  # the entry that we are at, and the one of the last record
        self._records = Records(configuration.types, self._tell)

    def take(self, entry: journal.Entry) -> None:
        """One more entry. Those up to the place where we began only say what went before."""
        self.look()
        self._arrived = entry.arrived
        self._records.take(entry)
        if not self._line:
            self.place = max(self.place, entry.arrived)

    def look(self) -> None:
        """When no record waits between us and rsyslog, all are sent but the last, with which it may be busy.

        Should it end now, that one is sent again, and may come twice.
        """
        if self._line and not any(fcntl.ioctl(self._line, termios.TIOCOUTQ, bytes(4))):
            self.place = max(self.place, self._handed - 1)

    def _tell(self, record: Record) -> None:
        if self._arrived <= self._begun or record.level.number > self._configuration.level.number:
            return
        text = line(record, self._configuration.host).encode()
        while not (there := self._line or self._connected()):
            time.sleep(1)  # rsyslog is not there; the journal keeps what comes meanwhile
        self._line = there
        try:
            there.send(text)
        except OSError:
            sys.exit("rsyslog has ended; what it had not sent is read again")
        self._handed = self._arrived

    def _connected(self) -> socket.socket | None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            made.connect(self._to)
        except OSError:
            made.close()
            return None
        return made


def line(record: Record, host: str) -> str:
    """The record by RFC 5424."""
    facility = _DAEMON if record.type is LogType.EVENT else _MAIL
    stamp = record.time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"<{facility * 8 + record.level.number}>1 {stamp} {host} postern - {record.type} - {record.pairs}"


def serve(configuration: Configuration, place_file: Path = PLACE) -> None:
    """Send until the process is asked to end, or the journal ends."""
    place = time.time_ns() // 1000
    with suppress(OSError, ValueError):  # none yet: what came before is not sent
        place = int(place_file.read_text())
    sender = Sender(configuration, place)
    since = f"--since=@{place // 1_000_000 - journal.BEFORE}"
    noted = time.monotonic()
    with spawn(journal.command("--follow", "--no-tail", since)) as reader:
        notify.tell("READY=1")
        try:  # also when systemd ends us
            for entry in journal.entries(reader.stdout or ()):
                sender.take(entry)
                if time.monotonic() - noted > _OFTEN:
                    files.write(place_file, str(sender.place))
                    noted = time.monotonic()
        finally:
            sender.look()
            files.write(place_file, str(sender.place))
    sys.exit("the journal has come to an end")


def main() -> None:
    """What postern-logs.service runs."""
    if configuration := started.configuration("postern-logs", __doc__, Configuration):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        serve(configuration)
