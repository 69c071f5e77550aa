"""An nbdkit plugin: a disk whose write cache loses everything that was not flushed when it is killed.

Killing an emulator alone shows nothing: the host keeps what the guest wrote. Here a write stays in this process's
memory until the guest flushes; a kill forgets it, as a disk without power does. FUA writes go through. Not shown: a
disk that lies about flushes, or one that tears a sector.
"""

import os

import nbdkit  # type: ignore[import-not-found]  # only inside nbdkit

API_VERSION = 2
BLOCK = 4096
_path = ""
_cache: dict[int, bytearray] = {}


def config(key: str, value: str) -> None:
    """The one setting: disk=FILE, a raw image."""
    global _path
    if key != "disk":
        raise ValueError(f"there is no setting {key}")
    _path = value


def thread_model() -> object:
    """One request after the other: the cache needs no lock."""
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def open(readonly: bool) -> int:  # noqa: A001 - nbdkit's name
    """A connection: the image's descriptor."""
    return os.open(_path, os.O_RDONLY if readonly else os.O_RDWR)


def close(handle: int) -> None:
    """The connection is gone; unflushed writes stay unflushed."""
    os.close(handle)


def get_size(handle: int) -> int:
    """The disk's length in bytes."""
    return os.fstat(handle).st_size


def can_flush(handle: int) -> bool:
    """The guest's flushes reach us."""
    return True


def can_fua(handle: int) -> object:
    """A write with FUA is on the disk when it is answered."""
    return nbdkit.FUA_NATIVE


def pread(handle: int, buffer: bytearray, offset: int, flags: int) -> None:
    """Read what was written last, flushed or not."""
    view = memoryview(buffer)
    done = 0
    while done < len(view):
        number, start = divmod(offset + done, BLOCK)
        size = min(BLOCK - start, len(view) - done)
        view[done : done + size] = _block(handle, number)[start : start + size]
        done += size


def pwrite(handle: int, buffer: bytes, offset: int, flags: int) -> None:
    """Keep a write in memory, block by block."""
    view = memoryview(buffer)
    done = 0
    while done < len(view):
        number, start = divmod(offset + done, BLOCK)
        size = min(BLOCK - start, len(view) - done)
        block = _cache.setdefault(number, bytearray(_block(handle, number)))
        block[start : start + size] = view[done : done + size]
        done += size
    if flags & nbdkit.FLAG_FUA:
        flush(handle, 0)


def flush(handle: int, flags: int) -> None:
    """What was written so far is on the disk from here on."""
    for number, block in _cache.items():
        os.pwrite(handle, block, number * BLOCK)
    _cache.clear()


def _block(handle: int, number: int) -> bytes | bytearray:
    held = _cache.get(number)
    return held if held is not None else os.pread(handle, BLOCK, number * BLOCK).ljust(BLOCK, b"\0")
