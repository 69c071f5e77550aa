"""Rendered files onto a root: each one whole, what is gone since the last render deleted, and what changed reported."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardware.host import files
from installer.apply.places import read_json
from overlays.render import RenderedFile


@dataclass(frozen=True)
class Changes:
    """Paths relative to the root that were written with another content, mode or owner, and that were deleted."""

    written: frozenset[str]
    removed: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.written | self.removed


def install(rendered: Mapping[str, RenderedFile], root: Path, memory: Path) -> Changes:
    """Make the files under `root` what was rendered.

    `memory` holds the paths and digests of the last render. It lists old and new ones while we write, so that a render
    which was interrupted is still cleaned up by the next.
    """
    digests = {path: digest(file) for path, file in rendered.items()}
    before = {path: str(value) for path, value in read_json(memory).items()}
    files.write(memory, json.dumps(before | digests), mode=0o600)
    written = frozenset(path for path, file in rendered.items() if place(file, root / path))
    removed = frozenset(path for path in before.keys() - rendered.keys() if _delete(root / path))
    files.write(memory, json.dumps(digests), mode=0o600)
    return Changes(written, removed)


@contextmanager
def laid_out(rendered: Mapping[str, RenderedFile], candidate: Path) -> Iterator[Path]:
    """The files on an empty root of their own while the block runs, for the daemons' parsers to read."""
    shutil.rmtree(candidate, ignore_errors=True)
    candidate.mkdir(parents=True, mode=0o700)
    try:
        for path, file in rendered.items():
            target = candidate / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.link_target is not None:
                target.symlink_to(file.link_target)
                continue
            target.write_text(file.text, encoding="utf-8")
            target.chmod(file.mode)
        yield candidate
    finally:
        shutil.rmtree(candidate)


def place(file: RenderedFile, target: Path) -> bool:
    """Write one file unless it is there already, just so. True when something changed."""
    if file.link_target is not None:
        return _link(file.link_target, target)
    owner = (_user(file.owner), _group(file.group)) if os.geteuid() == 0 else None
    if not target.is_symlink() and target.is_file():
        status = target.stat()
        same_owner = owner is None or owner == (status.st_uid, status.st_gid)
        if status.st_mode & 0o7777 == file.mode and same_owner and target.read_bytes() == file.text.encode():
            return False
    files.write(target, file.text, mode=file.mode, owner=owner)
    return True


def digest(file: RenderedFile) -> str:
    """One rendered file's digest: content, mode and owner."""
    return files.digest_of(file.text, f"{file.mode:o} {file.owner}:{file.group}", file.link_target or "")


def digest_all(rendered: Mapping[str, RenderedFile]) -> str:
    """The digest of everything that was rendered."""
    return files.digest_of(*(part for path in sorted(rendered) for part in (path, digest(rendered[path]))))


def _link(points_to: str, target: Path) -> bool:
    if target.is_symlink() and str(target.readlink()) == points_to:
        return False
    beside = target.with_name(f".{target.name}.new")
    beside.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside.symlink_to(points_to)
    beside.replace(target)
    return True


def _delete(target: Path) -> bool:
    try:
        target.unlink()
    except FileNotFoundError:
        return False
    return True


def _user(name: str) -> int:
    return 0 if name == "root" else pwd.getpwnam(name).pw_uid


def _group(name: str) -> int:
    return 0 if name == "root" else grp.getgrnam(name).gr_gid
