"""The table of users: who has a mailbox on this box. Data that outlives every generation of settings, as the mail does.

A generation holds decisions, and going back to an earlier one must not bring back a password that was changed or a
person who has left. So the users of an answer file go into this table when it is applied, and `postern users` changes
the table without an apply. Dovecot and Postfix read what `publish` makes of it; both notice a change by themselves.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hardware.host import documents, files
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.run import run
from overlays.users.settings import User, UserSecrets, problems, read_hash, read_password
from overlays.values import Reason, unicode_form

TABLE = Path("var/lib/postern/users.csv")
PUBLISHED = Path("run/postern-users")
POSTFIX = Path("etc/postfix/main.cf")
COLUMNS = ("address", "name", "quota_mib", "aliases", "password_hash")
_PLAIN = "password"  # a column that an import may have in place of the hashes
_MAPS = ("recipients", "aliases", "senders")
_DOVECOT_RUNS = Path("run/dovecot/master.pid")
_DOVECOT_LOOKS = 1.1  # seconds: it asks once in each whole second whether a table is newer

MakeHash = Callable[[str], str]


@dataclass(frozen=True)
class Row:
    """One user with the hash of the password; without one nobody can log in."""

    user: User
    password_hash: str = ""


def hash_password(plain: str) -> str:
    """The argon2id hash of a password, by Dovecot's own hand; it goes there by stdin."""
    said = run(["doveadm", "pw", "-s", "ARGON2ID"], stdin=f"{plain}\n{plain}\n", timeout=60).stdout
    return read_hash(said)


def read(root: Path) -> tuple[Row, ...]:
    """The users of the box below `root`. Raises `Refused` when the table is damaged."""
    path = root / TABLE
    return parse(path.read_text(encoding="utf-8"), str(path)) if path.exists() else ()


def write(root: Path, rows: Iterable[Row]) -> None:
    """Make these the users, at once and for the next start."""
    kept = sorted(rows, key=lambda row: row.user.address)
    files.write(root / TABLE, dump(kept), mode=0o600)
    if (root / POSTFIX).exists():  # before set-up nobody reads them, and Postfix's program that writes them cannot
        publish(root, kept)


def joined(rows: Iterable[Row], more: Iterable[Row]) -> tuple[Row, ...]:
    """The rows with more of them: who is there already is replaced, and without a new password keeps the old one."""
    found = {row.user.address: row for row in rows}
    for row in more:
        before = found.get(row.user.address, row)
        found[row.user.address] = replace(row, password_hash=row.password_hash or before.password_hash)
    return tuple(found.values())


def objections(rows: Iterable[Row], more: Iterable[Row], domains: Collection[str]) -> list[Reason]:
    """Why more rows cannot join those that are there. Who is there already may be of a domain that is not any more."""
    new = tuple(row.user for row in more)
    everyone = tuple(row.user for row in joined(rows, (Row(user) for user in new)))
    known = {address.rpartition("@")[2] for user in everyone for address in user.addresses}
    found = {reason.message: reason for reason in (*problems(new, domains), *problems(everyone, known))}
    return list(found.values())


def of_answers(users: Iterable[User], secrets: dict[str, UserSecrets], make_hash: MakeHash) -> tuple[Row, ...]:
    """The rows of an answer file's users."""
    return tuple(Row(user, _hash_of(secrets.get(user.address), make_hash)) for user in users)


def _hash_of(secret: UserSecrets | None, make_hash: MakeHash) -> str:
    if secret is None:
        return ""
    if secret.password is not None:
        return make_hash(secret.password.get_secret_value())
    return read_hash(secret.password_hash.get_secret_value()) if secret.password_hash else ""


