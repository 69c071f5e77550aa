"""What stands on a disk while it is written: that it is not finished, and no boot sector.

The first MiB, with boot sector and partition table, is written last. Until then this text is in its place, and a
firmware finds nothing to start; also the copy of a partition table at the end of the disk is gone. Where the data
partition is kept, the table that tells of it lies meanwhile where nobody but us looks (`SAVED`).
"""

from __future__ import annotations

from pathlib import Path

BYTES = 1 << 20
SAVED = 512 << 10  # between the partition table and the first partition
_LEAD = b"POSTERN: writing this disk was not finished. It does not start. "


def made(what: str, saved: bytes = b"") -> bytes:
    """The first MiB of a disk that is being written; `what` says of what image, and since when."""
    return ((_LEAD + what.encode()[:400] + b"\n").ljust(SAVED, b"\0") + saved).ljust(BYTES, b"\0")


def read(path: Path) -> str:
    """What an interrupted run left on a disk, in a sentence; empty when none did, or when it cannot be read."""
    if not (path.is_file() or path.is_block_device()):
        return ""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return ""
    what = start.removeprefix(_LEAD).partition(b"\n")[0].decode(errors="replace")
    return f"not finished: {what}" if start.startswith(_LEAD) else ""
