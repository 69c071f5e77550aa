"""Which slot the boot loader takes: ORDER, and for each slot whether it is good (OK) and was tried since (TRY).

GRUB sets `X_TRY=1` when it starts slot X, and starts a slot only when it is OK and not yet tried; we clear TRY once the
box is in service. A slot that never gets there is passed over at the next start. When every slot is used up, GRUB lets
the counters start over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from hardware.host import files, grubenv
from hardware.host.errors import refuse
from hardware.host.run import run


class Slot(Enum):
    """One of the two places for a root file system."""

    A = "A"
    B = "B"

    @property
    def other(self) -> Slot:
        return Slot.B if self is Slot.A else Slot.A


@dataclass(frozen=True)
class Flags:
    """What the boot loader knows of one slot."""

    good: bool = True
    tried: bool = False


@dataclass(frozen=True)
class SlotState:
    """The boot loader's choice, as a value; variables that are not about slots stay as they are."""

    order: tuple[Slot, Slot] = (Slot.A, Slot.B)
    a: Flags = Flags()
    b: Flags = Flags(good=False)

    @classmethod
    def parse(cls, variables: Mapping[str, str]) -> SlotState:
        """From an environment block; what is missing or unreadable is at its default."""
        first = Slot.B if variables.get("ORDER", "A B").split()[:1] == ["B"] else Slot.A

        def flags(slot: Slot, default: Flags) -> Flags:
            good, tried = variables.get(f"{slot.value}_OK"), variables.get(f"{slot.value}_TRY")
            return Flags(
                default.good if good is None else good == "1", default.tried if tried is None else tried == "1"
            )

        return cls((first, first.other), flags(Slot.A, cls.a), flags(Slot.B, cls.b))

    def variables(self) -> dict[str, str]:
        """As the environment block has them."""
        return {
            "ORDER": " ".join(slot.value for slot in self.order),
            "A_OK": str(int(self.a.good)),
            "A_TRY": str(int(self.a.tried)),
            "B_OK": str(int(self.b.good)),
            "B_TRY": str(int(self.b.tried)),
        }

    def flags(self, slot: Slot) -> Flags:
        return self.a if slot is Slot.A else self.b

    def with_flags(self, slot: Slot, flags: Flags) -> SlotState:
        return replace(self, a=flags) if slot is Slot.A else replace(self, b=flags)

    def marked_good(self, slot: Slot) -> SlotState:
        """The slot is good, not tried, and first: the one that works is the one to start."""
        return replace(self.with_flags(slot, Flags()), order=(slot, slot.other))


def booted(root: Path) -> Slot | None:
    """The slot that this box runs from; None in a container, which has none."""
    try:
        words = (root / "proc/cmdline").read_text().split()
    except OSError:
        return None
    return next((Slot(word[-1]) for word in words if word in ("postern.slot=A", "postern.slot=B")), None)


def boot_partition(root: Path, device: int) -> Path:
    """The EFI partition on the disk that holds the file system with number `device` (`st_dev`).

    Two disks flashed with one image carry the same labels and UUIDs; only the disk that we run from is ours to write.
    """
    system = root / "sys/dev/block" / f"{os.major(device)}:{os.minor(device)}"
    disk = system.resolve().parent
    for event in sorted(disk.glob("*/uevent")):
        facts = dict(line.partition("=")[::2] for line in event.read_text().splitlines())
        if facts.get("PARTNAME") == "esp":
            return root / "dev" / facts["DEVNAME"]
    raise refuse("has no partition named esp", "the slot state cannot be kept", where=str(disk))


@contextmanager
def environment_block(root: Path, device: int | None = None) -> Iterator[Path]:
    """The path of the block, while the EFI partition is mounted: no longer than needed, to spare it a check."""
    folder = root / "run/postern/efi"
    folder.mkdir(parents=True, exist_ok=True)
    number = (root / "var").stat().st_dev if device is None else device
    with files.locked(root / "run/postern/efi.lock"):
        source = boot_partition(root, number)
        run(["mount", "-t", "vfat", "-o", "rw,nosuid,nodev,noexec,umask=0077,quiet", source, folder], timeout=60)
        try:
            yield folder / "grub/grubenv"
        finally:
            run(["umount", folder], timeout=60)


def load(block: Path, copy: Path) -> dict[str, str]:
    """The variables; from the copy when the block is damaged, at their defaults when both are."""
    for read, path in ((grubenv.read, block), (grubenv.read_copy, copy)):
        try:
            return read(path)
        except grubenv.Damaged:
            continue
    return {}


def update(block: Path, copy: Path, changes: Mapping[str, str]) -> dict[str, str]:
    """Set variables in the block and in its copy; mends whichever of them was damaged.

    The block comes first: a copy from before it is a state that the box has been in, which is what a repair wants.
    """
    variables = load(block, copy) | dict(changes)
    try:
        unchanged = grubenv.read(block) == variables
    except grubenv.Damaged:
        unchanged = False
    if not unchanged:
        grubenv.write(block, variables)
    grubenv.keep_copy(copy, variables)
    return variables


def mark_good(slot: Slot, block: Path, copy: Path) -> SlotState:
    """The slot works: it stays the one that is started."""
    state = SlotState.parse(load(block, copy)).marked_good(slot)
    update(block, copy, state.variables())
    return state
