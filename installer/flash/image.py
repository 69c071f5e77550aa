"""The image that is flashed: its manifest, its block map, and its bytes as a stream."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

from hardware.host import files
from hardware.host.errors import Refused, refuse
from hardware.host.run import spawn
from images import manifest
from images.manifest import Manifest
from installer.flash import mark, table
from installer.flash.ahead import CHUNK, memory
from installer.flash.write import Block, Job, Range

RAW, MAP = ".raw.zst", ".raw.bmap"
CA = "ca.pem"
_PIPE = 1 << 20
_SILENCE_SECONDS = 60
_ZSTD = bytes.fromhex("28b52ffd")  # how a compressed image begins


@dataclass(frozen=True)
class Image:
    """An image in its folder. `ranges` are the bytes that hold data; all others are zeros.

    With `url` its bytes lie there; that they are the manifest's is seen when the disk is read back. A server that is
    asked by HTTPS shows a certificate of `CA` in the folder, where that is, or else of an authority that Debian trusts.
    """

    folder: Path
    manifest: Manifest
    ranges: tuple[Range, ...]
    url: str = ""

    @property
    def length(self) -> int:
        """Of the whole disk image, in bytes."""
        return self.manifest.disk_bytes

    @cached_property
    def table(self) -> str:
        """Its first bytes, which hold its partition table, in hexadecimal."""
        start = bytearray(table.BYTES)
        with closing(self.blocks()) as blocks:
            for block in takewhile(lambda one: one.at < len(start), blocks):
                end = min(block.end, len(start))
                start[block.at : end] = cast("memoryview", block.data)[: end - block.at]
        return start.hex()

    def job(self, what: str, keep: bool = False) -> Job:
        """What is to be written; `what` says it in the mark. `keep` the data partition that the disk has."""
        return Job(what, self.length, self.ranges, self.table if keep else "")

    def blocks(self) -> Generator[Block, None, None]:
        """The pieces that hold data, from first to last. A piece stays as it is until the next but one is asked for."""
        with self._stream() as stream:
            with suppress(OSError):
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, _PIPE)
            room, other = memory(), memory()
            for at in range(0, self.length, CHUNK):
                length = min(CHUNK, self.length - at)
                _fill(stream, room[:length])
                clamped = ((max(one.first, at), min(one.end, at + length)) for one in self.ranges)
                if spans := [part for first, end in clamped if first < end for part in _parted(first, end)]:
                    for first, end in spans:
                        yield Block(first, end, room[first - at : end - at])
                    room, other = other, room  # the last piece is still in use

    @contextmanager
    def _stream(self) -> Iterator[IO[bytes]]:
        """The bytes of the disk image, from first to last."""
        unpack = ["zstd", "--quiet", "--decompress", "--stdout"]
        if self.url:
            with self._fetched() as packed, spawn(unpack, source=packed) as zstd:
                yield cast("IO[bytes]", zstd.stdout)
        else:
            with spawn([*unpack, self.folder / self.manifest.artefact(RAW)]) as zstd:
                yield cast("IO[bytes]", zstd.stdout)

    @contextmanager
    def _fetched(self) -> Iterator[IO[bytes]]:
        """The compressed image from the network. Raises `Refused` with curl's reason where the block did not get it."""
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder) / "said"
            fetch = ("curl", "--silent", "--show-error", "--stderr", said, "--fail", "--location")
            wait = ("--connect-timeout", "30", "--speed-limit", "1", "--speed-time", str(_SILENCE_SECONDS))
            trust = ("--cacert", self.folder / CA) if (self.folder / CA).exists() else ()
            frame = ("--tftp-blksize", "1428")  # what fits into one of Ethernet
            with spawn([*fetch, *wait, *trust, *frame, self.url]) as curl:
                try:
                    yield cast("IO[bytes]", curl.stdout)
                except Refused:
                    if why := said.read_text(errors="replace").strip() if said.exists() else "":
                        raise refuse(f"cannot be fetched: {why}", "look at its server", where=self.url) from None
                    raise

    def reached(self) -> Image:
        """Itself, when its server gives it out. Raises `Refused`."""
        if self.url:
            with self._fetched() as stream:
                if stream.read(len(_ZSTD)) != _ZSTD:
                    raise refuse("is no image of Postern", "serve the whole folder", where=self.url)
        return self


def load(folder: Path, url: str = "") -> Image:
    """The image in a folder, or with its bytes at `url`.

    Raises `Refused` when there is none, or when its files are not what the manifest says.
    """
    found = manifest.load(folder)
    for ending in (MAP,) if url else (RAW, MAP):
        path = folder / found.artefact(ending)
        wanted = next(one.sha256 for one in found.artefacts if one.name == path.name)
        if not path.is_file() or files.digest(path) != wanted:
            raise refuse("is missing or not what the manifest says", "build or copy the image again", where=str(path))
    return Image(folder, found, tuple(_ranges((folder / found.artefact(MAP)).read_text())), url)


def _ranges(block_map: str) -> Iterator[Range]:
    """From a block map in the format of bmaptool 2.0, whose digest was compared."""
    tree = ElementTree.fromstring(block_map)  # noqa: S314 - the builder's own file
    size = int(tree.findtext("BlockSize") or 0)
    for row in tree.iter("Range"):
        first, _, last = (row.text or "").strip().partition("-")
        yield Range(int(first) * size, (int(last or first) + 1) * size, row.attrib["chksum"])


def _parted(first: int, end: int) -> Iterator[tuple[int, int]]:
    """A piece in two where it crosses the end of the first MiB, which is written last."""
    if first < mark.BYTES < end:
        yield first, mark.BYTES
        first = mark.BYTES
    yield first, end


def _fill(stream: IO[bytes], view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]  # a pipe has it
        if not count:
            raise refuse("the image ends too early", "build or copy it again")
        done += count
