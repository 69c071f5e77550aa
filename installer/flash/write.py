"""An image onto a disk and back: by block map, past the page cache, and nothing that starts before all is proven.

Standard library only: it is sent to other machines.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from hardware.host.errors import refuse
from installer.flash import earlier, mark
from installer.flash.ahead import CHUNK, ahead, memory
from installer.flash.disk import Disk, opened
from installer.flash.earlier import Kept
from installer.flash.table import BYTES as TABLE_BYTES
from installer.flash.table import CODE, SECTOR
from installer.flash.target import Target

STEPS = 4


@dataclass(frozen=True)
class Range:
    """A part of the image from `first` to `end`, with its SHA-256; without one, it is zeros."""

    first: int
    end: int
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.first >> 20} to {-(-self.end >> 20)} MiB"


@dataclass(frozen=True)
class Job:
    """What is written: `length` bytes, zeros where no range is. `what` stands in the mark. With `keep`, which is the
    image's partition table in hexadecimal, the data partition that the disk has is left alone.
    """

    what: str
    length: int
    ranges: tuple[Range, ...]
    keep: str = ""

    def parts(self) -> Iterator[Range]:
        """The ranges and what is between them: the whole image."""
        at = 0
        for part in self.ranges:
            if part.first > at:
                yield Range(at, part.first)
            yield part
            at = part.end
        if self.length > at:
            yield Range(at, self.length)

    def gaps(self, until: int) -> Iterator[tuple[int, int]]:
        """What is between the ranges, from behind the first MiB to `until`."""
        for part in self.parts():
            first, end = max(part.first, mark.BYTES), min(part.end, until)
            if first < end and not part.sha256:
                yield first, end


@dataclass(frozen=True)
class Block:
    """A piece of the image from `at` to `end`; without data, the disk has it already."""

    at: int
    end: int
    data: memoryview | None


Source = Callable[[Disk], Generator[Block, None, None]]
"""Makes the blocks of an image, in their order. A block's data stays as it is until the next but one is asked for."""


class Teller(Protocol):
    """Who is told how far it is (`hardware.host.log.Steps` on this machine)."""

    def step(self, name: str) -> AbstractContextManager[None]: ...

    def progress(self, text: str) -> None: ...


def write(job: Job, target: Target, source: Source, steps: Teller) -> None:
    """Write an image and read it back.

    Raises `Refused` when what is read back is not what it should be: the disk then stays marked as not finished.
    """
    with _told(target), opened(target, job.length) as disk:
        kept = _kept(disk, job, target)
        until = min(job.length, kept.first) if kept else job.length
        with steps.step("mark the disk as not finished"):
            _mark(disk, job, kept)
        with steps.step("write the image"), ahead(source(disk)) as blocks:
            head, rest = _body(disk, job, until, blocks, Progress(steps, until - mark.BYTES))
        with steps.step("read it back"):
            if wrong := _wrong(_whole(job, disk, head, rest, until), Progress(steps, job.length)):
                raise refuse(
                    f"what was read back is not what was written, from {wrong}",
                    "the disk does not start; replace it, or its cable",
                    where=str(target.path),
                )
        with steps.step("make it start"):
            if not _start(disk, head, kept):
                raise refuse("its first MiB is not what was written", "replace it", where=str(target.path))


@contextmanager
def _told(target: Target) -> Iterator[None]:
    """What the kernel says of a disk that does not work is the disk's fault, not ours."""
    try:
        yield
    except OSError as error:
        hint = "the disk does not start; replace it, or its cable"
        raise refuse(f"cannot be written or read: {error.strerror}", hint, where=str(target.path)) from error


