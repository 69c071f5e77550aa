"""`postern users`: who has a mailbox on this box. The table is changed at once, without an apply."""

from __future__ import annotations

import argparse
import getpass
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from hardware.host import documents, files, run
from hardware.host.errors import Problem, Refused, refuse
from installer.apply.places import Places
from installer.apply.users import hidden
from installer.box import caller
from installer.box.change import in_force, open_box
from overlays.settings import Settings
from overlays.users import table
from overlays.users.settings import User, read_password
from overlays.users.table import Row

BUSY = "another change of the users is under way"
MAIL = Path("var/vmail")


def main(places: Places, arguments: argparse.Namespace) -> None:
    """The verbs of `postern users`. Raises `Refused`."""
    if arguments.verb == "publish":
        table.publish(places.root, table.read(places.root))
        return
    settings = in_force(open_box(places)).settings
    if not settings.keeps_mailboxes:
        raise refuse(f"{settings.mode} mode has no users", "the mailboxes are on the domains' own servers")
    if arguments.verb == "list":
        print(listed(table.read(places.root), as_json=arguments.json), end="")
    elif arguments.verb == "export":
        export(table.read(places.root), arguments.file)
    else:
        with files.locked(places.users_lock, busy=BUSY):
            print(_change(places, settings, arguments))


def listed(rows: Iterable[Row], *, as_json: bool = False) -> str:
    """Everyone, without a word of their passwords."""
    if as_json:
        people = [row.user.model_dump(mode="json") | {"has_password": bool(row.password_hash)} for row in rows]
        return json.dumps(people, indent=1) + "\n"
    return "".join(_line(row) for row in rows) or "There is no user yet.\n"


def export(rows: Iterable[Row], file: Path | None) -> None:
    """The table as CSV: with the hashes into a file that is the caller's alone, without them on the terminal."""
    if file is None:
        print(table.dump(rows, with_hashes=False), end="")
        return
    with caller.rights():
        try:
            files.write(file, table.dump(rows), mode=0o600)
        except OSError as error:
            raise refuse(f"cannot be written: {error.strerror}", where=str(file)) from error


def _change(places: Places, settings: Settings, arguments: argparse.Namespace) -> str:
    """Change the table as asked; says what was done."""
    rows = table.read(places.root)
    known = {row.user.address: row for row in rows}
    if arguments.verb == "import":
        more = _from_file(arguments.file)
        _require_room(settings, rows, more)
        table.write(places.root, table.joined(rows, more))
        new = sum(row.user.address not in known for row in more)
        return f"{new} added, {len(more) - new} changed."
    if arguments.verb == "add":
        user = _described(arguments)
        if user.address in known:
            raise refuse(f"{user.address} is there already", "`postern users import` changes users")
        _require_room(settings, rows, (Row(user),))
        table.write(places.root, (*rows, Row(user, hidden(_asked(user.address)))))
        return f"{user.address} has a mailbox."
    address = arguments.address.strip().lower()
    if address not in known:
        raise refuse(f"{address} is no user", documents.nearest(address, known))
    others = tuple(row for row in rows if row.user.address != address)
    if arguments.verb == "password":
        table.write(places.root, (*others, Row(known[address].user, hidden(_asked(address)))))
        _end_sessions(address)
        return f"{address} has a new password."
    table.write(places.root, others)
    _end_sessions(address)
    if arguments.wipe_mail:
        shutil.rmtree(places.root / MAIL / address.rpartition("@")[2] / address, ignore_errors=True)
        return f"{address} is gone, and the mail with it."
    return f"{address} is gone; the mail is kept for a user of that address."


def _end_sessions(address: str) -> None:
    """Whoever is logged in has the old password, or is no user any more. Nobody being there is no failure."""
    run.run(["doveadm", "kick", address], check=False, timeout=60)


def _from_file(path: Path) -> tuple[Row, ...]:
    with caller.rights():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise refuse(f"cannot be read: {reason}", where=str(path)) from error
    return table.parse(text, str(path), hidden)


def _described(arguments: argparse.Namespace) -> User:
    given = {"address": arguments.address, "name": arguments.name, "quota_mib": arguments.quota_mib}
    return documents.checked(given | {"aliases": arguments.alias}, "postern users", User)


def _asked(address: str) -> str:
    """The password: typed twice at a terminal, or one line of a pipe."""
    if sys.stdin.isatty():
        typed = getpass.getpass(f"Password of {address}: ")
        if getpass.getpass("Once more: ") != typed:
            raise refuse("these were two different passwords, and nothing was changed")
    else:
        typed = sys.stdin.readline().rstrip("\n")
    try:
        return read_password(typed)
    except ValueError as error:
        raise refuse(str(error), "nothing was changed") from error


def _require_room(settings: Settings, rows: tuple[Row, ...], more: tuple[Row, ...]) -> None:
    """Raise `Refused` when the new ones cannot all have their mailboxes."""
    reasons = table.objections(rows, more, [domain.name for domain in settings.domains])
    if reasons:
        raise Refused([Problem("", "", reason.message, reason.hint) for reason in reasons])


def _line(row: Row) -> str:
    user = row.user
    room = {None: "", 0: "no limit"}.get(user.quota_mib, f"{user.quota_mib} MiB")
    facts = [user.name, room, " ".join(user.aliases), "" if row.password_hash else "no password"]
    return f"{user.address:32} {', '.join(filter(None, facts))}".rstrip() + "\n"
