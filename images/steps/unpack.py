"""What of a finished image another medium needs: its root, and what lies in its boot slot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from hardware.host.errors import refuse
from hardware.host.files import digest
from hardware.host.run import spawn
from images.manifest import Manifest
from images.steps.layout import Layout, Partition
from images.tools import Tools

_BLOCK = 4096


@dataclass(frozen=True)
class Unpacked:
    """The verified root, and the folder with kernel, initrd and slot.cfg."""

    root: Path
    boot: Path

    @property
    def facts(self) -> dict[str, str]:
        """What slot.cfg says: version, roothash, hashoffset, arguments."""
        return dict(re.findall(r'^set (\w+)="(.*)"$', (self.boot / "slot.cfg").read_text(), re.MULTILINE))


def unpack(image: Path, found: Manifest, table: Layout, work: Path, tools: Tools) -> Unpacked:
    """Take slot A out of the image in the folder `image` (seconds). Raises `Refused` when it is not the manifest's."""
    slot, root, boot = work / "slot.img", work / "root.img", work / "boot"
    packed = image / found.artefact(".raw.zst")
    with spawn(tools.command("zstd", "--quiet", "--decompress", "--stdout", packed)) as zstd:
        stream, at = cast("IO[bytes]", zstd.stdout), 0
        for name, target in (("boot-a", slot), ("root-a", root)):
            at = _copy(stream, at, table[name], target)
    for target, wanted in ((slot, found.boot_sha256), (root, found.root_sha256)):
        if digest(target) != wanted:
            raise refuse("is not what the manifest says", "build or copy the image again", where=str(packed))
    tools.run("unsquashfs", "-quiet", "-no-progress", "-dest", boot, slot)
    slot.unlink()
    return Unpacked(root, boot)


def _copy(stream: IO[bytes], at: int, part: Partition, target: Path) -> int:
    """What a partition holds, without the zeros behind it; the stream's new place."""
    for _ in _blocks(stream, part.start - at):
        pass
    end = 0
    with target.open("wb") as file:
        for number, block in enumerate(_blocks(stream, part.bytes), 1):
            if block.count(0) < len(block):
                file.seek((number - 1) * _BLOCK)
                file.write(block)
                end = number
        file.truncate(end * _BLOCK)
    return part.start + part.bytes


def _blocks(stream: IO[bytes], length: int) -> Iterator[bytes]:
    """So many bytes of a stream, a block at a time; a stream that ends early gives fewer."""
    for _ in range(length // _BLOCK):
        block = stream.read(_BLOCK)
        if not block:
            return
        yield block
