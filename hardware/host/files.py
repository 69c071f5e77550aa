"""Files written whole or not at all, digests, locks and room."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardware.host.errors import Problem, refuse


def default_cache() -> Path:
    """Where caches live on this machine, by the XDG rules."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "postern"


def write(path: Path, data: str | bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write a file so that a reader, also one after a power cut, sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if owner:
                os.fchown(file.fileno(), *owner)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or a folder's names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(*parts: str | bytes) -> str:
    """The SHA-256 of several texts, each with its length, so that no two lists give the same bytes."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(len(raw).to_bytes(8, "big") + raw)
    return total.hexdigest()


def digest_tree(folder: Path) -> str:
    """The SHA-256 of a folder: names, file modes and contents, whatever the times, the owners or the machine."""
    parts: list[str | bytes] = []
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts or path.is_dir():
            continue
        executable = "x" if os.access(path, os.X_OK) and not path.is_symlink() else "-"
        parts += [str(path.relative_to(folder)), executable]
        parts.append(str(path.readlink()) if path.is_symlink() else path.read_bytes())
    return digest_of(*parts)


@contextmanager
def locked(path: Path, busy: str = "") -> Iterator[None]:
    """Hold a lock file. With `busy`, refuse with that sentence when another process holds it; otherwise wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as held:
            raise refuse(busy) from held
        yield


def no_room(folder: Path, mebibytes: int, what: str, hint: str) -> list[Problem]:
    """The problem that `folder`, which need not exist yet, is on a file system with less room than needed; or none."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free >> 20
    if free >= mebibytes:
        return []
    return [Problem(str(folder), "", f"{what} needs {mebibytes} MiB, and {free} MiB are free", hint)]
