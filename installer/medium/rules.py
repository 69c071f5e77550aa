"""`install.yaml`: which disk is written when nobody is there to choose. Exactly one may be left, or none is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hardware.host.documents import Frozen
from hardware.host.errors import Problem, Refused, refuse
from installer.flash.earlier import Earlier
from installer.flash.target import Target

Glob = Annotated[str, Field(min_length=1, description="a text, in which * stands for anything")]
_GIGABYTE = 10**9  # as a disk's label counts


class DiskRules(Frozen):
    """What the disk must be; all that is said must hold. Sizes in powers of ten, as on a disk's label."""

    serial: Glob | None = None
    bus: str | None = Field(None, description="as the list of disks says it: sata, nvme, usb, ata ...")
    by_id: Glob | None = Field(None, description="a name below /dev/disk/by-id")
    least_gb: float | None = Field(None, gt=0)
    most_gb: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _makes_sense(self) -> DiskRules:
        if not self.model_fields_set:
            raise ValueError("is empty; serial: '*' says that any disk will do, if there is but one")
        if self.least_gb and self.most_gb and self.least_gb > self.most_gb:
            raise ValueError(f"no disk has at least {self.least_gb:g} and at most {self.most_gb:g} GB")
        return self

    def against(self, target: Target, by_id: Sequence[str]) -> list[str]:
        """Why this disk is not meant; `by_id` are its names below /dev/disk/by-id."""
        bus = target.device.bus if target.device else ""
        size = target.bytes / _GIGABYTE
        found = []
        if self.serial and not fnmatchcase(target.serial, self.serial):
            found.append(f"its serial number is not {self.serial}")
        if self.bus and bus != self.bus:
            found.append(f"it is on {bus or 'an unknown bus'}, not on {self.bus}")
        if self.by_id and not any(fnmatchcase(name, self.by_id) for name in by_id):
            found.append(f"it has no name {self.by_id} below /dev/disk/by-id")
        if self.least_gb and size < self.least_gb:
            found.append(f"it has less than {self.least_gb:g} GB")
        if self.most_gb and size > self.most_gb:
            found.append(f"it has more than {self.most_gb:g} GB")
        return found


class Finish(StrEnum):
    """What the box does when it is written."""

    REBOOT = "reboot"
    POWER_OFF = "power-off"


class Data(StrEnum):
    """What becomes of settings, mail and keys that an earlier installation left on the disk."""

    KEEP = "keep"
    OVERWRITE = "overwrite"


class Rules(Frozen):
    """The file `install.yaml`."""

    format: Literal[1]
    disk: DiskRules
    data: Data | None = Field(None, description="of an earlier installation; unless it is said, such a disk is refused")
    finish: Finish = Finish.REBOOT

    def keep(self, found: Earlier | None, path: Path) -> bool:
        """Whether an earlier installation's data stays. Raises `Refused` when it cannot, or when nobody said."""
        if not found or self.data is Data.OVERWRITE:
            return False
        if self.data is None:
            what = f"{path} holds {found.data}: nothing was written"
            raise refuse(what, "keep or overwrite says what becomes of them", where="install.yaml", path="data")
        if found.problem:
            what = f"cannot be kept on {path}: {found.problem}; nothing was written"
            raise refuse(what, "save what is on it, then: overwrite", where="install.yaml", path="data")
        return True


def only(rules: DiskRules, targets: Sequence[Target], refused: Mapping[Path, Sequence[str]], root: Path) -> Target:
    """The one disk that the rules mean and nothing speaks against. Raises `Refused` with what is said of each."""
    reasons = {one.path: [*rules.against(one, _names(one.path, root)), *refused[one.path]] for one in targets}
    left = [one for one in targets if not reasons[one.path]]
    if len(left) == 1:
        return left[0]
    what = f"{len(left) or 'no'} disk{'s are' if left else ' is'} left, and exactly one must be: none was written"
    problems = [
        Problem("install.yaml", "disk", what, "say more of the disk" if left else "look at what is said of each")
    ]
    for one in targets:
        why = "; ".join(reasons[one.path]) or "is left"
        problems.append(
            Problem(str(one.path), "", f"serial number {one.serial}, {one.bytes / _GIGABYTE:.1f} GB: {why}")
        )
    raise Refused(problems)


def _names(path: Path, root: Path) -> list[str]:
    folder = root / "dev/disk/by-id"
    return [link.name for link in folder.iterdir() if link.resolve() == path] if folder.is_dir() else []
