"""How long builds take, against mmdebstrap and mksquashfs alone; and how large an image is."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from hardware.host import run
from images import recipe
from images.archive import Archive, keyring_options
from images.steps.squash import Level
from images.tools import Tools
from tests.bench.conftest import Figure
from tests.builder import SOURCE, Builder

CHANGED = "overlays/box/rootfs/usr/lib/sysctl.d/60-postern.conf"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """The project copied, with an empty cache."""
    folder = tmp_path_factory.mktemp("bench")
    left_out = shutil.ignore_patterns(".git", "out", ".*_cache", "__pycache__")
    shutil.copytree(SOURCE, folder / "source", ignore=left_out, symlinks=True)
    return Builder(folder, source=folder / "source")


def seconds(builder: Builder, profile: str) -> float:
    begun = time.monotonic()
    builder.run(profile)
    return time.monotonic() - begun


def plainly(archive: Archive, tools: Tools, folder: Path) -> float:
    """The same packages by mmdebstrap and mksquashfs alone, compressed as hard as ours [s]."""
    folder.mkdir()
    what = recipe.load("appliance")
    begun = time.monotonic()
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--architectures=amd64", *keyring_options()]
    command += [f"--include={','.join(what.packages)}", what.suite, str(folder / "root"), *archive.sources]
    run.run(command, timeout=1800)
    level = ("-comp", "zstd", "-Xcompression-level", str(Level.DEVELOPMENT.zstd), "-b", "256K")
    tools.run("mksquashfs", folder / "root", folder / "root.squashfs", "-quiet", "-no-progress", *level)
    took = time.monotonic() - begun
    shutil.rmtree(folder)
    return took


def test_builds(builder: Builder, archive: Archive, toolbox: Tools, figure: list[Figure]) -> None:
    plain = plainly(archive, toolbox, builder.folder / "plain")
    cold = seconds(builder, "vm-bios")
    figure.append(Figure("cold build / mmdebstrap and mksquashfs of its packages", cold, "s", 1.25, plain))
    figure.append(Figure("a second profile", seconds(builder, "vm-uefi"), "s", 12))
    with (builder.source / CHANGED).open("a") as file:
        file.write("# changed\n")
    figure.append(Figure("a changed overlay file to a new bootable image", seconds(builder, "vm-bios"), "s", 10))
    made = json.loads((builder.folder / "out/vm-bios/manifest.json").read_text())
    size = next(one["bytes"] for one in made["artefacts"] if one["name"].endswith(".raw.zst"))
    figure.append(Figure("raw.zst at the development level", size / 1e6, "MB", 350))
