"""The order of the steps, and nothing else."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardware.host.errors import Refused
from hardware.host.files import locked, no_room, write
from hardware.host.log import Steps
from hardware.profile import HardwareProfile
from images import manifest, tools
from images.archive import Archive
from images.manifest import Manifest
from images.recipe import Recipe
from images.steps import boot, convert, describe, disk, layout, rootfs, squash, tree, virtual
from images.steps.squash import Level
from images.steps.virtual import Format
from images.store import Store


@dataclass(frozen=True)
class Plan:
    """What to build: the recipe for a profile at a level, from an archive, into `out/<profile>`.

    `formats` are made beside the usual ones.
    """

    recipe: Recipe
    profile: HardwareProfile
    level: Level
    archive: Archive
    out: Path
    formats: tuple[Format, ...] = ()

    @property
    def target(self) -> Path:
        return self.out / self.profile.id


STEPS = 9


def build(plan: Plan, cache: Path, steps: Steps) -> Manifest:
    """Make an image, or only what of it is not in the cache. Nothing appears under a final name before it is whole."""
    store = Store(cache, steps.note)
    version = product_version()
    table = layout.layout(plan.recipe.layout)
    with _alone(plan, cache) as work:
        # Unpacking packages keeps one core busy at most: the tools are unpacked on the other.
        with steps.step("make the root file system, and the tools tree beside it"), ThreadPoolExecutor(1) as beside:
            unpacked = beside.submit(tools.tools_tree, Store(cache), plan.archive)
            base = rootfs.root_filesystem(store, plan.recipe, plan.archive)
            toolbox = unpacked.result()
        with steps.step("lay our files over it"):
            whole = tree.tree(store, base, version)
        with steps.step("squash and verify the root"):
            root = squash.squash(store, whole, plan.level, toolbox)
        with steps.step("make the boot loader"):
            grub = boot.loader(store, toolbox)
        with steps.step("make the boot slot"):
            slot = boot.boot_slot(work, base, root, plan.profile, version, toolbox)
        with steps.step("make the EFI system partition"):
            esp = boot.esp(work, grub, plan.profile, plan.recipe.layout.esp_mib, toolbox)
        with steps.step("assemble the disk image"):
            raw = disk.disk_image(work, table, grub, {"esp": esp, "boot-a": slot, "root-a": root.path}, toolbox)
        with steps.step("write raw.zst, block map, qcow2 and what else is asked for"):
            artefacts = convert.artefacts(raw, work, plan.level, toolbox)
            artefacts += virtual.forms(raw, work, plan.profile, version, plan.formats, toolbox)
        with steps.step("describe it in the manifest"):
            described = describe.manifest(
                plan.recipe, plan.profile, plan.level, version, base, root, slot, raw, artefacts
            )
            _publish(plan.target, described, artefacts)
    _trim(store)
    return described


def product_version() -> str:
    """The version of the product, as pyproject.toml has it."""
    project = Path(__file__).parent.parent / "pyproject.toml"
    version: str = tomllib.loads(project.read_text())["project"]["version"]
    return version


@contextmanager
def _alone(plan: Plan, cache: Path) -> Iterator[Path]:
    """Room and quiet for one build: enough space, no second build of this image, and a folder that goes afterwards."""
    room = disk.ROOM_MIB + virtual.ROOM_MIB * len(plan.formats)
    problems = [
        *no_room(cache, rootfs.ROOM_MIB, "a build", "set XDG_CACHE_HOME to a larger disk, or ./build.py clean --cache"),
        *no_room(plan.out, room, "an image", "choose another folder with --out, or ./build.py clean"),
    ]
    if problems:
        raise Refused(problems)
    busy = f"another build of {plan.profile.id} is running into this folder; wait for it or give another --out"
    with locked(plan.out / f".{plan.profile.id}.lock", busy):
        work = plan.out / f".{plan.profile.id}.partial"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _publish(target: Path, described: Manifest, artefacts: tuple[Path, ...]) -> None:
    """Give the finished files their place: a new folder beside the old one, then one rename each."""
    fresh = target.with_name(f".{target.name}.new")
    old = target.with_name(f".{target.name}.old")
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    fresh.mkdir()
    for artefact in artefacts:
        artefact.rename(fresh / artefact.name)
    write(fresh / manifest.NAME, manifest.write(described))
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _trim(store: Store) -> None:
    for kind, keep in (("tools", 2), ("rootfs", 3), ("tree", 4), ("squash", 6), ("grub", 2)):
        store.trim(kind, keep)
