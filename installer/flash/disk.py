"""The disk while it is written: ours alone, past the page cache.

Standard library only: it is sent to other machines.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle

from hardware.host.errors import refuse
from installer.flash.ahead import CHUNK, memory
from installer.flash.target import Target

_UDEV_S = 30.0
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h


@dataclass(frozen=True)
class Disk:
    """The target while it is open. Places and lengths are multiples of a sector, memory lies at the start of a page."""

    handle: int
    bytes: int

    def write(self, at: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self.handle, data[done:], at + done)

    def read(self, at: int, into: memoryview) -> memoryview:
        """What the disk holds there, as much as `into` has room for."""
        done = 0
        while done < len(into):
            count = os.preadv(self.handle, [into[done:]], at + done)
            if not count:
                raise refuse("ends before the image does", "take another disk")
            done += count
        return into

    def chunks(self, first: int, end: int) -> Generator[memoryview, None, None]:
        """What the disk holds from `first` to `end`. A chunk is overwritten by the next but one."""
        for at, room in zip(range(first, end, CHUNK), cycle((memory(), memory()))):
            yield self.read(at, room[: min(CHUNK, end - at)])

    def forget(self, first: int, end: int) -> bool:
        """Have a range read as zeros; false where that cannot be had for nothing."""
        ours = ctypes.CDLL(None, use_errno=True).fallocate
        ours.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        return int(ours(self.handle, _KEEP_SIZE | _PUNCH_HOLE, first, end - first)) == 0

    def flush(self) -> None:
        os.fsync(self.handle)
        with suppress(OSError):  # where there is no direct access: what is read back comes from the disk all the same
            os.posix_fadvise(self.handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _lock(handle: int, patience: float) -> None:
    """Take the file's lock, if it is free within so many seconds. udev has it while it reads a disk that was closed a
    moment ago, and by having it ourselves we keep udev from the disk.
    """
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


@contextmanager
def opened(target: Target, length: int) -> Iterator[Disk]:
    """The target, ours alone; a file is made, and has the image's length at least."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if target.device else os.O_CREAT)
    try:
        handle = os.open(target.path, flags | os.O_DIRECT, 0o644)
    except OSError:  # no direct access on this file system
        handle = os.open(target.path, flags, 0o644)
    try:
        _lock(handle, _UDEV_S if target.device else 0.0)
        size = target.bytes if target.device else max(os.fstat(handle).st_size, length)
        if not target.device:
            os.ftruncate(handle, size)
        yield Disk(handle, size)
    except BlockingIOError as held:
        raise refuse("is being written by another run", "wait for it", where=str(target.path)) from held
    finally:
        os.close(handle)
