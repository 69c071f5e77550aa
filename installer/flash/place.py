"""Where the disk is: in this machine, or in one that is reached over SSH (`installer.remote`)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hardware.host.log import Steps
from installer.flash import machine, write
from installer.flash.image import Image
from installer.flash.machine import Seen
from installer.flash.target import Target, Wanted


class Place(Protocol):
    """A machine with disks."""

    def named(self, path: object) -> str:
        """How a path of that machine is told."""
        ...

    def look(self, path: Path | None, image: Image) -> Seen:
        """The machine and its target of that name; without a name, all its disks."""
        ...

    def write(self, image: Image, target: Target, what: str, steps: Steps, *, keep: bool = False) -> None:
        """Write an image and read it back. `keep` the data partition that is there."""
        ...


class Here:
    """This machine."""

    def named(self, path: object) -> str:
        return str(path)

    def look(self, path: Path | None, image: Image) -> Seen:
        return machine.look(path, Wanted(image.length, image.folder, image.table))

    def write(self, image: Image, target: Target, what: str, steps: Steps, *, keep: bool = False) -> None:
        write.write(image.job(what, keep), target, lambda _: image.blocks(), steps)
