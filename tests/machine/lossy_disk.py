"""An nbdkit plugin: a disk with a write cache that is lost when the power goes.

Killing an emulator alone shows nothing: the host keeps what the guest wrote. Here a write stays in this process's
memory until the guest flushes, and killing the process forgets it. A real cache also writes early, in an order of its
own: of the writes that nobody flushed, the part `early` (0 to 1) is on the disk at once, block by block as `seed`
has it. FUA writes go through.

Not shown: a disk that lies about flushes, and one that tears a block of 4,096 bytes.
"""

import os
import random
from collections.abc import Iterator

import nbdkit  # type: ignore[import-not-found]  # only inside nbdkit

API_VERSION = 2
BLOCK = 4096
ZEROS = bytes(BLOCK)  # this very object marks blocks that zero() made, which need no room
MOST = 1024  # blocks in one system call
_settings = {"disk": "", "early": "0", "seed": "0"}
_held: dict[int, bytes] = {}  # what only the cache has, by the number of the block
_chance = random.Random()  # noqa: S311 - chance that can be repeated is what is wanted


def config(key: str, value: str) -> None:
    """disk=FILE, a raw image; early=0.5 and seed=NUMBER."""
    if key not in _settings:
        raise ValueError(f"there is no setting {key}")
    _settings[key] = value


def config_complete() -> None:
    """All settings are known."""
    _chance.seed(_settings["seed"])


def thread_model() -> object:
    """One request after the other: the cache needs no lock."""
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def open(readonly: bool) -> int:  # noqa: A001 - nbdkit's name
    """A connection: the image's descriptor."""
    return os.open(_settings["disk"], os.O_RDONLY if readonly else os.O_RDWR)


def close(handle: int) -> None:
    """The connection is gone; unflushed writes stay unflushed."""
    os.close(handle)


def get_size(handle: int) -> int:
    """The disk's length in bytes, a multiple of the block's."""
    return os.fstat(handle).st_size


def can_flush(handle: int) -> bool:
    """The guest's flushes reach us."""
    return True


def can_fua(handle: int) -> object:
    """A write with FUA is on the disk when it is answered."""
    return nbdkit.FUA_NATIVE


def can_trim(handle: int) -> bool:
    """A trim is heard, and changes nothing: it only says what may be forgotten."""
    return True


def trim(handle: int, count: int, offset: int, flags: int) -> None:
    """See `can_trim`."""


def pread(handle: int, buffer: bytearray, offset: int, flags: int) -> None:
    """Read what was written last, flushed or not."""
    view = memoryview(buffer)
    os.preadv(handle, [view], offset)
    if not _held:
        return
    for number, start, place in _blocks(offset, len(view)):
        held = _held.get(number)
        if held is not None:
            view[place] = held[start : start + place.stop - place.start]


def pwrite(handle: int, buffer: bytes, offset: int, flags: int) -> None:
    """Keep a write in memory, block by block."""
    view = memoryview(buffer)
    early = float(_settings["early"])
    for number, start, place in _blocks(offset, len(view)):
        content = bytes(view[place])
        if len(content) < BLOCK:
            before = _held.get(number) or os.pread(handle, BLOCK, number * BLOCK)
            content = before[:start] + content + before[start + len(content) :]
        if early and _chance.random() < early:
            _held.pop(number, None)
            os.pwrite(handle, content, number * BLOCK)
        else:
            _held[number] = content
    if flags & nbdkit.FLAG_FUA:
        flush(handle, 0)


def zero(handle: int, count: int, offset: int, flags: int) -> None:
    """As writing zeros is."""
    first, last = -(-offset // BLOCK), (offset + count) // BLOCK
    if first > last:
        return pwrite(handle, bytes(count), offset, flags)
    pwrite(handle, bytes(first * BLOCK - offset), offset, 0)
    pwrite(handle, bytes(offset + count - last * BLOCK), last * BLOCK, 0)
    _held.update(dict.fromkeys(range(first, last), ZEROS))
    return flush(handle, 0) if flags & nbdkit.FLAG_FUA else None


def flush(handle: int, flags: int) -> None:
    """What was written so far is on the disk from here on."""
    run: list[int] = []
    for number in sorted(_held):
        if run and (number != run[-1] + 1 or len(run) == MOST):
            _write(handle, run)
            run = []
        run.append(number)
    _write(handle, run)
    _held.clear()


def _write(handle: int, run: list[int]) -> None:
    """Write neighbouring blocks; zeros over a hole leave the hole."""
    if not run:
        return
    start, contents = run[0] * BLOCK, [_held[number] for number in run]
    if all(content is ZEROS for content in contents):
        try:
            if os.lseek(handle, start, os.SEEK_DATA) >= start + len(run) * BLOCK:
                return
        except OSError:  # no data from here to the end
            return
    os.pwritev(handle, contents, start)


def _blocks(offset: int, count: int) -> Iterator[tuple[int, int, slice]]:
    """The blocks that a range touches: number, first byte in the block, and the part of the range that lies there."""
    done = 0
    while done < count:
        number, start = divmod(offset + done, BLOCK)
        size = min(BLOCK - start, count - done)
        yield number, start, slice(done, done + size)
        done += size
