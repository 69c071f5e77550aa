"""A small image, made by the builder's own steps, and disks that are files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.host import files, run
from images import manifest
from images.manifest import Artefact, Manifest
from images.steps.convert import block_map
from installer.flash import image as images
from installer.flash.image import Image

MIB = 1 << 20
IMAGE_MIB = 24
DATA = ((0, 2), (3, 6), (13, 21))  # MiB that hold data; the rest are holes, a whole chunk among them
PROFILE = "fortimail-100"  # nobody knows how large its disk is

Disk = dict[str, object]
Lsblk = Callable[..., None]


def noise(mib: int) -> bytes:
    """Bytes that compress badly, the same in each process."""
    return random.Random(mib).randbytes(mib * MIB)  # noqa: S311 - nobody has to guess them


def content() -> bytes:
    """What the disk image holds."""
    made = bytearray(IMAGE_MIB * MIB)
    for first, end in DATA:
        made[first * MIB : end * MIB] = noise(end - first)
    return bytes(made)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `build.py build` makes it, apart from what nobody flashes."""
    return image_of(content(), tmp_path_factory.mktemp("image"))


def image_of(whole: bytes, made: Path) -> Path:
    """Such a folder, with that disk image; its zeros are holes."""
    raw = made / "image.raw"
    with raw.open("wb") as file:
        file.truncate(len(whole))
        for at in range(0, len(whole), 4096):
            if any(piece := whole[at : at + 4096]):
                file.seek(at)
                file.write(piece)
    packed = made / "image.raw.zst"
    run.run(["zstd", "--quiet", "-1", raw, "-o", packed])
    artefacts = (packed, block_map(raw, made / "image.raw.bmap"))
    described = Manifest(
        format=1,
        product="postern",
        version="1.2.3",
        compatible=f"postern-{PROFILE}",
        profile=PROFILE,
        suite="trixie",
        level="development",
        disk_bytes=len(whole),
        disk_sha256=files.digest(raw),
        root_hash="",
        root_sha256="",
        boot_sha256="",
        artefacts=tuple(Artefact(name=a.name, bytes=a.stat().st_size, sha256=files.digest(a)) for a in artefacts),
        packages=(),
    )
    raw.unlink()
    (made / manifest.NAME).write_text(manifest.write(described))
    return made


@pytest.fixture
def image(folder: Path) -> Image:
    return images.load(folder)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk that was in use before, as a file."""
    path = tmp_path / "disks/sdx"
    path.parent.mkdir()
    path.write_bytes(noise(40))
    return path


@pytest.fixture
def lsblk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lsblk:
    """Makes lsblk list the disk with what is given: few machines have a RAID, a CD and a disk of 4,096-byte sectors."""
    programs = tmp_path / "programs"
    programs.mkdir()

    def lists(path: Path, **facts: object) -> None:
        row = {
            "path": str(path),
            "maj:min": "8:240",
            "type": "disk",
            "size": path.stat().st_size,
            "ro": False,
            "log-sec": 512,
            "model": "Quail 3",
            "serial": "QU-0042",
            "tran": "sata",
        }
        text = json.dumps({"blockdevices": [row | facts]})
        (programs / "lsblk").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        (programs / "lsblk").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin")

    return lists
