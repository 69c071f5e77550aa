"""A space of its own on the data partition for each kind of data, so that what fills up takes no room from the others.

They are project quotas of ext4. Whoever asks how much is free in a folder is told of its space, so that Postfix's
queue_minfree and journald's own limits hold there. Root may go beyond: settings can be stored on a box that is full.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hardware import sizing
from hardware.host.run import Failed, run
from installer.apply.places import Places

# The folders of each space, below /var; what lies in one of them belongs to no other.
FOLDERS = {
    "queue": ("spool/postfix", "spool/postern-proxy"),
    "mail": ("vmail",),
    "logs": ("log",),
    "rest": ("cache", "home", "lib", "mail", "spool", "tmp"),
}
PROJECTS = {name: number for number, name in enumerate(FOLDERS, 1)}

# linux/fs.h: struct fsxattr, which of its flags hands a folder's project on, and how both are read and set.
_ATTRIBUTES = struct.Struct("=5I8x")
_FLAGS, _PROJECT, _INHERIT = 0, 3, 0x200
_GET, _SET = 0x801C581F, 0x401C5820

_LITTLE = 20  # of so many parts one is free
_THEN = {
    "queue": "when it is full, mail is refused until some has left",
    "mail": "when it is full, mail that belongs here waits in the queue",
    "logs": "the oldest lines go",
    "rest": "when it is full, mail that is to be scanned is put off",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Space:
    """How much room one kind of data has [MiB]."""

    name: str
    mib: int
    free_mib: int

    def __str__(self) -> str:
        return f"{self.name:8} {self.free_mib} of {self.mib} MiB free"


# What a status says of a box that could have spaces and has none.
SHARED = (
    "queue, mail and logs share the data partition, for an older firmware made it "
    "(postern factory-reset --wipe-mail makes it anew)"
)


def prepare(places: Places, say: Say) -> None:
    """Give each kind of data its space, by the size that the partition has today. Where that cannot be (a partition
    made before there were spaces, a container), all share what there is."""
    var = places.root / "var"
    try:
        for name, folders in FOLDERS.items():
            for folder in folders:
                _hand_over(var, var / folder, PROJECTS[name])
        run(["quotaon", "--project", var], check=False)  # ends with 1 when it is on
        run(["setquota", "--project", "--batch", var], stdin=limits(os.statvfs(var)))
    except (OSError, Failed) as failure:
        say(f"queue, mail and logs share the data partition: {failure}")


def limits(disk: os.statvfs_result) -> str:
    """What setquota reads, a line for a space: project, room and files, each as a soft limit (none) and a hard one."""
    reserved = disk.f_bfree - disk.f_bavail
    whole = (disk.f_blocks - reserved) * disk.f_frsize >> 20
    shares = sizing.shares(whole)
    rows = []
    for name, project in PROJECTS.items():
        room = getattr(shares, name)
        rows.append(f"{project} 0 {room << 10} 0 {disk.f_files * room // max(whole, 1)}\n")
    return "".join(rows)


def look(places: Places) -> tuple[Space, ...]:
    """The spaces that there are: none where all share what there is."""
    var = places.root / "var"
    found = []
    for name, (folder, *_) in FOLDERS.items():
        with suppress(OSError):
            if _attributes(var / folder)[_PROJECT] == PROJECTS[name]:
                room = shutil.disk_usage(var / folder)
                found.append(Space(name, room.total >> 20, room.free >> 20))
    return tuple(found)


def problem(space: Space) -> str:
    """What is to be said of a space with little room left; empty when there is enough."""
    if space.free_mib * _LITTLE > space.mib:
        return ""
    return f"little room for {space.name}: {space.free_mib} of {space.mib} MiB are free ({_THEN[space.name]})"


def _hand_over(var: Path, top: Path, project: int) -> None:
    """Have all below a folder count for a project: what is there already (the first start runs beside us), and by the
    folder's own mark what comes."""
    top.mkdir(parents=True, exist_ok=True)
    if _attributes(top)[_PROJECT] == project:
        return
    others = {var / folder for folders in FOLDERS.values() for folder in folders} - {top}
    _assign(top, project)
    for folder, names, found in os.walk(top):
        names[:] = [name for name in names if Path(folder, name) not in others]
        for name in (*names, *found):
            with suppress(FileNotFoundError):  # it has gone meanwhile
                _assign(Path(folder, name), project)


def _assign(path: Path, project: int) -> None:
    if not stat.S_ISREG(mode := path.lstat().st_mode) and not stat.S_ISDIR(mode):
        return  # links and sockets take no room
    words = _attributes(path)
    words[_PROJECT] = project
    if stat.S_ISDIR(mode):
        words[_FLAGS] |= _INHERIT
    with _opened(path) as handle:
        fcntl.ioctl(handle, _SET, _ATTRIBUTES.pack(*words))


def _attributes(path: Path) -> list[int]:
    with _opened(path) as handle:
        return list(_ATTRIBUTES.unpack(fcntl.ioctl(handle, _GET, bytes(_ATTRIBUTES.size))))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield handle
    finally:
        os.close(handle)
