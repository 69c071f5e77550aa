"""An earlier installation on the disk: whose it is, and whether its data partition can be kept.

On it are settings, mail, logs and the box's keys. Nothing is mounted to look, and so nothing is changed.
Standard library only: it is sent to other machines.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from hardware.host.errors import refuse
from hardware.host.run import spawn
from installer.flash import mark, table
from installer.flash.table import Partition, Table

_PIECE, _LONGEST = 1 << 20, 4096
_WORD = "[A-Za-z0-9.+~_-]+"  # all that it is to tell; a disk's texts may be anybody's


@dataclass(frozen=True)
class Earlier:
    """An installation with a data partition. Texts that cannot be read are empty; `problem` says why its data cannot be
    kept, if so.
    """

    version: str
    profile: str
    host: str
    problem: str

    @property
    def data(self) -> str:
        """What is on its data partition, for a person."""
        return f"settings and mail of {self.host or 'a box that has no name'}"

    @property
    def told(self) -> str:
        """What it is, for a person."""
        return f"Postern {self.version} for {self.profile} with {self.data}" if self.version else self.data


@dataclass(frozen=True)
class Kept:
    """A data partition that stays, from its first byte to the one behind its last, and the table that tells of it."""

    table: Table
    first: int
    end: int


def look(path: Path, length: int, image: str) -> Earlier | None:
    """The earlier installation on a disk of so many bytes, if it has data. `image` is as in `kept`."""
    if not (path.is_file() or path.is_block_device()):
        return None
    with suppress(OSError), path.open("rb") as file:
        found, wanted = _found(file.read(mark.BYTES)), table.parse(bytes.fromhex(image))
        if found and found.data and wanted and found.disk == wanted.disk:
            settings = _text(path, found.data, "/lib/postern/current/settings.yaml")
            host = ".".join(_words(settings, "^  host_name: '?", "^  local_domain: '?"))
            second = _words(_text(path, found.data, "/lib/postern/grubenv.copy"), "^ORDER=") == ["B"]
            # The slots of what was not finished are of neither version.
            version, profile = ("", "") if mark.read(path) else _version(file, found, "ba" if second else "ab")
            return Earlier(version, profile, host, _objection(found, wanted, length))
    return None


def kept(start: bytes, length: int, image: str, where: Path) -> Kept:
    """What stays of a disk of so many bytes. Raises `Refused`.

    `start` is its first MiB, `image` the table of the image that is to be written, in hexadecimal.
    """
    found, wanted = _found(start), table.parse(bytes.fromhex(image))
    if not found or not wanted or found.disk != wanted.disk or not found.data:
        raise refuse("holds no earlier installation whose data could be kept", where=str(where))
    if problem := _objection(found, wanted, length):
        raise refuse(f"its data cannot be kept: {problem}", where=str(where))
    return Kept(found, found.data.first, found.data.end)


def _found(start: bytes) -> Table | None:
    """A disk's table; where a run was interrupted that kept its data, the one that it saved."""
    return table.parse(start) or table.parse(start[mark.SAVED :])


def _objection(found: Table, image: Table, length: int) -> str:
    """Why what is in the image does not go beside the data partition that is there; empty when it does."""
    data, there = cast("Partition", found.data), {one.name: one for one in found.partitions}
    for one in image.partitions:
        if one.name not in there:
            return f"it has no partition {one.name}, and the image has one"
        if there[one.name] != one:
            return f"its partition {one.name} has {there[one.name]}, and the image's has {one}"
    for one in found.partitions:
        if one != data and one not in image.partitions:
            return f"it has a partition {one.name!r}, which the image does not know"
    if not max((one.end for one in image.partitions), default=0) <= data.first < data.end <= length:
        return f"its data partition has {data}, which lies outside of what is left of the disk"
    return ""


def _version(file: IO[bytes], found: Table, order: str) -> list[str]:
    """Version and profile of the first slot that has them."""
    boots = [one for slot in order for one in found.partitions if one.name == f"boot-{slot}"]
    every = (_words(_slot(file, boot), '^set version="', "postern.profile=") for boot in boots)
    return next(filter(None, every), ["", ""])


def _slot(file: IO[bytes], boot: Partition) -> str:
    """What the boot loader reads of a slot: its squashfs holds that as it is, for GRUB's sake."""
    lead = b'set version="'
    file.seek(boot.first)
    head = file.read(48)
    used = int.from_bytes(head[40:], "little") if head.startswith(b"hsqs") else 0
    for at in range(boot.first, min(boot.first + used, boot.end), _PIECE):
        file.seek(at)
        piece = file.read(_PIECE + _LONGEST)  # so that no piece's end cuts it
        found = piece.find(lead)
        if 0 <= found < _PIECE:
            return piece[found : found + _LONGEST].decode(errors="replace")
    return ""


def _text(disk: Path, data: Partition, path: str) -> str:
    """A file on the data partition, or what debugfs says in its place."""
    argv = ["debugfs", "-R", f"cat {path}", f"{disk}?offset={data.first}"]
    with suppress(OSError), spawn(argv) as debugfs:  # a machine without it tells no name
        return cast("IO[bytes]", debugfs.stdout).read(_PIECE).decode(errors="replace")
    return ""


def _words(text: str, *leads: str) -> list[str]:
    """The word behind each lead; none at all unless there is one behind each."""
    hits = [re.search(f"{lead}({_WORD})", text, re.MULTILINE) for lead in leads]
    return [hit[1] for hit in hits if hit] if all(hits) else []
