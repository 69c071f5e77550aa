"""The medium and the disks before it: what both ways of installing do."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hardware import profile as profiles
from hardware.host import files
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.log import Steps
from hardware.host.run import Failed, run
from installer.apply.volume import LABEL
from installer.flash import image, order, write
from installer.flash.image import Image
from installer.flash.order import Shown
from installer.flash.place import Here
from installer.flash.receipt import Receipt
from installer.flash.target import Target
from installer.medium.rules import Finish
from installer.wizard.console import Lines

MEDIUM = Path("/run/medium")
_RECEIPT = Path("postern/receipt.json")
_SECONDS_BETWEEN_LINES = 10.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Disk:
    """A disk of this box, as it is shown; an empty `row.problems` means that it can be written."""

    target: Target
    row: Shown


class Medium:
    """What is on the medium, looked at when it is asked for: the digests take their time."""

    def __init__(self, folder: Path = MEDIUM, url: str = "") -> None:
        self._folder, self._url, self._place = folder / "image", url, Here()

    @property
    def from_network(self) -> bool:
        return bool(self._url)

    @cached_property
    def image(self) -> Image:
        if self._url:  # the network may not be there yet; if it never is, `reached` says what is not
            wait = ("/usr/lib/systemd/systemd-networkd-wait-online", "--any", "--operational-state=routable")
            with suppress(Failed):  # or it does not end at all, on a busy box
                run([*wait, "--timeout=120"], timeout=150)
        return image.load(self._folder, self._url).reached()

    def disks(self) -> list[Disk]:
        """Every disk of this box, with what is on it and why it is refused."""
        seen = self._place.look(None, self.image)
        rows = order.shown(seen, profiles.load(self.image.manifest.profile), self._place)
        every = (Disk(one.target, row) for one, row in zip(seen.candidates, rows, strict=True))
        return [_but_volumes(one) for one in every if one.target.device and one.target.device.kind == "disk"]

    def install(self, chosen: Target, say: Say, *, keep: bool) -> Receipt:
        """Write the disk, and leave the receipt on it; `keep` the data that an earlier installation left there. Raises
        `Refused` when it is another disk by now.
        """
        seen = self._place.look(chosen.path, self.image)
        if problems := [one for candidate in seen.candidates for one in candidate.objections]:
            raise Refused(problems)
        now = seen.candidates[0].target
        if now.serial != chosen.serial:
            raise refuse(f"is another disk now: {now.serial}, and it was {chosen.serial}", where=str(chosen.path))
        receipt = order.flash(self.image, now, seen.machine, self._place, Slowly(write.STEPS, say), keep=keep)
        text = json.dumps(receipt.model_dump(mode="json"), indent=1)
        with _esp(chosen.path) as esp:
            files.write(esp / _RECEIPT, f"{text}\n")
        return receipt


def _but_volumes(disk: Disk) -> Disk:
    """What somebody brought answers and rules on is no disk of this box."""
    if not disk.target.device or all(one.label != LABEL for one in disk.target.device.all()):
        return disk
    problem = Problem(disk.row.path, "", f"is the volume {LABEL} of this installation")
    return replace(disk, row=replace(disk.row, problems=(*disk.row.problems, problem)))


class Slowly(Steps):
    """Steps as plain lines, on a console that may have 9600 baud: how far it is now and then."""

    def __init__(self, total: int, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(total, Lines(say))
        self._say, self._clock, self._said = say, clock, clock()

    def progress(self, text: str) -> None:
        if self._clock() - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = self._clock()
            self._say(f"    {text}")


def lines(receipt: Receipt) -> list[str]:
    """A receipt for a person: what was written where, and the key that says so."""
    facts = receipt.facts
    return [
        f"Postern {facts.version} for {facts.profile} is on {facts.disk} (serial {facts.disk_serial or 'unknown'}).",
        f"{facts.result.capitalize()}: SHA-256 {facts.image_sha256}",
        f"From {facts.began} to {facts.ended} by this box's clock",
        f"Receipt: {_RECEIPT} on its EFI partition, signed by {receipt.key}, a key of this run",
    ]


def finish(how: Finish) -> None:
    """Start again, or switch off. Does not return: what a console would say next nobody needs to read."""
    run(["systemctl", "reboot" if how is Finish.REBOOT else "poweroff"], timeout=120)
    signal.pause()


@contextmanager
def _esp(disk: Path) -> Iterator[Path]:
    """The EFI partition of a disk that was just written, while it is mounted."""
    esp = _partition(disk, "esp")
    folder = Path("/run/postern/esp")
    folder.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "vfat", "-o", "rw,nosuid,nodev,noexec,umask=0077,quiet", esp, folder], timeout=60)
    try:
        yield folder
    finally:
        run(["umount", folder], timeout=60)


def _partition(disk: Path, name: str) -> str:
    """A partition of a disk that was just written. udev reads such a disk too, and has it to itself meanwhile."""
    said = ""
    for _ in range(5):
        run(["udevadm", "settle", "--timeout=30"], timeout=60)
        run(["blockdev", "--rereadpt", disk], timeout=60, check=False)
        run(["udevadm", "settle", "--timeout=30"], timeout=60)
        said = run(["lsblk", "--noheadings", "--raw", "--output", "PATH,PARTLABEL", disk], timeout=60).stdout
        for row in map(str.split, said.splitlines()):
            if row[1:] == [name]:
                return row[0]
    raise Failed(["lsblk", str(disk)], 0, f"no partition named {name} among:\n{said}")
