"""Which disk is overwritten, and every reason why it is not, as far as its machine can tell.

Standard library only: it is sent to other machines.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hardware.host import files
from hardware.host.disks import Device
from hardware.host.errors import Problem

_SECTOR = 512
_TYPED = 4  # so many characters of the serial number
_WHOLE = ("disk", "loop")
_MEMBERS = {
    "linux_raid_member": "a RAID",
    "isw_raid_member": "a RAID",
    "ddf_raid_member": "a RAID",
    "LVM2_member": "an LVM volume group",
    "zfs_member": "a ZFS pool",
    "bcache": "a cache",
    "mpath_member": "a multipath device",
    "drbd": "a DRBD device",
}
_RUNNING = ("/", "/usr", "/boot", "/var", "/efi", "/boot/efi")
_MEDIUM = "POSTERN-INSTALL"  # the label of what a box is installed from


@dataclass(frozen=True)
class Here:
    """What is known of this machine: its devices, and which files are loop devices."""

    devices: tuple[Device, ...] = ()
    loops: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What is to be written: so many bytes, and their partition table in hexadecimal; `folder` is where the image lies,
    if that is on the same machine.
    """

    bytes: int
    folder: Path | None = None
    table: str = ""


@dataclass(frozen=True)
class Target:
    """What is to be overwritten: a block device, or a file, which stands for a disk."""

    path: Path
    device: Device | None = None
    bytes: int = 0

    @property
    def serial(self) -> str:
        """Its serial number; what has none goes by its name."""
        return self.device.serial if self.device and self.device.serial else self.path.name

    @property
    def word(self) -> str:
        """What an operator types to open the door."""
        return self.serial[-_TYPED:]


def of(device: Device) -> Target:
    """The target that a device is."""
    return Target(Path(device.path), device, device.bytes)


def find(path: Path, here: Here) -> Target:
    """The target of that name, which may be a link below /dev/disk; it need not be one that can be written."""
    real = path.resolve()
    for top in here.devices:
        for device in top.all():
            if device.path == str(real):
                return of(device)
    return Target(real, None, real.stat().st_size if real.is_file() else 0)


def objections(target: Target, wanted: Wanted, here: Here) -> list[Problem]:
    """Every reason not to write to this target; none opens the door."""
    reasons = _of_device(target.device, wanted) if target.device else _of_file(target, wanted, here)
    found = [Problem(str(target.path), "", message, hint) for message, hint in reasons]
    if target.bytes < wanted.bytes and (target.device or target.bytes):
        size = f"{target.bytes >> 20} MiB, and the image has {wanted.bytes >> 20}" if target.bytes else "0 MiB"
        hint = "take a larger one" if target.bytes else "put a medium in"
        found.append(Problem(str(target.path), "", f"is too small: it has {size}", hint))
    return found


Reason = tuple[str, str]


def _of_device(device: Device, wanted: Wanted) -> Iterator[Reason]:
    if device.kind == "part":
        yield "is a partition", "the image has partitions of its own: name the whole disk"
    elif device.kind not in _WHOLE:
        yield f"is no disk, but {device.kind}", "name a whole disk"
    if device.read_only:
        yield "is read-only", "look for a write-protect switch"
    if device.sector_bytes != _SECTOR:
        yield f"has sectors of {device.sector_bytes} bytes, and the image is for 512", "set the disk to 512, if it can"
    if any(one.label == _MEDIUM for one in device.all()):
        yield "is an installation medium", "name the disk that the box will start from"
        return
    mounts = [place for one in device.all() for place in one.mounts]
    if not set(_RUNNING).isdisjoint(mounts):
        yield "holds the running system", "start this machine from another disk"
    for one in device.all():
        named = "" if one is device else f"{one.path} "
        for place in one.mounts:
            if place == "[SWAP]":
                yield f"{named}is in use as swap", f"swapoff {one.path}"
            elif place not in _RUNNING:
                yield f"{named}is mounted on {place}", f"umount {place}"
        if one.holds in _MEMBERS:
            yield f"{named}is a member of {_MEMBERS[one.holds]}", f"take it out first; then wipefs --all {one.path}"
        if one.kind not in (*_WHOLE, "part") and one is not device:
            yield f"{one.path} ({one.kind}) is made of it", "close it first"
    if wanted.folder and _number(wanted.folder) in {one.number for one in device.all()}:
        yield "holds the image that is to be written", "copy the image to another disk"
    if not mounts and not device.read_only and device.bytes:
        yield from _is_held(device.path)


def _is_held(path: str) -> Iterator[Reason]:
    """The kernel's own word: who opens it for himself alone fails while somebody else has done so."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_EXCL))
    except PermissionError:
        yield "may not be written by you", "start it again with sudo"
    except OSError as error:
        yield f"cannot be opened: {error.strerror}", "end what uses it"


def _of_file(target: Target, wanted: Wanted, here: Here) -> Iterator[Reason]:
    path = target.path
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir() or Path("/dev") in path.parents:
            yield "does not exist", "./build.py flash IMAGE lists the disks"
        else:
            for problem in files.no_room(path.parent, wanted.bytes >> 20, "the image", "name another folder"):
                yield problem.message, problem.hint
        return
    except OSError as error:
        yield f"cannot be looked at: {error.strerror}", "./build.py flash IMAGE lists the disks"
        return
    if not stat.S_ISREG(mode):
        yield f"is no disk and no file, but {_KINDS.get(stat.S_IFMT(mode), 'a device')}", "name a whole disk"
        return
    if not os.access(path, os.W_OK):
        yield "is read-only", "name another file"
    if path in here.loops:
        yield "is in use by a loop device", "losetup --detach it, or name that device"
    if wanted.folder and wanted.folder.resolve() == path.parent:
        yield "is in the image's own folder", "name another file"
    if path.stat().st_nlink > 1:
        yield "has more names than this one", "copy it first"
    with suppress(OSError), path.open("rb") as file:
        if file.read(4) == b"QFI\xfb":
            yield "is a qcow2 file, and a raw one is written", "name another file"


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device that lsblk does not know",
}


def _number(path: Path) -> str:
    device = path.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"
