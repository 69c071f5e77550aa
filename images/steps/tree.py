"""The tree of one version: the root file system, the files we own, and the code that runs on the box."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hardware import profile as profiles
from hardware.host import run
from hardware.host.files import digest_of
from images.steps.rootfs import RootFilesystem
from images.store import Store
from overlays.render import RenderedFile, render_build

_SOURCE = Path(__file__).parents[2]
_HOME = Path("usr/lib/postern")
# What ships: three stages' code and data. images/ and installer/flash stay with the builder, and a concern's files for
# the image (rootfs/usr) are in the image already.
_SHIPPED = (
    *("hardware", "overlays", "installer/__init__.py", "installer/wizard", "installer/apply", "installer/update"),
    *("installer/box", "installer/preflight", "installer/selftest"),
)
_COMPILE_TEMPLATES = (
    f"import sys; sys.path.insert(0, '/{_HOME}'); from overlays import render; render.compile_templates()"
)


@dataclass(frozen=True)
class Tree:
    """The complete root at `path`, and the digest of what it is made of."""

    path: Path
    digest: str


def tree(store: Store, rootfs: RootFilesystem, version: str) -> Tree:
    """The root file system with ours laid over it (seconds)."""
    files = _files(version)
    parts = [part for path, file in files.items() for part in (path, repr(file))]
    digest = digest_of("tree 2", rootfs.digest, *parts)
    folder = store.made("tree", digest, lambda partial: _make(partial / "root", rootfs, files))
    return Tree(folder / "root", digest)


def _files(version: str) -> dict[str, RenderedFile]:
    """Everything of ours by its path in the root: rendered files, code, and the ports of every profile."""
    made = render_build({"version": version})
    for source in _shipped():
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        path = _HOME / source.relative_to(_SOURCE)
        made[path.as_posix()] = RenderedFile(source.read_text(encoding="utf-8"), mode)
    made[(_HOME / "ports.json").as_posix()] = RenderedFile(profiles.bindings_json(profiles.load_all()))
    return dict(sorted(made.items()))


def _shipped() -> Iterator[Path]:
    for name in _SHIPPED:
        top = _SOURCE / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            inside = path.relative_to(_SOURCE).as_posix()
            if path.is_file() and "__pycache__" not in inside and "/rootfs/usr/" not in inside:
                yield path


def _make(root: Path, rootfs: RootFilesystem, files: dict[str, RenderedFile]) -> None:
    # Hard links: a second and no room. Nothing may write into a file of this tree in place; `_put` makes new ones.
    run.run(["cp", "--archive", "--link", rootfs.tree, root])
    for path, file in files.items():
        _put(root, path, file)
    # By the root's own interpreter, and checked against nothing: files in the image have no times of their own.
    compile_all = ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", f"/{_HOME}"]
    run.run(["chroot", root, *compile_all])
    compile_templates = ["python3", "-IBc", _COMPILE_TEMPLATES]
    run.run(["chroot", root, *compile_templates], env={"PYTHONHASHSEED": "0"})


def _put(root: Path, path: str, file: RenderedFile) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if file.link_target is not None:
        target.symlink_to(file.link_target)
        return
    target.write_text(file.text, encoding="utf-8")
    target.chmod(file.mode)
    if (file.owner, file.group) != ("root", "root"):
        uid, gid = (
            _number(root / "etc" / table, name) for table, name in (("passwd", file.owner), ("group", file.group))
        )
        shutil.chown(target, uid, gid)


def _number(table: Path, name: str) -> int:
    return next(int(line.split(":")[2]) for line in table.read_text().splitlines() if line.split(":")[0] == name)
