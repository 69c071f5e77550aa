"""What an image says of itself; the only part of images/ that others may know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from hardware.host.documents import Frozen, parse
from hardware.host.errors import refuse

NAME = "manifest.json"


class Artefact(Frozen):
    """A file beside the manifest: its name, its length in bytes, its SHA-256, and what it unpacks to."""

    name: str
    bytes: int
    sha256: str


class Package(Frozen):
    """A Debian package in the root file system."""

    name: str
    version: str
    architecture: str


class Manifest(Frozen):
    """An image: for which profile, of which version, from which bytes. Sizes in bytes, digests SHA-256."""

    format: Literal[1]
    product: str
    version: str
    compatible: str
    profile: str
    suite: str
    level: str
    disk_bytes: int
    disk_sha256: str
    root_hash: str
    root_sha256: str
    boot_sha256: str
    artefacts: tuple[Artefact, ...]
    packages: tuple[Package, ...]

    def artefact(self, ending: str) -> str:
        """The name of the artefact with that ending."""
        return next(item.name for item in self.artefacts if item.name.endswith(ending))


def write(manifest: Manifest) -> str:
    """The manifest as JSON, with a stable order."""
    return json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n"


def load(folder: Path) -> Manifest:
    """The manifest of the image in `folder`. Raises `Refused` when there is none."""
    path = folder / NAME
    if not path.is_file():
        raise refuse("holds no image", f"make it first: ./build.py build {folder.name}", where=str(folder))
    return parse(path.read_text(), str(path), Manifest)
