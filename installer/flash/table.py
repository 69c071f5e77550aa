"""A partition table (GPT) as the bytes that lie on a disk, and the partitions that it tells of.

Standard library only: it is sent to other machines.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

SECTOR = 512
BYTES = 34 * SECTOR  # boot sector, header, 128 entries
CODE = 440  # so many of them are the boot sector's program; what follows describes the disk
_HEADER = struct.Struct("<8sIII4xQQQQ16sQIII")
_CRC, _PLACES, _ENTRIES = 16, 24, 72  # in the header: its own sum; its sector and its copy's; where the entries are
_ENTRY = 128
_VAR = UUID("4d21b016-b534-45c2-a9fb-5c16e091fd2d").bytes_le  # the type that systemd-repart calls "var"


@dataclass(frozen=True)
class Partition:
    """A partition: its name, its first byte and the one behind its last, and its entry as it stands in the table."""

    name: str
    first: int
    end: int
    entry: bytes

    def __str__(self) -> str:
        return f"{(self.end - self.first) >> 20} MiB at {self.first >> 20}"


@dataclass(frozen=True)
class Table:
    """The first 34 sectors of a disk."""

    start: bytes

    @property
    def disk(self) -> bytes:
        """What identifies the disk; the same on all that were written with an image of ours."""
        return self.start[SECTOR + 56 : SECTOR + 72]

    @property
    def partitions(self) -> tuple[Partition, ...]:
        entries = (self.start[at : at + _ENTRY] for at in range(2 * SECTOR, BYTES, _ENTRY))
        return tuple(_partition(one) for one in entries if any(one[:16]))

    @property
    def data(self) -> Partition | None:
        """The data partition, which a box makes at its first start."""
        return next((one for one in self.partitions if one.name == "data" and one.entry.startswith(_VAR)), None)

    def copy(self) -> tuple[int, bytes]:
        """The copy at the end of the disk: its first byte, and its 33 sectors (entries, and a header that says so)."""
        header = bytearray(self.start[SECTOR : 2 * SECTOR])
        size, ours, other = (*struct.unpack_from("<I", header, 12), *struct.unpack_from("<QQ", header, _PLACES))
        first = other - (BYTES // SECTOR - 2)
        struct.pack_into("<QQ", header, _PLACES, other, ours)
        struct.pack_into("<Q", header, _ENTRIES, first)
        struct.pack_into("<I", header, _CRC, _sum(header, size))
        return first * SECTOR, self.start[2 * SECTOR :] + header


def parse(start: bytes) -> Table | None:
    """The table at the start of a disk; None where there is none, or none that is whole."""
    if len(start) < BYTES:
        return None
    raw, header = bytes(start[:BYTES]), bytes(start[SECTOR : 2 * SECTOR])
    lead, _, size, found, *_, entries, count, length, total = _HEADER.unpack_from(header)
    whole = (
        lead == b"EFI PART"
        and _HEADER.size <= size <= SECTOR
        and _sum(header, size) == found
        and (entries, count, length) == (2, (BYTES - 2 * SECTOR) // _ENTRY, _ENTRY)
        and zlib.crc32(raw[2 * SECTOR :]) == total
    )
    return Table(raw) if whole else None


def _partition(entry: bytes) -> Partition:
    first, last = struct.unpack_from("<QQ", entry, 32)
    name = entry[56:].decode("utf-16-le", "replace").rstrip("\0")
    return Partition(name, first * SECTOR, (last + 1) * SECTOR, entry)


def _sum(header: bytes | bytearray, size: int) -> int:
    """A header's checksum, which counts itself as zeros."""
    return zlib.crc32(bytes(header[:_CRC]) + bytes(4) + bytes(header[_CRC + 4 : size]))
