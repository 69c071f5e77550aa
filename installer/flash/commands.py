"""`build.py flash` and `build.py receipt`: the disks and why not, a typed word, write, read back, receipt."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from hardware import profile as profiles
from hardware.host.errors import Refused, refuse
from hardware.host.log import Steps
from installer.flash import image, order, receipt, write
from installer.flash.order import Shown
from installer.flash.place import Here, Place
from installer.flash.target import Target


def flash(arguments: Namespace) -> int:
    """Write an image to a disk or a file; without one, list the disks."""
    found = image.load(arguments.image)
    profile = profiles.load(found.manifest.profile)
    with _place(arguments) as place:
        seen = place.look(arguments.target, found)
        rows = order.shown(seen, profile, place)
        if arguments.target is None:
            _print(rows, arguments.json)
            return 0
        chosen = seen.candidates[0].target
        if rows[0].problems:
            raise Refused(rows[0].problems)
        if not arguments.json:
            _print(rows, False)
        keep = _keeps(rows[0], arguments)
        _confirm(chosen, rows[0], place, arguments)
        try:
            signed = order.flash(found, chosen, seen.machine, place, Steps(write.STEPS), keep=keep)
        except KeyboardInterrupt:
            print(f"\n{place.named(chosen.path)} is marked as not finished, and does not start", file=sys.stderr)
            raise
    named = re.sub(r"[^A-Za-z0-9._-]", "_", f"{chosen.serial}-{signed.facts.ended.replace(':', '')}")
    path = arguments.receipt or Path(f"flash-{named}.json")
    receipt.save(signed, path)
    if arguments.json:
        print(json.dumps(signed.model_dump(mode="json"), indent=1))
    else:
        done = f"{place.named(chosen.path)} has Postern {found.manifest.version} for {profile.id}"
        print(f"{done}{', and its data as before' if keep else ''}; the receipt is {path}")
    return 0


def check_receipt(arguments: Namespace) -> int:
    """Say what a receipt says, if it was signed by this machine (or by --key) and nobody changed it."""
    key = arguments.key or receipt.public_key(receipt.default_key())
    facts = receipt.verified(arguments.file, key)
    print(json.dumps(facts.model_dump(mode="json"), indent=1))
    return 0


COMMANDS: dict[str, Callable[[Namespace], int]] = {"flash": flash, "receipt": check_receipt}


@contextmanager
def _place(arguments: Namespace) -> Iterator[Place]:
    """Where the disk is."""
    if arguments.ssh is None:
        if arguments.fingerprint or arguments.identity:
            raise refuse("--fingerprint and --identity are for --ssh", "name the machine: --ssh USER@HOST")
        yield Here()
        return
    from installer.remote import link, place  # a fifth of a second, which nobody else need wait for

    with place.reached(link.address(arguments.ssh), arguments.fingerprint, arguments.identity) as remote:
        yield remote


def _keeps(row: Shown, arguments: Namespace) -> bool:
    """Whether the disk's data partition stays. Raises `Refused` when it cannot, or when nobody said that it may go."""
    found = row.earlier
    if arguments.keep_data:
        if not found:
            raise refuse("holds no earlier installation's data", "leave out --keep-data", where=row.path)
        if found.problem:
            hint = "save what is on it, then --overwrite-data"
            raise refuse(f"its data cannot be kept: {found.problem}", hint, where=row.path)
    elif found and arguments.yes and not arguments.overwrite_data:
        hint = "--keep-data keeps them, --overwrite-data agrees to losing them"
        raise refuse(f"holds {found.data}", hint, where=row.path)
    return bool(arguments.keep_data)


def _confirm(chosen: Target, row: Shown, place: Place, arguments: Namespace) -> None:
    """The one way in: what is at the end of the serial number, typed, or the whole of it with --yes."""
    where = place.named(chosen.path)
    if arguments.yes:
        if arguments.serial != chosen.serial:
            named = f"--serial says {arguments.serial}" if arguments.serial else "--serial is missing"
            raise refuse(f"has the serial number {chosen.serial}, and {named}", where=where)
        return
    if not sys.stdin.isatty():
        raise refuse("nobody is here to agree to overwriting it", "--yes --serial SERIAL does", where=where)
    print(order.warning(row, keep=arguments.keep_data))
    if input(f"Type the last characters of its serial number ({chosen.serial}) to go on: ").strip() != chosen.word:
        raise refuse("not confirmed, and nothing was written", f"{chosen.word} was asked for")


def _print(rows: list[Shown], as_json: bool) -> None:
    if as_json:
        told = [{**asdict(row), "refused": [str(one) for one in row.problems]} for row in rows]
        print(json.dumps([{name: row[name] for name in row if name != "problems"} for row in told], indent=1))
        return
    for row in rows:
        for line in order.lines(row):
            print(line)
