"""The image that is flashed: its manifest, its block map, and its bytes as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

from hardware.host import files
from hardware.host.errors import refuse
from hardware.host.run import spawn
from images import manifest
from images.manifest import Manifest

RAW, MAP = ".raw.zst", ".raw.bmap"


@dataclass(frozen=True)
class Image:
    """An image in its folder. `ranges` are the bytes that hold data, first and end; all others are zeros."""

    folder: Path
    manifest: Manifest
    ranges: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """Of the whole disk image, in bytes."""
        return self.manifest.disk_bytes

    @contextmanager
    def stream(self) -> Iterator[IO[bytes]]:
        """The bytes of the disk image, from first to last."""
        packed = self.folder / self.manifest.artefact(RAW)
        with spawn(["zstd", "--quiet", "--decompress", "--stdout", packed]) as zstd:
            yield cast("IO[bytes]", zstd.stdout)


def load(folder: Path) -> Image:
    """The image in a folder. Raises `Refused` when there is none, or when its files are not what the manifest says."""
    found = manifest.load(folder)
    for ending in (RAW, MAP):
        path = folder / found.artefact(ending)
        wanted = next(one.sha256 for one in found.artefacts if one.name == path.name)
        if not path.is_file() or files.digest(path) != wanted:
            raise refuse("is missing or not what the manifest says", "build or copy the image again", where=str(path))
    return Image(folder, found, _ranges((folder / found.artefact(MAP)).read_text()))


def _ranges(block_map: str) -> tuple[tuple[int, int], ...]:
    """From a block map in the format of bmaptool 2.0, whose digest was compared."""
    tree = ElementTree.fromstring(block_map)  # noqa: S314 - the builder's own file
    size = int(tree.findtext("BlockSize") or 0)
    spans = [(row.text or "").strip().partition("-")[::2] for row in tree.iter("Range")]
    return tuple((int(first) * size, (int(last or first) + 1) * size) for first, last in spans)