class Progress:
    """Says how far it is: amount, rate, time left."""

    def __init__(self, steps: Teller, whole: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._whole, self._clock = steps, whole, clock
        self._began = self._said = clock()
        self._done = 0

    def add(self, count: int) -> None:
        """So many bytes were written or read."""
        self._done += count
        now = self._clock()
        if now - self._said < 0.2:
            return
        self._said = now
        rate = self._done / (now - self._began)
        left = (self._whole - self._done) / rate
        self._steps.progress(f"{self._done >> 20} of {self._whole >> 20} MiB, {rate / 1e6:.0f} MB/s, {left:.0f} s left")

    def spare(self, count: int) -> None:
        """So many bytes need not be written."""
        self._whole -= count


def _kept(disk: Disk, job: Job, target: Target) -> Kept | None:
    """What is kept of the disk, if anything is to be. Raises `Refused` when it cannot be."""
    if not job.keep:
        return None
    return earlier.kept(bytes(disk.read(0, memory()[: mark.BYTES])), disk.bytes, job.keep, target.path)


def _mark(disk: Disk, job: Job, kept: Kept | None) -> None:
    """From here on nothing starts from this disk: no boot sector, and no partition table at either end."""
    room = memory()[: mark.BYTES]
    room[:] = mark.made(job.what, kept.table.start if kept else b"")
    if kept:  # first, so that whenever the power goes one of the two is whole
        disk.write(mark.SAVED, room[mark.SAVED :])
        disk.flush()
    disk.write(0, room)
    first, end = _tail(disk, kept)
    if kept or first > job.length:
        room[:] = bytes(mark.BYTES)
        disk.write(first, room[: end - first])
    disk.flush()


def _tail(disk: Disk, kept: Kept | None) -> tuple[int, int]:
    """Where the table's copy may be: the last MiB, or what the data partition leaves of it."""
    end = disk.bytes - disk.bytes % SECTOR
    return max(end - mark.BYTES, kept.end if kept else 0), end


def _body(
    disk: Disk, job: Job, until: int, blocks: Iterator[Block], progress: Progress
) -> tuple[memoryview, memoryview]:
    """All from the first MiB to `until`. What the map leaves out is forgotten, or written as the zeros it is.

    What is not written is returned: the image's first MiB, and what it has behind `until`.
    """
    head, rest, zeros = memory()[: mark.BYTES], memoryview(bytearray(job.length - until)), memory()
    for first, end in job.gaps(until):
        if disk.forget(first, end):
            progress.spare(end - first)
            continue
        for at in range(first, end, CHUNK):
            disk.write(at, zeros[: min(CHUNK, end - at)])
            progress.add(min(CHUNK, end - at))
    for block in blocks:
        ours = max(block.at, min(block.end, until))  # up to here it is written
        if block.end > ours:
            data = (
                disk.read(ours, memory()[: block.end - ours]) if block.data is None else block.data[ours - block.at :]
            )
            rest[ours - until : block.end - until] = data
        if block.data is None:
            progress.spare(ours - block.at)
        elif block.end <= mark.BYTES:
            head[block.at : block.end] = block.data
        elif ours > block.at:
            disk.write(block.at, block.data[: ours - block.at])
            progress.add(ours - block.at)
    disk.flush()
    return head, rest


def _whole(
    job: Job, disk: Disk, head: memoryview, rest: memoryview, until: int
) -> Generator[tuple[Range, memoryview], None, None]:
    """Each part of the image in pieces: the first MiB that is to come, the disk, and the `rest` that is not written."""
    for part in job.parts():
        yield part, head[part.first : part.end]
        for chunk in disk.chunks(max(part.first, len(head)), min(part.end, until)):
            yield part, chunk
        yield part, rest[max(part.first - until, 0) : max(part.end - until, 0)]


def _wrong(whole: Generator[tuple[Range, memoryview], None, None], progress: Progress) -> Range | None:
    """The first part that has not its SHA-256, or is not zeros: a comparison takes a tenth of what a digest does."""
    with ahead(whole) as pieces:
        for part, each in groupby(pieces, _part):
            total = hashlib.sha256()
            for _, piece in each:
                if part.sha256:
                    total.update(piece)
                elif bytearray(len(piece)) != piece:  # memoryviews are compared byte by byte, and these are not
                    return part
                progress.add(len(piece))
            if part.sha256 and total.hexdigest() != part.sha256:
                return part
    return None


def _part(piece: tuple[Range, memoryview]) -> Range:
    return piece[0]


def _start(disk: Disk, head: memoryview, kept: Kept | None) -> bool:
    """The first MiB; false when it does not arrive. Where data is kept, the disk's own table comes back."""
    if kept:
        head[CODE:TABLE_BYTES] = kept.table.start[CODE:TABLE_BYTES]
        (first, end), (at, copy) = _tail(disk, kept), kept.table.copy()
        if first <= at and at + len(copy) <= end:  # else the disk was made larger, and it is where it was
            room = memory()[: end - first]
            room[at - first : at - first + len(copy)] = copy
            disk.write(first, room)
        disk.write(0, head[: mark.SAVED])
        disk.flush()  # what was saved is needed until the table is there
    disk.write(0, head)
    disk.flush()
    return disk.read(0, memory()[: mark.BYTES]) == head
