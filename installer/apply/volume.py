"""A volume on which somebody brings files to a box: a stick, a disk of a virtual machine, or a hypervisor's CD."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hardware.host.errors import refuse
from hardware.host.run import Failed, run
from installer.apply.places import Places

LABEL = "POSTERN"
NAME = f"volume {LABEL}"
_KINDS = "vfat,ext4,iso9660"
_MOST_BYTES = 1 << 20


@contextmanager
def labelled(places: Places) -> Iterator[Path | None]:
    """The folder of the volume labelled POSTERN while it is mounted; None when there is none. Raises `Refused`."""
    device = places.root / "dev/disk/by-label" / LABEL
    if not device.exists():
        yield None
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(mounted(places, device, _KINDS))
        except Failed as failed:
            hint = "it must be FAT, ext4 or ISO 9660"
            raise refuse(f"cannot be mounted: {_last_line(failed.output)}", hint, where=NAME) from failed
        yield folder


@contextmanager
def mounted(places: Places, device: Path, kinds: str) -> Iterator[Path]:
    """The folder of a volume to look at. Raises `Failed` when it cannot be mounted."""
    folder = places.run / "media"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    run(["mount", "-t", kinds, "-o", "ro,nosuid,noexec,nodev", device, folder], timeout=60)
    try:
        yield folder
    finally:
        run(["umount", folder], timeout=60)


def read(path: Path, where: str) -> bytes | None:
    """A plain file's bytes: what a stranger's volume holds is neither followed through links nor read without end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}", where=where, path=path.name) from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise refuse("is not a file", where=where, path=path.name)
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise refuse("is larger than 1 MiB", where=where, path=path.name)
    return raw


def text(raw: bytes, where: str, path: str) -> str:
    """The text of a file's bytes. Raises `Refused`."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("cannot be read: is not UTF-8 text", where=where, path=path) from error


def wait_for_devices() -> None:
    """Until udev has named the volumes that were there at the start; a later one makes udev start us again."""
    for argv in (["systemctl", "start", "systemd-udev-trigger.service"], ["udevadm", "settle", "--timeout=30"]):
        try:
            run(argv, timeout=60)
        except Failed:
            return


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")
