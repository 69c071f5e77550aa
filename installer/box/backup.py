"""`postern backup` and `postern restore`: all that makes this box this box, in one file that a passphrase opens.

It holds the settings in force with their secrets and users, and the keys that the box made: what nobody can make again.
It does not hold what people sent and keep, nor what the box can get or learn again.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from hardware.host import files
from hardware.host.documents import Frozen
from hardware.host.errors import refuse
from installer.apply import device, pipeline
from installer.apply.pipeline import Box
from installer.apply.places import Places
from installer.apply.store import Verdict
from installer.apply.volume import LABEL
from installer.box import caller, sealing
from installer.box.change import in_force, open_box, put_in_force, require_no_problems
from installer.box.settings import with_users
from installer.wizard import saving
from overlays.settings import dump_answers, dump_secrets, parse_answers, parse_secrets
from overlays.users import table

WORD = "restore"
SUFFIX = ".backup"
LEFT_OUT = """Not in it: mail, queue, quarantine and whom people welcome and block there, logs, virus definitions, \
the account at a certificate authority, what greylisting and reputation remember."""


class Backup(Frozen):
    """What lies in the file, as JSON. `answers` and `secrets` are the two files of an answer file with users."""

    format: Literal[1]
    name: str
    profile: str
    version: str
    made: str  # ISO 8601
    generation: int
    answers: str
    secrets: str = Field(repr=False)
    keys: dict[str, str] = Field(repr=False)  # by path below the folder of the box's own keys

    @property
    def summary(self) -> str:
        """For a person."""
        sets = sorted({path.rpartition("/")[0] for path in self.keys})
        users = len(parse_answers(self.answers, "backup").users)
        return (
            f"{self.name} ({self.profile}, firmware {self.version}) as it was on {self.made[:16].replace('T', ' ')}: "
            f"settings of generation {self.generation} with their secrets, {users} users, keys ({', '.join(sets)})."
        )


def main(places: Places, arguments: argparse.Namespace) -> None:
    """The two commands. Raises `Refused`."""
    box = open_box(places)
    if arguments.command == "backup":
        back_up(box, arguments.file)
    else:
        restore(box, arguments.file, arguments.confirm_within, check=arguments.check, ask=not arguments.yes)


def back_up(box: Box, file: Path | None) -> None:
    """Write it where the caller says, or on the volume that settings are saved on. Raises `Refused`."""
    made = gathered(box)
    data = sealing.sealed(made.model_dump_json().encode(), _passphrase(twice=True))
    if file is None:
        with saving.destination(box.places) as (folder, where):
            name = f"{made.name}-{made.made[:16].replace(':', '')}{SUFFIX}"
            files.write(folder / name, data, mode=0o600)
            print(f"{name} written to {where}.")
    else:
        with caller.rights():
            try:
                files.write(file, data, mode=0o600)
            except OSError as error:
                raise refuse(f"cannot be written: {error.strerror}", where=str(file)) from error
        print(f"{file} written.")
    print(f"In it: {made.summary}\n{LEFT_OUT}\nWithout the passphrase nobody can read it, you neither.")


def gathered(box: Box) -> Backup:
    """What makes the box this one, now. Raises `Refused` before set-up."""
    now = with_users(in_force(box), table.read(box.places.root))
    return Backup(
        format=1,
        name=now.settings.mailhost.fqdn,
        profile=box.profile.id,
        version=box.places.release.get("IMAGE_VERSION", "unknown"),
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
        generation=now.generation.number,
        answers=dump_answers(now.settings),
        secrets=dump_secrets(now.secrets),
        keys=device.kept(box.places),
    )


def restore(
    box: Box, file: Path | None = None, confirm_within: float = 0, *, check: bool = False, ask: bool = True
) -> None:
    """Apply what lies in a file, as an answer file is applied, then give the box its keys. Raises `Refused`."""
    data, source = _found(box.places, file)
    sealing.require_sealed(data, source)
    made = read(sealing.opened(data, _passphrase(twice=False), source), source)
    settings, secrets = parse_answers(made.answers, source), parse_secrets(made.secrets, source)
    require_no_problems(box, settings, secrets, source)
    print(f"{source}: {made.summary}")
    if check:
        print(f"{source}: no problems")
        return
    if ask:
        _confirm(box)
    put_in_force(box, settings, secrets, f"restored from {Path(source).name}", source, confirm_within)
    now = in_force(box)
    if now.generation.about.verdict is Verdict.TRIAL:  # without a terminal nobody was asked
        hint = "`postern confirm`, then once more; --confirm-within 0 does not wait"
        raise refuse("the settings are on trial, and the keys were not taken", hint)
    pipeline.put_back_keys(box, now.settings, now.secrets, made.keys)
    print("The box has the keys of the backup. Whoever logs in by SSH may be asked about the host's key once more.")


def read(text: bytes, source: str) -> Backup:
    """Raises `Refused`."""
    try:
        made = Backup.model_validate_json(text)
    except ValidationError as error:
        raise refuse(
            "holds what this version does not know", "restore it with the firmware it names", where=source
        ) from error
    if strange := [path for path in made.keys if not device.is_kept(path)]:
        raise refuse(f"holds {strange[0]!r}, which is no key of a box", where=source)
    return made


def _found(places: Places, file: Path | None) -> tuple[bytes, str]:
    """The bytes of the file that the caller named, or of the newest on the volume; and what to call it."""
    if file is not None:
        with caller.rights():
            try:
                return file.read_bytes(), str(file)
            except OSError as error:
                raise refuse(f"cannot be read: {error.strerror}", where=str(file)) from error
    with saving.destination(places) as (folder, where):
        newest = max(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime, default=None)
        if newest is None:
            raise refuse(f"no backup on {where}", f"name the file; a volume labelled {LABEL} is looked at first")
        return newest.read_bytes(), newest.name


def _passphrase(*, twice: bool) -> str:
    """Typed at a terminal, or one line of a pipe; for a new file twice, and long enough."""
    if sys.stdin.isatty():
        typed = getpass.getpass("Passphrase of the backup: ")
        if twice and getpass.getpass("Once more: ") != typed:
            raise refuse("these were two different passphrases, and nothing was written")
    else:
        typed = sys.stdin.readline().rstrip("\n")
    if twice and len(typed) < sealing.SHORTEST:
        hint = "who has the file can try as long as he likes: some words in a row are right"
        raise refuse(f"the passphrase is shorter than {sealing.SHORTEST} characters", hint)
    return typed


def _confirm(box: Box) -> None:
    if not sys.stdin.isatty():
        raise refuse("a restore has to be confirmed", "--yes does it without a terminal")
    if box.store.current():
        print("Settings and keys of this box make room for these. Its mail, users and quarantine stay.")
    if input(f"Type {WORD} to go on: ").strip() != WORD:
        raise refuse("not confirmed, and nothing was changed")
