"""The disk image: partition table, boot loader, ESP and slot A placed into one sparse file."""

from __future__ import annotations

from pathlib import Path

from hardware.host.errors import refuse
from images.steps.layout import Layout
from images.tools import Tools

# Room for the parts and the artefacts of one image [MiB]; the disk itself is mostly holes.
ROOM_MIB = 1500


def disk_image(work: Path, layout: Layout, grub: Path, parts: dict[str, Path], tools: Tools) -> Path:
    """A raw disk that BIOS and UEFI boot. `parts` maps partition names to the images that go there."""
    image = work / "image.raw"
    with image.open("wb") as file:
        file.truncate(layout.bytes)
    tools.run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", image, stdin=layout.sfdisk())
    _place(image, grub / "mbr.img", 0, 440, "the boot sector")
    for name, source in {"bios": grub / "core.img", **parts}.items():
        _place(image, source, layout[name].start, layout[name].bytes, f"the partition {name}")
    return image


def _place(image: Path, source: Path, start: int, room: int, what: str) -> None:
    size = source.stat().st_size
    if size > room:
        raise refuse(
            f"{what} has {room >> 20} MiB, and {source.name} needs {-(-size // (1 << 20))} MiB",
            "give it more in the recipe's layout",
            where="images/recipes",
            path="layout",
        )
    with image.open("r+b") as target, source.open("rb") as content:
        target.seek(start)
        while block := content.read(1 << 20):
            # Keep holes: a block of zeros is what the file has there already.
            if block.count(0) == len(block):
                target.seek(len(block), 1)
            else:
                target.write(block)
