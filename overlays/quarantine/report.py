"""What the quarantine does by the clock: what is too old goes each hour, the oldest when room is short, and once a day
people hear what is new."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy as email_policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

from flask import Flask, render_template

from overlays.quarantine import carry, keys, links, policy
from overlays.quarantine.carry import Letter
from overlays.quarantine.links import Act, Link
from overlays.quarantine.policy import SYSTEM, Policy
from overlays.quarantine.records import Records
from overlays.quarantine.store import Away, Kept, Mailbox

log = logging.getLogger("report")

_MOST_LISTED = 100
_DAY = 86400
STORE = Path("/var/vmail")
_LITTLE = 20  # of so many parts of the store one stays free


@dataclass(frozen=True)
class Row:
    """One message in a report, and the words that act on it."""

    one: Kept
    release: str
    delete: str


def by_the_clock(now: Policy, records: Records, moment: datetime) -> None:
    """Do what is due at that moment of the box's clock and was not done yet."""
    hour, day = moment.strftime("%Y-%m-%d %H"), moment.strftime("%Y-%m-%d")
    if records.last("tidy") != hour:
        tidy(now, records)
        records.set_last("tidy", hour)
    if not now.keeps_mailboxes:  # beside users' mail the quarantine is not what fills the disk
        make_room(now, records, lacking())
    if now.reports and records.last("report") != day and moment.strftime("%H:%M") >= now.report_time:
        send_all(now, records)
        records.set_last("report", day)


def tidy(now: Policy, records: Records) -> None:
    """Delete what is too old or too much, for everybody."""
    for owner in records.owners():
        gone, left = Mailbox(now, owner).tidy()
        if gone:
            log.info("tidied owner=<%s> messages=%d", owner, gone)
        if not left:
            records.forget_owner(owner)


def lacking() -> int:
    """How many bytes the store has too little; none, if not above 0. Whoever fills a disk that all share is another."""
    room = shutil.disk_usage(STORE)
    shared = room.total == shutil.disk_usage(STORE.parent).total
    return 0 if shared else room.total // _LITTLE - room.free


def make_room(now: Policy, records: Records, missing: int) -> None:
    """Delete the oldest of all that is kept, for whomever, while so many bytes are missing. Without room new spam would
    wait in the queue, and in the end go back to whoever it says that it is from."""
    if missing <= 0:
        return
    every = [(one.received, owner, one) for owner in records.owners() for one in Mailbox(now, owner).all()]
    gone: defaultdict[str, list[str]] = defaultdict(list)
    for _, owner, one in sorted(every, key=lambda row: row[:2]):
        gone[owner].append(one.name)
        missing -= one.size
        if missing <= 0:
            break
    for owner, names in gone.items():
        log.info("made room owner=<%s> messages=%d", owner, Mailbox(now, owner).delete(names))


def send_all(now: Policy, records: Records) -> dict[str, int]:
    """Send everybody what no report has told of yet; how many messages each was told of.

    Raises `Away` when the store does not answer. Whose report is not taken has it with the next.
    """
    sent = {}
    for owner in records.owners():
        if owner == SYSTEM or not now.protects(owner):
            continue
        if number := _send(now, records, owner):
            sent[owner] = number
    return sent


def _send(now: Policy, records: Records, owner: str) -> int:
    told = records.reported(owner)
    new = newer(Mailbox(now, owner).all(), told)
    if not new:
        return 0
    raw = made(now, owner, new, keys.link_key())
    refused = carry.onward(Letter("", raw), [owner])
    if refused:
        log.warning("report owner=<%s> not taken: %s", owner, refused[owner])
        return 0
    records.set_reported(owner, max(new, key=lambda one: one.uid).name)
    log.info("report owner=<%s> messages=%d", owner, len(new))
    return len(new)


def newer(kept: Sequence[Kept], told: str) -> list[Kept]:
    """The messages after the one that was told of last. All of them, when the mailbox was made anew since."""
    guid, _, uid = told.partition(".")
    return [one for one in kept if not one.name.startswith(f"{guid}.") or one.uid > int(uid)] if told else list(kept)


def made(now: Policy, owner: str, new: Sequence[Kept], key: bytes) -> bytes:
    """The report as a message: text and HTML, from nobody who could answer."""
    expires = int(time.time()) + now.retention_days * _DAY
    rows = [
        Row(one, *(links.seal(key, Link(owner, one.name, act, expires)) for act in (Act.RELEASE, Act.DELETE)))
        for one in new[:_MOST_LISTED]
    ]
    context = {"policy": now, "owner": owner, "rows": rows, "more": len(new) - len(rows)}
    report = EmailMessage(email_policy.SMTP)
    report["From"] = Address("Quarantine", "postmaster", now.fqdn)
    report["To"] = owner
    report["Subject"] = f"Quarantine: {len(new)} new {'message' if len(new) == 1 else 'messages'}"
    report["Date"] = format_datetime(datetime.now().astimezone())
    report["Message-ID"] = make_msgid(domain=now.fqdn)
    report["Auto-Submitted"] = "auto-generated"
    app = Flask(__name__)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    with app.app_context():
        report.set_content(render_template("report.txt", **context))
        report.add_alternative(render_template("report.html", **context), subtype="html")
    return report.as_bytes()


def main() -> None:
    """What postern-quarantine-daily.service runs, every few minutes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        by_the_clock(policy.load(Path(policy.POLICY)), Records(), datetime.now().astimezone())
    except Away as failure:
        log.warning("the store does not answer, so this waits: %s", failure)
    except sqlite3.OperationalError as failure:  # busy, or the disk is full
        log.warning("nothing can be remembered, so this waits: %s", failure)
