"""`build.py flash` and `build.py receipt`: the disks and why not, a typed word, write, read back, receipt."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hardware import profile as profiles
from hardware.host.disks import Device
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.log import Steps
from installer.flash import image, model, receipt, write
from installer.flash.image import Image
from installer.flash.machine import Candidate, Machine
from installer.flash.place import Here, Place
from installer.flash.receipt import Facts
from installer.flash.target import Target


def flash(arguments: Namespace) -> int:
    """Write an image to a disk or a file; without one, list the disks."""
    found = image.load(arguments.image)
    profile = profiles.load(found.manifest.profile)
    with _place(arguments) as place:
        seen = place.look(arguments.target, found)
        box = model.like(seen.machine)
        rows = [_shown(one, list(model.objections(one.target, profile, box)), place) for one in seen.candidates]
        if arguments.target is None:
            _print(rows, arguments.json)
            return 0
        chosen = seen.candidates[0].target
        if rows[0].problems:
            raise Refused(rows[0].problems)
        if not arguments.json:
            _print(rows, False)
        _confirm(chosen, place, arguments)
        began = _now()
        what = f"Postern {found.manifest.version} for {profile.id}, begun {began}"
        try:
            digest = place.write(found, chosen, what, Steps(write.STEPS))
        except KeyboardInterrupt:
            print(f"\n{place.named(chosen.path)} is marked as not finished, and does not start", file=sys.stderr)
            raise
    signed = receipt.sign(_facts(found, chosen, place, seen.machine, digest, began), receipt.default_key())
    named = re.sub(r"[^A-Za-z0-9._-]", "_", f"{chosen.serial}-{signed.facts.ended.replace(':', '')}")
    path = arguments.receipt or Path(f"flash-{named}.json")
    receipt.save(signed, path)
    if arguments.json:
        print(json.dumps(signed.model_dump(mode="json"), indent=1))
    else:
        done = f"{place.named(chosen.path)} has Postern {found.manifest.version} for {profile.id}"
        print(f"{done}; the receipt is {path}")
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


def _confirm(chosen: Target, place: Place, arguments: Namespace) -> None:
    """The one way in: what is at the end of the serial number, typed, or the whole of it with --yes."""
    where = place.named(chosen.path)
    if arguments.yes:
        if arguments.serial != chosen.serial:
            named = f"--serial says {arguments.serial}" if arguments.serial else "--serial is missing"
            raise refuse(f"has the serial number {chosen.serial}, and {named}", where=where)
        return
    if not sys.stdin.isatty():
        raise refuse("nobody is here to agree to overwriting it", "--yes --serial SERIAL does", where=where)
    print(f"Everything on {where} will be lost.")
    if input(f"Type the last characters of its serial number ({chosen.serial}) to go on: ").strip() != chosen.word:
        raise refuse("not confirmed, and nothing was written", f"{chosen.word} was asked for")


def _facts(found: Image, chosen: Target, place: Place, machine: Machine, digest: str, began: str) -> Facts:
    device = chosen.device
    return Facts(
        product=found.manifest.product,
        version=found.manifest.version,
        profile=found.manifest.profile,
        image_sha256=found.manifest.disk_sha256,
        read_back_sha256=digest,
        disk=place.named(chosen.path),
        disk_model=device.model if device else "",
        disk_serial=device.serial if device else "",
        disk_bytes=chosen.bytes or found.length,
        board_serial=machine.dmi.get("board_serial", ""),
        macs=machine.macs,
        began=began,
        ended=_now(),
    )


@dataclass(frozen=True)
class Shown:
    """One line of the list of disks."""

    path: str
    model: str
    serial: str
    bytes: int
    bus: str
    contents: str
    problems: tuple[Problem, ...]


def _shown(one: Candidate, more: list[Problem], place: Place) -> Shown:
    device = one.target.device or Device(str(one.target.path), kind="file", bytes=one.target.bytes)
    why = tuple(replace(problem, where=place.named(problem.where)) for problem in (*one.objections, *more))
    return Shown(place.named(device.path), device.model, device.serial, device.bytes, device.bus, one.contents, why)


def _print(rows: list[Shown], as_json: bool) -> None:
    if as_json:
        told = [{**asdict(row), "refused": [str(one) for one in row.problems]} for row in rows]
        print(json.dumps([{name: row[name] for name in row if name != "problems"} for row in told], indent=1))
        return
    for row in rows:
        named = " ".join(filter(None, (row.model, f"serial {row.serial}" if row.serial else "no serial number")))
        print(f"{row.path}: {named}, {row.bytes / 1e9:.1f} GB{f' on {row.bus}' if row.bus else ''}")
        print(f"  on it:   {row.contents or 'nothing that is known'}")
        for reason in row.problems:
            print(f"  refused: {str(reason).removeprefix(f'{row.path}: ')}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
