"""An image onto a disk and back: by block map, past the page cache, and nothing that starts before all is proven.

Standard library only: it is sent to other machines.
"""

from __future__ import annotations

import hashlib
import mmap
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from hardware.host.errors import refuse
from installer.flash import mark
from installer.flash.ahead import CHUNK, ahead, memory
from installer.flash.disk import Disk, opened
from installer.flash.target import Target

STEPS = 4


@dataclass(frozen=True)
class Job:
    """What is written: `length` bytes with that SHA-256, zeros where no range is. None of `ranges` crosses the first
    MiB's end. `what` stands in the mark.
    """

    what: str
    length: int
    sha256: str
    ranges: tuple[tuple[int, int], ...]

    @property
    def gaps(self) -> Iterator[tuple[int, int]]:
        """What is between the ranges, behind the first MiB."""
        at = mark.BYTES
        for first, end in (*self.ranges, (self.length, self.length)):
            if first > at:
                yield at, first
            at = max(at, end)


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


def write(job: Job, target: Target, source: Source, steps: Teller) -> str:
    """Write an image and read it back; the SHA-256 of what was read.

    Raises `Refused` when what is read back is not what it should be: the disk then stays marked as not finished.
    """
    with _told(target), opened(target, job.length) as disk:
        with steps.step("mark the disk as not finished"):
            _mark(disk, job)
        with steps.step("write the image"), ahead(source(disk)) as blocks:
            head = _body(disk, job, blocks, Progress(steps, job.length - mark.BYTES))
        with steps.step("read it back"):
            found = _digest(disk, head, job.length, Progress(steps, job.length - mark.BYTES))
            if found != job.sha256:
                raise refuse(
                    f"what was read back is not what was written: {found[:16]}… instead of {job.sha256[:16]}…",
                    "the disk does not start; replace it, or its cable",
                    where=str(target.path),
                )
        with steps.step("make it start"):
            disk.write(0, head)
            disk.flush()
            if disk.read(0, memory()[: mark.BYTES]) != head:
                raise refuse("its first MiB is not what was written", "replace it", where=str(target.path))
    return found


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


def _mark(disk: Disk, job: Job) -> None:
    """From here on nothing starts from this disk: no boot sector, and no partition table at either end."""
    room = memory()[: mark.BYTES]
    room[:] = mark.made(job.what)
    disk.write(0, room)
    tail = disk.bytes - disk.bytes % mmap.PAGESIZE - mark.BYTES
    if tail > job.length:
        room[:] = bytes(mark.BYTES)
        disk.write(tail, room)
    disk.flush()


def _body(disk: Disk, job: Job, blocks: Iterator[Block], progress: Progress) -> memoryview:
    """All but the first MiB, which is returned. What the map leaves out is forgotten, or written as the zeros it is."""
    head, zeros = memory()[: mark.BYTES], memory()
    for first, end in job.gaps:
        if disk.forget(first, end):
            progress.spare(end - first)
            continue
        for at in range(first, end, CHUNK):
            disk.write(at, zeros[: min(CHUNK, end - at)])
            progress.add(min(CHUNK, end - at))
    for block in blocks:
        if block.data is None:
            progress.spare(block.end - block.at)
        elif block.end <= mark.BYTES:
            head[block.at : block.end] = block.data
        else:
            disk.write(block.at, block.data)
            progress.add(block.end - block.at)
    disk.flush()
    return head


def _digest(disk: Disk, head: memoryview, length: int, progress: Progress) -> str:
    """The SHA-256 of what is on the disk, with the first MiB that is to come."""
    total = hashlib.sha256(head)
    with ahead(disk.chunks(len(head), length)) as chunks:
        for chunk in chunks:
            total.update(chunk)
            progress.add(len(chunk))
    return total.hexdigest()