def dump(rows: Iterable[Row], *, with_hashes: bool = True) -> str:
    """The rows as CSV with a head line; aliases are separated by spaces."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = COLUMNS if with_hashes else COLUMNS[:-1]
    writer.writerow(columns)
    for row in rows:
        quota = "" if row.user.quota_mib is None else str(row.user.quota_mib)
        cells = (row.user.address, row.user.name, quota, " ".join(row.user.aliases), row.password_hash)
        writer.writerow(cells[: len(columns)])
    return text.getvalue()


def parse(text: str, source: str, make_hash: MakeHash = hash_password) -> tuple[Row, ...]:
    """The rows of a CSV file with a head line. Raises `Refused` with what is wrong in which line."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    unknown = [name for name in reader.fieldnames or () if name not in (*COLUMNS, _PLAIN)]
    if "address" not in (reader.fieldnames or ()) or unknown:
        hint = f"the first line names the columns: {', '.join(COLUMNS)}"
        what = f"has the column {unknown[0]!r}" if unknown else "has no column `address`"
        raise refuse(what, hint, where=source)
    rows: list[Row] = []
    wrong: list[Problem] = []
    for cells in reader:
        try:
            rows.append(_row({name: (cells.get(name) or "").strip() for name in (*COLUMNS, _PLAIN)}, source, make_hash))
        except Refused as refused:
            wrong += [replace(one, path=f"line {reader.line_num}: {one.path}") for one in refused.problems]
        except ValueError as error:
            wrong.append(Problem(source, f"line {reader.line_num}", str(error)))
    if wrong:
        raise Refused(wrong)
    return tuple(rows)


def _row(cells: dict[str, str], source: str, make_hash: MakeHash) -> Row:
    document = {"address": cells["address"], "name": cells["name"], "aliases": cells["aliases"].split()}
    quota = cells["quota_mib"]
    number = {"quota_mib": int(quota) if quota.isdecimal() else quota} if quota else {}
    user = documents.checked(document | number, source, User)
    if cells[_PLAIN]:
        return Row(user, make_hash(read_password(cells[_PLAIN])))
    return Row(user, read_hash(cells["password_hash"]) if cells["password_hash"] else "")


def publish(root: Path, rows: Iterable[Row]) -> None:
    """What Dovecot and Postfix read, made anew from the rows. Postfix takes mail for a user when Dovecot knows him."""
    folder = root / PUBLISHED
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    everyone = list(rows)
    dovecot = (0, _group_of_dovecot(root)) if os.geteuid() == 0 else None
    for name, text in (("passwords", _passwords(everyone)), ("mailboxes", _mailboxes(everyone))):
        _write_newer(folder / name, "".join(text), dovecot)
    if (root / _DOVECOT_RUNS).exists():
        time.sleep(_DOVECOT_LOOKS)
    for name, lines in zip(_MAPS, (_recipients, _aliases, _senders), strict=True):
        files.write(folder / name, "".join(f"{key} {value}\n" for key, value in lines(everyone)))
        run(["postmap", f"lmdb:{folder / name}"], timeout=300)


def _write_newer(path: Path, text: str, owner: tuple[int, int] | None) -> None:
    """Dovecot compares size and whole seconds: a password that is changed twice in one would stay the first one."""
    before = int(path.stat().st_mtime) if path.exists() else 0
    files.write(path, text, mode=0o640, owner=owner)
    newer = max(before + 1, int(path.stat().st_mtime))
    os.utime(path, (newer, newer))


def _passwords(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        if row.password_hash:
            yield f"{row.user.address}:{{ARGON2ID}}{row.password_hash}\n"


def _mailboxes(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        quota = row.user.quota_mib
        room = "" if quota is None else f"userdb_quota/mailbox/storage_size={f'{quota}M' if quota else 'unlimited'}"
        yield f"{row.user.address}:::::::{room}\n"


def _recipients(rows: list[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        yield row.user.address, "mailbox"


def _aliases(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Every address of every form, and whose it is. Users lead to themselves: no other table diverts their mail."""
    for address, owners in _owners(rows).items():
        yield address, ", ".join(owners)


def _senders(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Who may send as whom."""
    for address, owners in _owners(rows).items():
        yield address, " ".join(owners)


def _owners(rows: list[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        for address in row.user.addresses:
            local, _, domain = address.rpartition("@")
            for form in dict.fromkeys((address, f"{local}@{unicode_form(domain)}")):
                found.setdefault(form, []).append(row.user.address)
    return found


def _group_of_dovecot(root: Path) -> int:
    """The number of the group that alone may read the hashes; on a root that has none, our own."""
    lines = (root / "etc/group").read_text().splitlines() if (root / "etc/group").exists() else []
    numbers = [int(line.split(":")[2]) for line in lines if line.startswith("dovecot:")]
    return numbers[0] if numbers else 0
