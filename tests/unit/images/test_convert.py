"""The block map of a disk image with holes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from images.steps import convert

BLOCK = 4096


def sparse(path: Path, size: int, written: dict[int, bytes]) -> Path:
    """A file of `size` bytes that holds what was written at these places, and holes."""
    with path.open("wb") as file:
        file.truncate(size)
        for place, content in written.items():
            file.seek(place)
            file.write(content)
    return path


def number(root: Xml.Element, name: str) -> int:
    return int(root.findtext(name, ""))


@pytest.mark.parametrize("tail", [0, 100], ids=["whole blocks", "a part of a block at the end"])
def test_it_names_the_blocks_that_hold_data(tmp_path: Path, tail: int) -> None:
    size = 300 * BLOCK + tail
    written = {0: b"a" * 2 * BLOCK, 100 * BLOCK + 7: b"b", size - 5: b"tail!"}
    raw = sparse(tmp_path / "image.raw", size, written)
    target = convert.block_map(raw, tmp_path / "image.raw.bmap")

    root = Xml.fromstring(target.read_text())  # noqa: S314 - our own text
    assert root.attrib == {"version": "2.0"}
    assert (number(root, "ImageSize"), number(root, "BlockSize")) == (size, BLOCK)
    assert number(root, "BlocksCount") == 300 + bool(tail)
    content, spans = raw.read_bytes(), []
    mapped: set[int] = set()
    for part in root.iter("Range"):
        first, _, last = (part.text or "").strip().partition("-")
        blocks = range(int(first), int(last or first) + 1)
        data = content[blocks.start * BLOCK : blocks.stop * BLOCK]
        assert part.get("chksum") == hashlib.sha256(data).hexdigest()
        assert mapped.isdisjoint(blocks)
        mapped.update(blocks)
        spans.append(blocks)
    assert spans == sorted(spans, key=lambda blocks: blocks.start)
    assert number(root, "MappedBlocksCount") == len(mapped)
    assert {0, 1, 100, (size - 1) // BLOCK} <= mapped
    assert len(mapped) < 200, "holes are left out"
    assert not any(content[block * BLOCK : (block + 1) * BLOCK].strip(b"\0") for block in set(range(300)) - mapped)


def test_its_own_checksum_is_that_of_its_text_with_zeros(tmp_path: Path) -> None:
    raw = sparse(tmp_path / "image.raw", 50 * BLOCK, {BLOCK: b"x"})
    text = convert.block_map(raw, tmp_path / "image.raw.bmap").read_text()
    found = re.search(r"<BmapFileChecksum> ([0-9a-f]{64}) </BmapFileChecksum>", text)
    assert found
    assert hashlib.sha256(text.replace(found[1], "0" * 64).encode()).hexdigest() == found[1]


def test_an_image_of_holes_alone_has_no_range(tmp_path: Path) -> None:
    raw = sparse(tmp_path / "image.raw", 50 * BLOCK, {})
    assert "<Range" not in convert.block_map(raw, tmp_path / "image.raw.bmap").read_text()
