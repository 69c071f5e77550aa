"""`build.py flash` and `build.py receipt`: the disks and why not, a typed word, write, read back, receipt."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from hardware import detect
from hardware import profile as profiles
from hardware.host import disks
from hardware.host.errors import Refused, refuse
from hardware.host.log import Steps
from hardware.host.run import run
from installer.flash import image, receipt, target, write
from installer.flash.image import Image
from installer.flash.receipt import Facts
from installer.flash.target import Here, Shown, Target


def flash(arguments: Namespace) -> int:
    """Write an image to a disk or a file; without one, list the disks."""
    found = image.load(arguments.image)
    here = look()
    profile = profiles.load(found.manifest.profile)
    if arguments.target is None:
        every = [Target(Path(one.path), one, one.bytes) for one in here.devices if one.bytes]
        _print(target.shown(every, found.manifest, found.folder, profile, here), arguments.json)
        return 0
    chosen = target.find(arguments.target, here)
    (row,) = target.shown([chosen], found.manifest, found.folder, profile, here)
    if problems := target.objections(chosen, found.manifest, found.folder, profile, here):
        raise Refused(problems)
    if not arguments.json:
        _print([row], False)
    _confirm(chosen, arguments)
    began = _now()
    what = f"Postern {found.manifest.version} for {profile.id}, begun {began}"
    try:
        digest = write.write(found, chosen, what, Steps(write.STEPS))
    except KeyboardInterrupt:
        print(f"\n{chosen.path} is marked as not finished, and does not start", file=sys.stderr)
        raise
    signed = receipt.sign(_facts(found, chosen, digest, began), receipt.default_key())
    named = re.sub(r"[^A-Za-z0-9._-]", "_", f"{chosen.serial}-{signed.facts.ended.replace(':', '')}")
    path = arguments.receipt or Path(f"flash-{named}.json")
    receipt.save(signed, path)
    if arguments.json:
        print(json.dumps(signed.model_dump(mode="json"), indent=1))
    else:
        print(f"{chosen.path} has Postern {found.manifest.version} for {profile.id}; the receipt is {path}")
    return 0


def check_receipt(arguments: Namespace) -> int:
    """Say what a receipt says, if it was signed by this machine (or by --key) and nobody changed it."""
    key = arguments.key or receipt.public_key(receipt.default_key())
    facts = receipt.verified(arguments.file, key)
    print(json.dumps(facts.model_dump(mode="json"), indent=1))
    return 0


COMMANDS: dict[str, Callable[[Namespace], int]] = {"flash": flash, "receipt": check_receipt}


def look() -> Here:
    """What stands in this machine."""
    loops = run(["losetup", "--list", "--noheadings", "--raw", "--output", "BACK-FILE"], timeout=60, check=False).stdout
    # A PC, or a virtual machine, may be anybody's desk; a board or a product is what it is.
    models = [one for one in profiles.load_all() if any(match.names_a_model for match in one.match)]
    like = detect.identify(detect.read_facts(Path("/")), models)
    return Here(disks.devices(), like, tuple(Path(line) for line in loops.splitlines()))


def _confirm(chosen: Target, arguments: Namespace) -> None:
    """The one way in: what is at the end of the serial number, typed, or the whole of it with --yes."""
    if arguments.yes:
        if arguments.serial != chosen.serial:
            named = f"--serial says {arguments.serial}" if arguments.serial else "--serial is missing"
            raise refuse(f"has the serial number {chosen.serial}, and {named}", where=str(chosen.path))
        return
    if not sys.stdin.isatty():
        raise refuse("nobody is here to agree to overwriting it", "--yes --serial SERIAL does", where=str(chosen.path))
    print(f"Everything on {chosen.path} will be lost.")
    if input(f"Type the last characters of its serial number ({chosen.serial}) to go on: ").strip() != chosen.word:
        raise refuse("not confirmed, and nothing was written", f"{chosen.word} was asked for")


def _facts(found: Image, chosen: Target, digest: str, began: str) -> Facts:
    device = chosen.device
    return Facts(
        product=found.manifest.product,
        version=found.manifest.version,
        profile=found.manifest.profile,
        image_sha256=found.manifest.disk_sha256,
        read_back_sha256=digest,
        disk=str(chosen.path),
        disk_model=device.model if device else "",
        disk_serial=device.serial if device else "",
        disk_bytes=chosen.bytes or found.length,
        board_serial=_text(Path("/sys/class/dmi/id/board_serial")),
        macs=tuple(sorted(_text(port.with_name("address")) for port in Path("/sys/class/net").glob("*/device"))),
        began=began,
        ended=_now(),
    )


def _print(rows: list[Shown], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    for row in rows:
        named = " ".join(filter(None, (row.model, f"serial {row.serial}" if row.serial else "no serial number")))
        print(f"{row.path}: {named}, {row.bytes / 1e9:.1f} GB{f' on {row.bus}' if row.bus else ''}")
        print(f"  on it:   {row.contents or 'nothing that is known'}")
        for reason in row.refused:
            print(f"  refused: {reason.removeprefix(f'{row.path}: ')}")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
