"""The forms in which an image leaves: raw.zst with a block map, and qcow2."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from images.steps.squash import Level
from images.tools import Tools

_BLOCK = 4096


def artefacts(raw: Path, work: Path, level: Level, tools: Tools) -> tuple[Path, ...]:
    """Every form of the disk image, written into `work`, side by side."""
    with ThreadPoolExecutor() as pool:
        made = (
            pool.submit(compress, raw, work / "image.raw.zst", level, tools),
            pool.submit(block_map, raw, work / "image.raw.bmap"),
            pool.submit(qcow2, raw, work / "image.qcow2", level, tools),
        )
    return tuple(one.result() for one in made)


def compress(raw: Path, target: Path, level: Level, tools: Tools) -> Path:
    """The disk image as zstd, with a window that any zstd reads."""
    tools.run("zstd", "--quiet", "--force", "-T0", "-1" if level is Level.DEVELOPMENT else "-12", raw, "-o", target)
    return target


def qcow2(raw: Path, target: Path, level: Level, tools: Tools) -> Path:
    """The disk image for virtual machines; a release compresses it, which takes its time."""
    squeezed = () if level is Level.DEVELOPMENT else ("-c", "-o", "compression_type=zstd")
    tools.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *squeezed, raw, target)
    return target


def block_map(raw: Path, target: Path) -> Path:
    """A block map in the format of bmaptool 2.0: which blocks hold data, with a SHA-256 for each range.

    A block that is not in the map must still read as zeros where a verity hash tree covers it: a writer that skips it
    on a disk with old content breaks the root.
    """
    size = raw.stat().st_size
    ranges, mapped = [], 0
    with raw.open("rb") as file:
        for first, last in _mapped(file.fileno(), size):
            file.seek(first * _BLOCK)
            digest = hashlib.sha256(file.read((last - first + 1) * _BLOCK)).hexdigest()
            mapped += last - first + 1
            span = f"{first}-{last}" if last > first else f"{first}"
            ranges.append(f'        <Range chksum="{digest}"> {span} </Range>')
    lines = [
        '<?xml version="1.0" ?>',
        '<bmap version="2.0">',
        f"    <ImageSize> {size} </ImageSize>",
        f"    <BlockSize> {_BLOCK} </BlockSize>",
        f"    <BlocksCount> {-(-size // _BLOCK)} </BlocksCount>",
        f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>",
        "    <ChecksumType> sha256 </ChecksumType>",
        f"    <BmapFileChecksum> {'0' * 64} </BmapFileChecksum>",
        "    <BlockMap>",
        *ranges,
        "    </BlockMap>",
        "</bmap>",
    ]
    text = "\n".join(lines) + "\n"
    # The file's own checksum is that of its text with zeros in the checksum's place.
    target.write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()))
    return target


def _mapped(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of blocks, both ends included, that the file system holds data for."""
    position = 0
    while position < size:
        try:
            start = os.lseek(handle, position, os.SEEK_DATA)
        except OSError:  # ENXIO: no data behind this position
            return
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start // _BLOCK, (end - 1) // _BLOCK
        position = end
