"""The image that is flashed: its manifest, its block map, and its bytes as a stream."""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

from hardware.host import files
from hardware.host.errors import refuse
from hardware.host.run import spawn
from images import manifest
from images.manifest import Manifest
from installer.flash import mark, table
from installer.flash.ahead import CHUNK, memory
from installer.flash.write import Block, Job

RAW, MAP = ".raw.zst", ".raw.bmap"
_PIPE = 1 << 20


@dataclass(frozen=True)
class Image:
    """An image in its folder. `ranges` are the bytes that hold data, first and end; all others are zeros. Its partition
    table is in hexadecimal.
    """

    folder: Path
    manifest: Manifest
    ranges: tuple[tuple[int, int], ...]
    table: str = ""

    @property
    def length(self) -> int:
        """Of the whole disk image, in bytes."""
        return self.manifest.disk_bytes

    def job(self, what: str, keep: bool = False) -> Job:
        """What is to be written; `what` says it in the mark. `keep` the data partition that the disk has."""
        return Job(what, self.length, self.manifest.disk_sha256, self.ranges, self.table if keep else "")

    def blocks(self) -> Generator[Block, None, None]:
        """The pieces that hold data, from first to last. A piece stays as it is until the next but one is asked for."""
        packed = self.folder / self.manifest.artefact(RAW)
        with spawn(["zstd", "--quiet", "--decompress", "--stdout", packed]) as zstd:
            stream = cast("IO[bytes]", zstd.stdout)
            with suppress(OSError):
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE)
            room, other = memory(), memory()
            for at in range(0, self.length, CHUNK):
                length = min(CHUNK, self.length - at)
                _fill(stream, room[:length])
                clamped = ((max(first, at), min(end, at + length)) for first, end in self.ranges)
                if spans := [(first, end) for first, end in clamped if first < end]:
                    for first, end in spans:
                        yield Block(first, end, room[first - at : end - at])
                    room, other = other, room  # the last piece is still in use


def load(folder: Path) -> Image:
    """The image in a folder. Raises `Refused` when there is none, or when its files are not what the manifest says."""
    found = manifest.load(folder)
    for ending in (RAW, MAP):
        path = folder / found.artefact(ending)
        wanted = next(one.sha256 for one in found.artefacts if one.name == path.name)
        if not path.is_file() or files.digest(path) != wanted:
            raise refuse("is missing or not what the manifest says", "build or copy the image again", where=str(path))
    image = Image(folder, found, _ranges((folder / found.artefact(MAP)).read_text()))
    return replace(image, table=_start(image, table.BYTES).hex())


def _start(image: Image, length: int) -> bytes:
    """Its first so many bytes."""
    start = bytearray(length)
    with closing(image.blocks()) as blocks:
        for block in takewhile(lambda one: one.at < length, blocks):
            end = min(block.end, length)
            start[block.at : end] = cast("memoryview", block.data)[: end - block.at]
    return bytes(start)


def _ranges(block_map: str) -> tuple[tuple[int, int], ...]:
    """From a block map in the format of bmaptool 2.0, whose digest was compared."""
    tree = ElementTree.fromstring(block_map)  # noqa: S314 - the builder's own file
    size = int(tree.findtext("BlockSize") or 0)
    spans = [(row.text or "").strip().partition("-")[::2] for row in tree.iter("Range")]
    ranges = [(int(first) * size, (int(last or first) + 1) * size) for first, last in spans]
    return tuple(part for span in ranges for part in _parted(*span))


def _parted(first: int, end: int) -> Iterator[tuple[int, int]]:
    """A range in two where it crosses the end of the first MiB, which is written last."""
    if first < mark.BYTES < end:
        yield first, mark.BYTES
        first = mark.BYTES
    yield first, end


def _fill(stream: IO[bytes], view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]  # a pipe has it
        if not count:
            raise refuse("the image ends too early", "build or copy it again")
        done += count
