"""What stands in the machine whose disk is written. Standard library only: it is sent to other machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hardware.host import disks
from hardware.host.errors import Problem
from hardware.host.run import run
from installer.flash import earlier, mark, target
from installer.flash.earlier import Earlier
from installer.flash.target import Here, Target, Wanted

_DMI = ("sys_vendor", "product_name", "board_name", "board_serial")


@dataclass(frozen=True)
class Machine:
    """Texts by their names in /sys/class/dmi/id, empty where it has none; the addresses of its network cards."""

    dmi: dict[str, str]
    uefi: bool
    macs: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """A target, what is on it, and why it is not written."""

    target: Target
    contents: str
    objections: tuple[Problem, ...]
    earlier: Earlier | None = None


@dataclass(frozen=True)
class Seen:
    """A machine and the targets in it."""

    machine: Machine
    candidates: tuple[Candidate, ...]


def look(path: Path | None, wanted: Wanted) -> Seen:
    """This machine and its target of that name; without a name, all its disks."""
    here = around()
    targets = [target.find(path, here)] if path else [target.of(one) for one in here.devices if one.bytes]
    return Seen(_machine(), tuple(_candidate(one, wanted, here) for one in targets))


def around() -> Here:
    """The devices of this machine, and the files that are loop devices."""
    loops = run(["losetup", "--list", "--noheadings", "--raw", "--output", "BACK-FILE"], timeout=60, check=False).stdout
    return Here(disks.devices(), tuple(Path(line) for line in loops.splitlines()))


def _candidate(one: Target, wanted: Wanted, here: Here) -> Candidate:
    found = earlier.look(one.path, one.bytes, wanted.table)
    told = "; ".join(filter(None, (mark.read(one.path), found.told if found else "")))
    contents = told or (one.device.contents if one.device else "")
    return Candidate(one, contents, tuple(target.objections(one, wanted, here)), found)


def _machine() -> Machine:
    dmi = {name: _text(Path("/sys/class/dmi/id") / name) for name in _DMI}
    macs = {_text(port.with_name("address")) for port in Path("/sys/class/net").glob("*/device")}
    return Machine(dmi, Path("/sys/firmware/efi").is_dir(), tuple(sorted(macs)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
