"""A box's disk while the box is off: its parts, what stands in them, and damage done to them."""

from __future__ import annotations

import re
from pathlib import Path

from hardware.host import run
from hardware.twin import ImageFile
from images import emulate, recipe
from images.steps.layout import layout
from images.tools import Tools
from overlays import ovf
from tests.ovf import environment
from tests.peers import Peers, inside

TABLE = layout(recipe.load("appliance").layout)
NO_CHECK = {"MTOOLS_SKIP_CHECK": "1"}  # for mtools: the partition begins inside a larger file


def copy_slot_a_to_b(disk: Path) -> None:
    """Give slot B what slot A has. `disk` is a raw image."""
    with disk.open("r+b") as file:
        for name in ("boot", "root"):
            file.seek(TABLE[f"{name}-a"].start)
            content = file.read(TABLE[f"{name}-a"].bytes)
            file.seek(TABLE[f"{name}-b"].start)
            file.write(content)


def over(tools: Tools, base: Path, target: Path) -> ImageFile:
    """A disk that begins as a raw image, which stays as it is. The zeros that a box writes take no room in it."""
    tools.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, target)
    return ImageFile(target, "qcow2")


def flip(disk: Path, offset: int) -> None:
    """Damage one byte of a raw image."""
    with disk.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def empty_stick(tools: Tools, target: Path) -> ImageFile:
    """A FAT volume labelled POSTERN with nothing on it."""
    with target.open("wb") as file:
        file.truncate(4 << 20)
    tools.run("mkfs.vfat", "-n", emulate.VOLUME_LABEL, target)
    return ImageFile(target)


def filled_stick(tools: Tools, target: Path, answers: str, secrets: str) -> ImageFile:
    """The same with an answer file and a secrets file."""
    made = empty_stick(tools, target)
    for name, text in (("answers.yaml", answers), ("secrets.yaml", secrets)):
        tools.run("mcopy", "-i", target, "-", f"::/{name}", stdin=text)
    return made


def hypervisors_cd(virtinst: Peers, folder: Path, **typed: str) -> ImageFile:
    """The CD on which a hypervisor brings what was typed into the form of an OVF package."""
    content, target = folder / "cd", folder / "ovf-environment.iso"
    content.mkdir()
    (content / ovf.FILE).write_text(environment(**typed))
    run.run(virtinst.command("xorrisofs", "-quiet", "-V", "OVF ENV", "-J", "-o", inside(target), inside(content)))
    return ImageFile(target)


def from_stick(tools: Tools, stick: ImageFile, name: str) -> str:
    """The text of a file on a stick."""
    return tools.run("mtype", "-i", stick.path, f"::/{name}")


def listing(tools: Tools, raw: Path, folder: str) -> str:
    """What a folder of the data partition holds, nothing where there is none; the box made the partition. `raw` is a
    raw image.
    """
    table = tools.run("sfdisk", "--dump", raw)
    start = next(int(hit[1]) for row in table.splitlines() if (hit := re.search(r"start= *(\d+).*name=.data", row)))
    partition = f"{raw}?offset={start * 512}"
    # Its power was cut: the newest may be in the journal alone, and what of that was written is of no use by itself.
    # e2fsck cannot open a file at an offset twice, and says so after it has replayed the journal.
    run.run(tools.command("e2fsck", "-p", "-E", "journal_only", partition), check=False)
    assert "lost+found" in tools.run("debugfs", "-R", "ls -p /", partition), "the data partition cannot be read"
    return tools.run("debugfs", "-R", f"ls -p {folder}", partition)
