"""`postern log`: the journal, cut to what was asked for; or the records of a type, made from it while one looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from hardware.host import run
from hardware.host.errors import refuse
from installer.apply.places import Places
from overlays.logs import journal
from overlays.logs.records import Record, Records
from overlays.logs.settings import LogType

# Postfix names its lines by process (postfix/smtpd), so its unit is what selects them.
SYSTEM = ("postern*", "systemd-networkd", "nftables", "ssh", "chrony")
PARTS = {
    "all": [],
    "mail": [
        "--unit=postfix.service",
        "--unit=dovecot.service",
        "--unit=rspamd.service",
        "--unit=clamav-daemon.service",
    ],
    "system": [*(f"--unit={unit}.service" for unit in SYSTEM), "--unit=init.scope"],
}
_RECENT = "1 day ago"


def command(places: Places, part: str, follow: bool, since: str | None, lines: int) -> list[str]:
    """The journalctl that shows it. No pager: one that runs as root could start a shell."""
    argv = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={lines}", *PARTS[part]]
    argv += ["--follow"] if follow else []
    argv += [f"--since={since}"] if since else []
    return argv + ([f"--root={places.root}"] if str(places.root) != "/" else [])


def follow(places: Places, part: str, follow: bool, since: str | None, lines: int) -> None:
    """Become journalctl."""
    run.replace(command(places, part, follow, since, lines))


def records(kind: LogType, follow: bool, since: str | None, lines: int, *, as_json: bool) -> None:
    """Print the records of one type; with `follow` as they come. Raises `Refused`."""
    begin = moment(since or ("now" if follow else _RECENT))
    found: list[Record] = []

    def tell(record: Record) -> None:
        if record.time < begin:
            return
        if follow:
            print(_line(record, as_json=as_json), flush=True)
        else:
            found.append(record)

    made = Records((kind,), tell)
    for entry in entries(begin, events=kind is LogType.EVENT, follow=follow):
        made.take(entry)
    for record in latest(found)[-lines:]:
        print(_line(record, as_json=as_json))


def entries(begin: datetime, *, events: bool, follow: bool = False) -> Iterator[journal.Entry]:
    """The journal's entries from somewhat earlier on."""
    words = [f"--since=@{int(begin.timestamp()) - journal.BEFORE}", *(["--follow", "--no-tail"] if follow else [])]
    with run.spawn(journal.command(*words, events=events)) as reader:
        yield from journal.entries(reader.stdout or ())


def latest(found: list[Record]) -> list[Record]:
    """In their order, and of those about one message and recipient the last alone."""
    last = {record.key or (index,): record for index, record in enumerate(found)}
    return sorted(last.values(), key=lambda record: record.time)


def moment(words: str) -> datetime:
    """A time as systemd understands it. Raises `Refused`."""
    said = run.run(["systemd-analyze", "timestamp", words], check=False, timeout=20).stdout
    match = re.search(r"^ *UNIX seconds: @([0-9.]+)$", said, re.MULTILINE)
    if match is None:
        raise refuse(f"{words!r} is no time", "such as today, '1 hour ago', '2026-01-31 12:00'")
    return datetime.fromtimestamp(float(match[1]), UTC)


def _line(record: Record, *, as_json: bool) -> str:
    if as_json:
        return record.json
    facts = record.facts
    match record.type:
        case LogType.HISTORY:
            way = f"{facts['from'] or '<>'} -> {facts['to'] or '-'}"
            rest = [way, f'"{facts["subject"]}"', facts["client"], facts["user"], facts["detail"]]
            words = [f"{facts['disposition']:11} {facts['classifier']:13}", *rest]
        case LogType.EVENT:
            words = [f"{record.level:12} {facts['subtype']:10}", f"{facts['by']}: {facts['text']}"]
        case LogType.ANTISPAM:
            head = f"{facts['classifier']:11} {facts['score']:>7} {facts['action']:11}"
            words = [head, f"{facts['from'] or '<>'} -> {facts['to']}", facts["symbols"]]
        case LogType.ANTIVIRUS:
            head = f"{facts['classifier']:13} {facts['action']:11}"
            words = [head, f"{facts['from'] or '<>'} -> {facts['to']}", facts["client"], facts["detail"]]
    return f"{record.time.astimezone():%Y-%m-%d %H:%M:%S}  {'  '.join(filter(None, words))}"
