"""An image onto a disk and back: by block map, past the page cache, and nothing that starts before all is proven."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from hardware.host.errors import refuse
from hardware.host.log import Steps
from installer.flash import mark
from installer.flash.image import Image
from installer.flash.target import Target

STEPS = 4
_CHUNK = 4 << 20
_PIPE = 1 << 20
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h


@dataclass(frozen=True)
class Disk:
    """The target while it is open, and a buffer that direct access can use."""

    handle: int
    bytes: int
    buffer: mmap.mmap

    def write(self, at: int, first: int, end: int) -> None:
        """What the buffer holds from `first` to `end`, to the same place behind `at`."""
        view = memoryview(self.buffer)
        while first < end:
            first += os.pwrite(self.handle, view[first:end], at + first)

    def read(self, at: int, length: int) -> memoryview:
        """So many bytes of the disk, in the buffer."""
        view = memoryview(self.buffer)[:length]
        done = 0
        while done < length:
            count = os.preadv(self.handle, [view[done:]], at + done)
            if not count:
                raise refuse("ends before the image does", "take another disk")
            done += count
        return view

    def clear(self, first: int, end: int) -> bool:
        """Have the disk forget a range, so that it reads as zeros; false where that cannot be had for nothing."""
        ours = ctypes.CDLL(None, use_errno=True).fallocate
        ours.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        return int(ours(self.handle, _KEEP_SIZE | _PUNCH_HOLE, first, end - first)) == 0

    def flush(self) -> None:
        os.fsync(self.handle)
        with suppress(OSError):  # where there is no direct access: what is read back comes from the disk all the same
            os.posix_fadvise(self.handle, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def opened(target: Target, length: int) -> Iterator[Disk]:
    """The target, ours alone; a file is made, and has the image's length at least."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if target.device else os.O_CREAT)
    try:
        handle = os.open(target.path, flags | os.O_DIRECT, 0o644)
    except OSError:  # no direct access on this file system
        handle = os.open(target.path, flags, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = target.bytes if target.device else max(os.fstat(handle).st_size, length)
        if not target.device:
            os.ftruncate(handle, size)
        yield Disk(handle, size, mmap.mmap(-1, _CHUNK))
    except BlockingIOError as held:
        raise refuse("is being written by another run", "wait for it", where=str(target.path)) from held
    finally:
        os.close(handle)


def write(image: Image, target: Target, what: str, steps: Steps) -> str:
    """Write an image and read it back; the SHA-256 of what was read. `what` says in the mark what is being written.

    Raises `Refused` when what is read back is not what the manifest says: the disk then stays marked as not finished.
    """
    with _told(target), opened(target, image.length) as disk:
        with steps.step("mark the disk as not finished"):
            _mark(disk, image.length, what)
        with steps.step("write the image"), image.stream() as stream:
            head = _body(disk, image, stream, Progress(steps, image.length))
        with steps.step("read it back"):
            found = _digest(disk, head, image.length, Progress(steps, image.length))
            if found != image.manifest.disk_sha256:
                raise refuse(
                    f"what was read back is not what was written: {found[:16]}… instead of "
                    f"{image.manifest.disk_sha256[:16]}…",
                    "the disk does not start; replace it, or its cable",
                    where=str(target.path),
                )
        with steps.step("make it start"):
            disk.buffer[: len(head)] = head
            disk.write(0, 0, len(head))
            disk.flush()
            if bytes(disk.read(0, len(head))) != head:
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

    def __init__(self, steps: Steps, whole: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._whole, self._clock = steps, whole, clock
        self._began = self._said = clock()

    def at(self, done: int) -> None:
        now = self._clock()
        if now - self._said < 0.2 or not done:
            return
        self._said = now
        rate = done / (now - self._began)
        left = (self._whole - done) / rate
        self._steps.progress(f"{done >> 20} of {self._whole >> 20} MiB, {rate / 1e6:.0f} MB/s, {left:.0f} s left")


def _mark(disk: Disk, length: int, what: str) -> None:
    """From here on nothing starts from this disk: no boot sector, and no partition table at either end."""
    disk.buffer[: mark.BYTES] = mark.made(what)
    disk.write(0, 0, mark.BYTES)
    tail = disk.bytes - disk.bytes % mmap.PAGESIZE - mark.BYTES
    if tail > length:
        disk.buffer[: mark.BYTES] = bytes(mark.BYTES)
        disk.write(tail, 0, mark.BYTES)
    disk.flush()


def _body(disk: Disk, image: Image, stream: IO[bytes], progress: Progress) -> bytes:
    """All but the first MiB, which is returned. What the map leaves out is cleared, or written as the zeros it is."""
    with suppress(OSError):
        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE)
    cleared = disk.clear(mark.BYTES, image.length)
    head = b""
    for at in range(0, image.length, _CHUNK):
        length = min(_CHUNK, image.length - at)
        _fill(stream, memoryview(disk.buffer)[:length])
        if not at:
            head = disk.buffer[: mark.BYTES]
        spans = image.ranges if cleared else ((0, image.length),)
        for first, end in spans:
            start, stop = max(first, at, mark.BYTES), min(end, at + length)
            if start < stop:
                disk.write(at, start - at, stop - at)
        progress.at(at + length)
    disk.flush()
    return head


def _fill(stream: IO[bytes], view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]  # a pipe has it
        if not count:
            raise refuse("the image ends too early", "build or copy it again")
        done += count


def _digest(disk: Disk, head: bytes, length: int, progress: Progress) -> str:
    """The SHA-256 of what is on the disk, with the first MiB that is to come."""
    total = hashlib.sha256(head)
    for at in range(len(head), length, _CHUNK):
        total.update(disk.read(at, min(_CHUNK, length - at)))
        progress.at(at)
    return total.hexdigest()
