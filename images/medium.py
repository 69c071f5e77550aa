"""From a finished image to the medium that installs it: the order of the steps."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardware.host.errors import Refused
from hardware.host.files import locked, no_room
from hardware.host.log import Steps
from hardware.profile import HardwareProfile
from images import emulate, manifest, recipe
from images.steps import layout, media, unpack
from images.steps.media import Brought
from images.steps.unpack import Unpacked
from images.tools import Tools

STEPS, NETWORK_STEPS = 4, 3
_ROOM_MIB = 3000
_RECIPE = "appliance"


def build(image: Path, profile: HardwareProfile, brought: Brought, target: Path, tools: Tools, steps: Steps) -> None:
    """Make the medium of the image in the folder `image`. Nothing appears under its final name before it is whole."""
    with _work(target) as work:
        _, tree = _files(image, profile, work, tools, steps)
        with steps.step("make the boot loaders"):
            esp = media.loaders(work, tree, tools)
        with steps.step("write the image of the medium"):
            volume = _volume(brought, work, tools)
            made = media.iso(tree, esp, volume, work / "medium.iso", tools)
            made.chmod(0o600 if brought.secrets else 0o644)
            made.replace(target)


def build_network(
    image: Path, profile: HardwareProfile, brought: Brought, target: Path, tools: Tools, steps: Steps
) -> None:
    """Make the folder from which boxes are installed over the network."""
    with _work(target) as work:
        slot, tree = _files(image, profile, work, tools, steps)
        with steps.step("put together what a network serves"):
            made = media.network(work, tree, slot, brought, work / "network", tools)
            shutil.rmtree(target, ignore_errors=True)
            made.rename(target)


def _files(image: Path, profile: HardwareProfile, work: Path, tools: Tools, steps: Steps) -> tuple[Unpacked, Path]:
    """The image's slot, and the folder of all that every medium of it has."""
    with steps.step("take the slot out of the image"):
        slot = unpack.unpack(image, manifest.load(image), layout.layout(recipe.load(_RECIPE).layout), work, tools)
    with steps.step("put the files of the medium together"):
        return slot, media.tree(work, image, slot, profile, tools)


@contextmanager
def _work(target: Path) -> Iterator[Path]:
    """Room, and a folder that goes afterwards; one run at a time."""
    if problems := no_room(target.parent, _ROOM_MIB, "a medium", "choose another folder with --out"):
        raise Refused(problems)
    work = target.with_name(f".{target.name}.partial")
    with locked(target.with_name(f".{target.name}.lock"), f"another run is making {target}; wait for it"):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _volume(brought: Brought, work: Path, tools: Tools) -> Path | None:
    if brought == Brought():
        return None
    return emulate.answers_volume(tools, work / "answers.img", brought.answers, brought.secrets, brought.rules).path
