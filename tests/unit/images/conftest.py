"""A cache of its own, a tools tree whose programs are small scripts, and an image's manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from images.manifest import Artefact, Manifest, Package
from images.tools import Tools


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The builder's cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches/postern"


@pytest.fixture
def tools(cache: Path) -> Tools:
    """A tools tree in the cache. Its dynamic loader starts scripts."""
    root = cache / "tools-1/root"
    loader = root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    for folder in (loader.parent, root / "usr/bin"):
        folder.mkdir(parents=True)
    loader.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')  # after --library-path PATH comes the program
    loader.chmod(0o755)
    return Tools(root)


@pytest.fixture
def program(tools: Tools) -> Callable[[str, str], None]:
    """Put a shell script into the tools tree as one of its programs."""

    def put(name: str, script: str) -> None:
        path = tools.root / "usr/bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return put


@pytest.fixture
def described() -> Manifest:
    """What an image of vm-bios says of itself."""
    return Manifest(
        format=1,
        product="postern",
        version="1.2.3",
        compatible="postern-vm-bios",
        profile="vm-bios",
        suite="trixie",
        level="development",
        disk_bytes=3 << 30,
        disk_sha256="0" * 64,
        root_hash="1" * 64,
        root_sha256="2" * 64,
        boot_sha256="3" * 64,
        artefacts=(Artefact(name="image.qcow2", bytes=1, sha256="4" * 64),),
        packages=(Package(name="postfix", version="3.10", architecture="amd64"),),
    )
