"""An installation as it is seen from outside: the medium that is put in, a person before its two forms, and the receipt
that is left on the disk.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hardware.host import run
from hardware.host.log import Steps
from hardware.twin import Drive, DriveBus, ImageFile
from images import emulate, manifest, medium
from images.steps.media import Brought
from installer.flash import receipt
from tests.machine.disk import NO_CHECK, TABLE
from tests.machine.screen import ENTER, ERASE, UP, Screen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.machine.twin import Box, Line

BLANK, INSTALLED = (f"it goes on in 5 seconds: {word}" for word in ("install", "disk"))  # what its boot menu has found
WELCOME = "Press Enter to install it on a disk of this box"
REFUSED = rf"installation was not done:[\s\S]*{WELCOME}"


def blank(box: Box, name: str, gib: int) -> ImageFile:
    """A disk with nothing on it."""
    made = ImageFile(box.folder / f"{name}.qcow2", "qcow2")
    box.tools.run("qemu-img", "create", "-q", "-f", "qcow2", made.path, f"{gib}G")
    return made


def put_in(box: Box, **texts: str) -> tuple[Drive, Drive]:
    """A medium of the box's image, as `build.py medium` makes it, with these files on it (`install`, `answers`,
    `secrets`): a stick, and the same as a CD.
    """
    target = box.folder / "medium.iso"
    medium.build(box.image, box.profile, _brought(box, "medium", texts), target, box.tools, Steps(medium.STEPS))
    stick, cd = (Drive(ImageFile(target), bus, first=True) for bus in (DriveBus.USB, DriveBus.CDROM))
    return stick, cd


def volume(box: Box, name: str, **texts: str) -> Drive:
    """Another stick, labelled POSTERN, with these files on it."""
    files = _brought(box, name, texts)
    made = emulate.answers_volume(box.tools, box.folder / name, files.answers, files.secrets, files.rules)
    return Drive(made, DriveBus.USB)


def _brought(box: Box, name: str, texts: dict[str, str]) -> Brought:
    paths = {word: box.folder / f"{name}-{word}.yaml" for word in texts}
    for word, path in paths.items():
        path.write_text(texts[word])
    return Brought(paths.get("answers"), paths.get("secrets"), paths.get("install"))


def left_on(box: Box) -> receipt.Facts:
    """What the receipt on a box's disk says, which is of the box's image. Raises `Refused` when somebody changed it."""
    esp, kept = box.folder / "esp", box.folder / "receipt.json"
    _cut(box, esp, TABLE["esp"].start, f"size={TABLE['esp'].bytes}")
    kept.unlink(missing_ok=True)
    box.tools.run("mcopy", "-i", esp, "::/postern/receipt.json", kept, env=NO_CHECK)
    facts = receipt.verified(kept, json.loads(kept.read_text())["key"])
    assert facts.image_sha256 == manifest.load(box.image).disk_sha256
    return facts


def data_on(box: Box, name: str) -> Path:
    """A sparse copy of what a box's disk has behind an image's last partition: its data, and the table's own copy."""
    last, target = TABLE.partitions[-1], box.folder / name
    _cut(box, target, last.start + last.bytes)
    return target


def same(box: Box, one: Path, other: Path) -> bool:
    """Whether two sparse files have the same bytes; their holes are not read."""
    done = run.run(box.tools.command("qemu-img", "compare", "-q", "-f", "raw", "-F", "raw", one, other), check=False)
    assert done.status in (0, 1), done.stderr  # 1: they differ
    return done.status == 0


def _cut(box: Box, target: Path, offset: int, *more: str) -> None:
    """A piece of a box's disk. Trap: what is in a backing file only is left out, and these disks have none."""
    assert isinstance(box.disk, ImageFile)
    disk = f"file.driver={box.disk.format},file.file.filename={box.disk.path}"
    piece = ",".join(("driver=raw", f"offset={offset}", *more, disk))
    box.tools.run("qemu-img", "convert", "--image-opts", "-O", "raw", piece, target)


def install_anew(line: Line) -> None:
    """Past the boot menu of a medium that would start the box from its disk."""
    line.expect(INSTALLED)
    line.press("i")


def by_rules(line: Line) -> str:
    """What is said by an installation that nobody leads, to the end."""
    said = line.expect("signed by .*, a key of this run")
    line.until_off()
    return said


@dataclass(frozen=True)
class Typed:
    """What was seen: the warning over the question for the serial number, what another number led to, and the end."""

    warning: str
    mistyped: str
    finished: str


def choose(line: Line, serial: str) -> None:
    """The plain form's list of disks: the one of that serial number."""
    line.expect(rf"(\w+): install on /dev/\w+ \(serial {serial}\)")
    line.answer((r"Your choice \[\d\]: $", line.matched(1)))


def in_lines(line: Line, serial: str) -> Typed:
    """The plain form, from the question for the serial number to the end."""
    asked = rf"serial number, {serial} \[\]: $"
    warning = line.expect(asked)
    line.send("drive1")
    mistyped = line.expect(asked)
    line.send(serial)
    finished = line.expect(r"Your choice \[1\]: $")
    line.send("reboot")
    line.until_off()
    return Typed(warning, mistyped, finished)


def listed(screen: Screen) -> str:
    """All of the full-screen form's list of disks; a long one has pages of its own before the question."""
    drawn = screen.shows(r"1 of \d|again +look")
    if hit := re.search(r"1 of (\d)", drawn):
        for page in range(2, int(hit[1]) + 1):
            screen.press(ENTER)
            drawn += screen.shows(f"{page} of {hit[1]}")
        screen.press(ENTER)
        drawn += screen.shows("again +look")
    return drawn


def pick(screen: Screen, serial: str) -> None:
    """Up to the disk of that serial number, from `again`, which stands below the disks and is chosen at first."""
    disks = re.findall(r"install on /dev/\w+ \(serial (\w+)\)", screen.text)
    screen.press(UP * (len(disks) - disks.index(serial)) + ENTER)


def on_screen(screen: Screen, line: Line, serial: str) -> Typed:
    """The full-screen form, from the question for the serial number to the end."""
    warning = screen.shows("Overwrite this disk")
    screen.press("drive1" + ENTER)
    mistyped = screen.shows("drive1 was typed")
    screen.press(ERASE + serial + ENTER)
    finished = screen.shows("Installed")
    screen.press(ENTER)
    line.until_off()
    return Typed(warning, mistyped, finished)


def words(text: str) -> str:
    """A text that a console has wrapped, or that stands in a frame."""
    return " ".join(text.replace("|", " ").split())
