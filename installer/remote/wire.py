"""What two machines say: pieces of the image there, lines of JSON back.

Standard library only: it is sent to other machines.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

ASK, PACKED, PLAIN, END = b"?", b"z", b"=", b"."  # the kinds of pieces; after ASK comes the SHA-256 of one
_HEAD = struct.Struct(">cQQI")  # kind, where it begins and ends on the disk, length of what follows
_SAMPLE = 64 << 10


def piece(kind: bytes, at: int = 0, end: int = 0, body: bytes | memoryview = b"") -> bytes:
    return _HEAD.pack(kind, at, end, len(body)) + body


def data(at: int, end: int, body: memoryview) -> bytes:
    """A piece with data: compressed, unless its beginning shows that this is not worth its time."""
    sample = body[:_SAMPLE]
    if len(zlib.compress(sample, 1)) > 0.9 * len(sample):
        return piece(PLAIN, at, end, body)
    return piece(PACKED, at, end, zlib.compress(body, 1))


def taken(read: Callable[[int], bytes]) -> tuple[bytes, int, int, bytes]:
    """The next piece: kind, where it begins and ends, and what it holds. `read` returns all the bytes asked for."""
    kind, at, end, length = _HEAD.unpack(read(_HEAD.size))
    body = read(length)
    return kind, at, end, zlib.decompress(body) if kind == PACKED else body


def say(**what: Any) -> None:
    """A line, whole, whichever thread says it."""
    os.write(1, json.dumps(what, default=str).encode() + b"\n")
