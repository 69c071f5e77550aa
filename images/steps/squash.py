"""The root slot's image: a squashfs with its verity hash tree appended, one image and one write."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hardware.host.files import digest, digest_of
from images.steps.tree import Tree
from images.store import Store
from images.tools import Tools

_BLOCK = 4096


class Level(StrEnum):
    """How hard to compress: quickly while developing, well for a release."""

    DEVELOPMENT = "development"
    RELEASE = "release"

    @property
    def zstd(self) -> int:
        """The zstd level of the root."""
        return {Level.DEVELOPMENT: 1, Level.RELEASE: 15}[self]


@dataclass(frozen=True)
class VerifiedRoot:
    """The image at `path`; its hash tree starts at `hash_offset` bytes and has the root hash `root_hash`."""

    path: Path
    root_hash: str
    hash_offset: int


def squash(store: Store, tree: Tree, level: Level, tools: Tools) -> VerifiedRoot:
    """The verified root of a tree: seconds at the development level, a minute otherwise, none when cached."""
    key = digest_of("squash 1", tree.digest, level.value)
    folder = store.made("squash", key, lambda partial: _make(partial, tree, level, tools))
    root_hash, offset = (folder / "verity").read_text().split()
    return VerifiedRoot(folder / "root.img", root_hash, int(offset))


def _make(partial: Path, tree: Tree, level: Level, tools: Tools) -> None:
    image = partial / "root.img"
    # The kernel and the initrd travel in the boot slot.
    left_out = ("-wildcards", "-e", "boot/*", "dev/*", "proc/*", "run/*", "sys/*", "tmp/*")
    tools.squashfs(tree.path, image, "-comp", "zstd", "-Xcompression-level", str(level.zstd), "-b", "256K", *left_out)
    length = -(-image.stat().st_size // _BLOCK) * _BLOCK
    with image.open("r+b") as file:
        file.truncate(length)
    salt = digest(image)
    uuid = f"{salt[:8]}-{salt[8:12]}-4{salt[13:16]}-8{salt[17:20]}-{salt[20:32]}"
    shown = tools.run(
        *("veritysetup", "format", image, image, f"--hash-offset={length}", f"--data-blocks={length // _BLOCK}"),
        *(f"--salt={salt}", f"--uuid={uuid}"),
    )
    root_hash = next(line.split()[-1] for line in shown.splitlines() if line.startswith("Root hash:"))
    (partial / "verity").write_text(f"{root_hash} {length}\n")
