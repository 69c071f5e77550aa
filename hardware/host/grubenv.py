"""GRUB's environment block, written in place.

The boot loader shares 1,024 bytes with us: a first line, `NAME=value` lines, and `#` up to the end. GRUB itself writes
them through the list of disk blocks that the file had at boot, so the file must keep its place and its length.
grub-editenv truncates and writes again: a power cut in between leaves nothing, and GRUB falls back to what is built in.
We therefore overwrite the bytes where they lie, and keep everything that changes within the first sector of 512 bytes,
which a disk writes whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from hardware.host import files
from hardware.host.errors import refuse

SIZE = 1024
SECTOR = 512
SIGNATURE = b"# GRUB Environment Block\n"


class Damaged(Exception):
    """The block, or its copy, is not what its rules say. Caught by `repair`."""


def parse(block: bytes) -> dict[str, str]:
    """The variables of a block, in their order. Raises `Damaged`."""
    if len(block) != SIZE or not block.startswith(SIGNATURE):
        raise Damaged(f"{len(block)} bytes, beginning with {block[:12]!r}")
    variables = {}
    for line in block[len(SIGNATURE) :].split(b"\n"):
        if line.startswith(b"#") or not line:
            continue
        name, equals, value = line.partition(b"=")
        if not equals or not name:
            raise Damaged(f"the line {line[:40]!r} is not NAME=value")
        variables[name.decode("ascii", "replace")] = value.decode("ascii", "replace")
    return variables


def render(variables: Mapping[str, str]) -> bytes:
    """The block that holds `variables`; `ValueError` when they do not fit into its first sector."""
    for name, value in variables.items():
        if not f"{name}{value}".isascii() or set("\n=\\#") & set(name) or set("\n\\#") & set(value):
            raise ValueError(f"{name}={value!r} cannot stand in an environment block")
    text = SIGNATURE + b"".join(f"{name}={value}\n".encode() for name, value in variables.items())
    if len(text) > SECTOR:
        raise ValueError(f"{len(text)} bytes of variables: a torn write would lose them")
    return text.ljust(SIZE, b"#")


def read(path: Path) -> dict[str, str]:
    """The variables in a file. Raises `Damaged` when there is no such file either."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise Damaged(error.strerror or "cannot be read") from error


def write(path: Path, variables: Mapping[str, str]) -> None:
    """Overwrite the block where it lies, and read it back. Never truncates, and never moves the file."""
    block = render(variables)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        written = os.pwrite(handle, block, 0)
        os.fsync(handle)
        if written != SIZE or os.pread(handle, SIZE + 1, 0) != block:
            raise refuse("was written, and reads back differently", "the boot disk may be failing", where=str(path))
    finally:
        os.close(handle)


def keep_copy(copy: Path, variables: Mapping[str, str]) -> None:
    """Keep the variables a second time, with their digest, on another partition."""
    block = render(variables)
    wanted = block + hashlib.sha256(block).hexdigest().encode() + b"\n"
    if not copy.exists() or copy.read_bytes() != wanted:
        files.write(copy, wanted, mode=0o600)


def read_copy(copy: Path) -> dict[str, str]:
    """The variables of a copy whose digest is right. Raises `Damaged`."""
    try:
        raw = copy.read_bytes()
    except OSError as error:
        raise Damaged(error.strerror or "cannot be read") from error
    block, mark = raw[:SIZE], raw[SIZE:].strip()
    if hashlib.sha256(block).hexdigest().encode() != mark:
        raise Damaged("its digest is wrong")
    return parse(block)
