"""Block devices as values: what lsblk knows of each, with what lies on it and where that is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hardware.host.run import Failed, run

_COLUMNS = (
    *("PATH", "MAJ:MIN", "TYPE", "SIZE", "RO", "LOG-SEC", "MODEL", "SERIAL", "TRAN"),
    *("FSTYPE", "LABEL", "PARTLABEL"),
)


@dataclass(frozen=True)
class Device:
    """A disk, a partition, or what is made of them (`children`). Texts that nobody knows are empty."""

    path: str
    number: str = ""  # as the kernel counts devices, such as 8:16
    kind: str = "disk"  # disk, part, loop, rom, crypt, lvm, raid1, mpath ...
    bytes: int = 0
    read_only: bool = False
    sector_bytes: int = 512
    model: str = ""
    serial: str = ""
    bus: str = ""  # sata, nvme, usb ...
    holds: str = ""  # the file system, or what it is a member of
    label: str = ""
    mounts: tuple[str, ...] = ()
    children: tuple[Device, ...] = field(default=())

    def all(self) -> Iterator[Device]:
        """This one and everything on it."""
        yield self
        for child in self.children:
            yield from child.all()

    @property
    def contents(self) -> str:
        """What is on it, for a person."""
        parts = [one for one in self.all() if one.holds or one.label]
        return ", ".join(f"{one.holds or one.kind}{f' {one.label!r}' if one.label else ''}" for one in parts)


def devices() -> tuple[Device, ...]:
    """Every block device of this machine that lies on no other."""
    try:
        said = _lsblk("MOUNTPOINTS")
    except Failed as failure:
        if "unknown column" not in failure.output:
            raise
        said = _lsblk("MOUNTPOINT")  # util-linux before 2.37, which tells only one of several
    return tuple(_device(row) for row in json.loads(said)["blockdevices"])


def _lsblk(mounts: str) -> str:
    return run(["lsblk", "--json", "--bytes", "--tree", "--output", ",".join((*_COLUMNS, mounts))], timeout=60).stdout


def _device(row: dict[str, Any]) -> Device:
    """From one of lsblk's rows, where null is a text that it does not know."""

    def text(name: str) -> str:
        return str(row.get(name) or "").strip()

    return Device(
        path=text("path"),
        number=text("maj:min"),
        kind=text("type"),
        bytes=int(row.get("size") or 0),
        read_only=bool(row.get("ro")),
        sector_bytes=int(row.get("log-sec") or 512),
        model=text("model"),
        serial=text("serial"),
        bus=text("tran"),
        holds=text("fstype"),
        label=text("label") or text("partlabel"),
        mounts=tuple(filter(None, row.get("mountpoints") or [row.get("mountpoint")])),
        children=tuple(_device(child) for child in row.get("children") or ()),
    )
