"""The root file system: diskimage-builder makes it once for each content, whatever the profile."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from hardware.host.errors import refuse
from hardware.host.files import digest_of, digest_tree
from images.archive import Archive, keyring_options
from images.recipe import ELEMENTS, Recipe
from images.store import Store

# Room that a build takes at its worst, beside what is cached already [MiB].
ROOM_MIB = 4000


@dataclass(frozen=True)
class RootFilesystem:
    """The unpacked root at `tree`, with kernel and initrd in its /boot, and the digest of what it is made of."""

    tree: Path
    digest: str

    @property
    def packages(self) -> list[tuple[str, str, str]]:
        """Name, version and architecture of each installed package."""
        lines = (self.tree / "usr/share/postern/packages").read_text().splitlines()
        return [(name, version, architecture) for name, version, architecture in map(str.split, lines)]


def root_filesystem(store: Store, recipe: Recipe, archive: Archive) -> RootFilesystem:
    """The root file system of a recipe in this state of the archive; one to four minutes when it is not cached.

    Raises `Refused` with diskimage-builder's last lines when a package cannot be had.
    """
    digest = _digest(recipe, archive.state)
    folder = store.made("rootfs", digest, lambda partial: _make(partial, recipe, archive))
    return RootFilesystem(folder / "tree", digest)


def _digest(recipe: Recipe, state: str) -> str:
    elements = [digest_tree(ELEMENTS / element) for element in recipe.elements]
    parts = (recipe.suite, *recipe.packages, "-", *recipe.exclude, "-", *recipe.include)
    return digest_of("rootfs 2", state, *parts, "-", *elements)


def _make(partial: Path, recipe: Recipe, archive: Archive) -> None:
    log = partial / "build.log"
    # The build mounts inside a mount namespace of its own, and ends with us: nothing stays mounted, even after kill -9.
    confine = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    command = ["disk-image-create", "-n", "-t", "tar", "-a", "amd64", "-o", str(partial / "rootfs"), *recipe.elements]
    with run.spawn([*confine, *command], env=_environment(partial, recipe, archive), cwd=partial, log=log) as build:
        status = build.wait()
    archive_file = partial / "rootfs.tar"
    if status or not archive_file.is_file():
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise refuse(f"diskimage-builder ended with status {status}; its last lines:\n{tail}", where="rootfs")
    tree = partial / "tree"
    tree.mkdir()
    # ./dev holds what the build saw of the host.
    run.run(["tar", "-C", tree, "--numeric-owner", "--exclude=./dev/*", "-xf", archive_file], timeout=900)
    archive_file.unlink()
    shutil.rmtree(partial / "tmp")
    (partial / "archive").write_text("\n".join([archive.state, *archive.sources]) + "\n")
    for mount_point in ("proc", "sys"):  # left out by diskimage-builder
        (tree / mount_point).mkdir(exist_ok=True)


def _environment(partial: Path, recipe: Recipe, archive: Archive) -> dict[str, str]:
    scratch = partial / "tmp"  # what a killed build leaves there goes with the rest of it
    scratch.mkdir()
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.exclude]
    options += [f"--dpkgopt=path-include={pattern}" for pattern in recipe.include]
    programs = Path(sys.executable).parent
    return {
        "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(partial),
        "TMPDIR": str(scratch),
        "ELEMENTS_PATH": str(ELEMENTS),
        "DIB_DEBUG_TRACE": "0",
        "DIB_IMAGE_CACHE": str(partial / "dib-cache"),
        "DIB_LOCKFILES": str(partial / "dib-locks"),
        "DIB_PYTHON_EXEC": sys.executable,
        "DIB_NO_TIMESTAMP": "1",
        "SOURCE_DATE_EPOCH": "0",
        "POSTERN_SUITE": recipe.suite,
        "POSTERN_PACKAGES": ",".join(recipe.packages),
        "POSTERN_OPTIONS": "\n".join(options + keyring_options()),
        "POSTERN_SOURCES": "\n".join(archive.sources),
    }
