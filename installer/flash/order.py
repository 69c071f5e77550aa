"""What every way to flash has in common: the list of disks for a person, and one of them written and signed for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hardware.host.disks import Device
from hardware.host.errors import Problem
from hardware.host.log import Steps
from hardware.profile import HardwareProfile
from installer.flash import model, receipt
from installer.flash.earlier import Earlier
from installer.flash.image import Image
from installer.flash.machine import Machine, Seen
from installer.flash.place import Place
from installer.flash.receipt import Facts, Receipt
from installer.flash.target import Target


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
    earlier: Earlier | None = None

    @property
    def refused(self) -> tuple[str, ...]:
        """Why it is not written, in sentences that leave its path out."""
        return tuple(str(reason).removeprefix(f"{self.path}: ") for reason in self.problems)


def shown(seen: Seen, profile: HardwareProfile, place: Place) -> list[Shown]:
    """The candidates in the order of `seen`, with every reason against each; the image is for `profile`."""
    box = model.like(seen.machine)
    rows = []
    for one in seen.candidates:
        device = one.target.device or Device(str(one.target.path), kind="file", bytes=one.target.bytes)
        problems = (*one.objections, *model.objections(one.target, profile, box))
        why = tuple(replace(problem, where=place.named(problem.where)) for problem in problems)
        named = place.named(device.path)
        facts = (named, device.model, device.serial, device.bytes, device.bus)
        rows.append(Shown(*facts, one.contents, why, one.earlier))
    return rows


def lines(row: Shown) -> Iterator[str]:
    """A disk of the list for a person."""
    named = " ".join(filter(None, (row.model, f"serial {row.serial}" if row.serial else "no serial number")))
    yield f"{row.path}: {named}, {row.bytes / 1e9:.1f} GB{f' on {row.bus}' if row.bus else ''}"
    yield f"  on it:   {row.contents or 'nothing that is known'}"
    for reason in row.refused:
        yield f"  refused: {reason}"


def warning(row: Shown, *, keep: bool) -> str:
    """What will be lost."""
    if keep and row.earlier:
        return f"The firmware on {row.path} is written anew. Its data partition stays: {row.earlier.data}."
    return f"Everything on {row.path} will be lost{f', {row.earlier.data} too' if row.earlier else ''}."


def flash(found: Image, chosen: Target, machine: Machine, place: Place, steps: Steps, *, keep: bool = False) -> Receipt:
    """Write the image to a disk that nobody objects to, read it back, and sign what was done. `keep` its data."""
    began = _now()
    what = f"Postern {found.manifest.version} for {found.manifest.profile}, begun {began}"
    place.write(found, chosen, what, steps, keep=keep)
    device = chosen.device
    facts = Facts(
        product=found.manifest.product,
        version=found.manifest.version,
        profile=found.manifest.profile,
        image_sha256=found.manifest.disk_sha256,
        disk=place.named(chosen.path),
        disk_model=device.model if device else "",
        disk_serial=device.serial if device else "",
        disk_bytes=chosen.bytes or found.length,
        board_serial=machine.dmi.get("board_serial", ""),
        macs=machine.macs,
        began=began,
        ended=_now(),
        result=receipt.KEPT if keep else receipt.WRITTEN,
    )
    return receipt.sign(facts, receipt.default_key())


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
