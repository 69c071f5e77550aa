"""The partitions of a disk image as data (GPT), every identifier fixed: the same on every image of every version."""

from __future__ import annotations

from dataclasses import dataclass

from images.recipe import Sizes

DISK = "6b7c1a54-4a8e-4f0b-9a55-706f73746572"
ESP = "6b7c1a54-4a8e-4f0b-9a55-706f73740002"
ROOT_A = "6b7c1a54-4a8e-4f0b-9a55-706f73740004"
ROOT_B = "6b7c1a54-4a8e-4f0b-9a55-706f73740006"

_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_EFI = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"

MIB = 1 << 20
# Room for the partition table at both ends.
_EDGE_MIB = 1


@dataclass(frozen=True)
class Partition:
    """A partition: number, name, type, identifier, and where it lies [MiB]."""

    number: int
    name: str
    type: str
    uuid: str
    start_mib: int
    size_mib: int

    @property
    def start(self) -> int:
        """Its first byte."""
        return self.start_mib * MIB

    @property
    def bytes(self) -> int:
        """Its length in bytes."""
        return self.size_mib * MIB


@dataclass(frozen=True)
class Layout:
    """All partitions that an image brings; the data partition is made on the box, from what is left of its disk."""

    partitions: tuple[Partition, ...]

    @property
    def bytes(self) -> int:
        """The length of the disk image."""
        last = self.partitions[-1]
        return (last.start_mib + last.size_mib + _EDGE_MIB) * MIB

    def __getitem__(self, name: str) -> Partition:
        return next(partition for partition in self.partitions if partition.name == name)

    def sfdisk(self) -> str:
        """The script that makes sfdisk write this table (start and size in sectors of 512 bytes)."""
        lines = ["label: gpt", f"label-id: {DISK}", "unit: sectors", "sector-size: 512", ""]
        for part in self.partitions:
            place = f"start={part.start // 512}, size={part.bytes // 512}"
            lines.append(f"{place}, type={part.type}, uuid={part.uuid}, name={part.name}")
        return "\n".join(lines) + "\n"


def layout(sizes: Sizes) -> Layout:
    """BIOS boot, ESP, and the two slots, each a boot and a root partition."""
    rows = [
        ("bios", _BIOS_BOOT, 1),
        ("esp", _EFI, sizes.esp_mib),
        ("boot-a", _LINUX, sizes.boot_mib),
        ("root-a", _LINUX, sizes.root_mib),
        ("boot-b", _LINUX, sizes.boot_mib),
        ("root-b", _LINUX, sizes.root_mib),
    ]
    made: list[Partition] = []
    start = _EDGE_MIB
    for number, (name, kind, size) in enumerate(rows, 1):
        made.append(Partition(number, name, kind, f"{ESP[:-4]}{number:04d}", start, size))
        start += size
    return Layout(tuple(made))
