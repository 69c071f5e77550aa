"""The installation medium on blank disks: by hand in both forms, by rules, and the box that comes of it.

Two lives, each told by a fixture:

- `by_hand` (fortimail-100, 9600 baud, the medium a CD): rules that fit two disks are refused; installed on a console.
- `by_rules` (vm-uefi, the medium a stick that brings rules and answers): installed by nobody, set up by the answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.host.log import Steps
from hardware.twin import FACTORY_NET, Drive, DriveBus, ImageFile
from images import emulate, medium
from images.medium import Brought
from images.tools import Tools
from installer.flash import receipt
from tests.machine.conftest import MakeBox
from tests.machine.disk import NO_CHECK, TABLE
from tests.machine.screen import ENTER, ESCAPE, Screen
from tests.machine.test_setup import ANSWERS, SECRETS
from tests.machine.twin import LOGIN, WELCOME, Box, Line

Make = Callable[[str, Brought], Path]


@pytest.fixture(scope="module")
def make(toolbox: Tools, image: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a medium of a profile's image as `build.py medium` does."""

    def made(profile: str, brought: Brought) -> Path:
        target = tmp_path_factory.mktemp("medium") / f"{profile}.iso"
        medium.build(image(profile), profiles.load(profile), brought, target, toolbox, Steps(medium.STEPS))
        return target

    return made


def blank(box: Box, name: str, gib: int) -> ImageFile:
    """A disk with nothing on it."""
    made = ImageFile(box.folder / f"{name}.qcow2", "qcow2")
    box.tools.run("qemu-img", "create", "-q", "-f", "qcow2", made.path, f"{gib}G")
    return made


def left_on(box: Box) -> receipt.Facts:
    """What the receipt on a box's disk says."""
    kept = box.folder / "receipt.json"
    esp = f"{box.raw()}@@{TABLE['esp'].start}"
    box.tools.run("mcopy", "-i", esp, "::/postern/receipt.json", kept, env=NO_CHECK)
    return receipt.verified(kept, json.loads(kept.read_text())["key"])


@dataclass(frozen=True)
class ByHand:
    """What was seen: the refusal of the rules, the list of disks in the full-screen form, the plain form's words."""

    refusal: str
    drawn: str
    overwrite: str
    mistyped: str
    finished: str
    facts: receipt.Facts
    welcome: str


@pytest.fixture(scope="module")
def by_hand(box: MakeBox, make: Make) -> ByHand:
    made = box("fortimail-100")
    made.disk, other = blank(made, "disk", 120), blank(made, "other", 16)
    rules = made.folder / "rules.yaml"
    rules.write_text("format: 1\ndisk: {least_gb: 4}\n")
    iso = Drive(ImageFile(make("fortimail-100", Brought())), DriveBus.CDROM, first=True)
    volume = Drive(emulate.answers_volume(made.tools, made.folder / "volume", None, rules=rules), DriveBus.USB)
    second = Drive(other, DriveBus.OWN, read_only=False)
    with made.on(ports=(FACTORY_NET,), drives=(iso, second, volume)) as line:
        refusal = line.expect(r"installation was not done:[\s\S]*Press Enter to install it")
        screen = Screen(line)
        line.send("full")
        drawn = screen.shows("is the volume POSTERN of this installation")  # a page of its own, being long
        screen.press(ENTER)
        drawn += screen.shows("again +look at the disks again")
        screen.press(ESCAPE)
        screen.shows("Press Enter to install it")
        overwrite, mistyped, finished = typed(line)
        line.send("reboot")
        line.until_off()
    facts = left_on(made)
    with made.on(ports=(FACTORY_NET,), drives=(iso,)) as line:
        line.expect("it goes on in 5 seconds: disk")
        line.expect("Postern: slot A")
        welcome = line.expect(WELCOME)
    return ByHand(refusal, drawn, overwrite, mistyped, finished, facts, welcome)


def typed(line: Line) -> tuple[str, str, str]:
    """The plain form, from the welcome to the last question."""
    line.send("plain")
    line.answer((r"Your choice \[3\]: $", "sda"))
    overwrite = line.expect(r"serial number, disk \[\]: $")
    line.send("drive1")
    mistyped = line.expect(r"serial number, disk \[\]: $")
    line.send("disk")
    return overwrite, mistyped, line.expect(r"Your choice \[1\]: $")


@dataclass(frozen=True)
class ByRules:
    """What was seen: the installation, and the box after its first start from the disk."""

    said: str
    facts: receipt.Facts
    settings: str


@pytest.fixture(scope="module")
def by_rules(box: MakeBox, make: Make) -> ByRules:
    made = box("vm-uefi")
    made.disk = blank(made, "disk", 16)
    files = {name: made.folder / f"{name}.yaml" for name in ("answers", "secrets", "rules")}
    files["answers"].write_text(ANSWERS.format(port=25))
    files["secrets"].write_text(SECRETS)
    files["rules"].write_text("format: 1\ndisk: {bus: virtio, least_gb: 8}\n")
    stick = Drive(ImageFile(make("vm-uefi", Brought(**files))), DriveBus.USB, first=True)
    with made.on(ports=(FACTORY_NET,), drives=(stick,)) as line:
        said = line.expect("it goes on in 5 seconds: install") + line.expect("a key of this run")
        line.until_off()
    facts = left_on(made)
    with made.on(ports=(FACTORY_NET,), drives=(stick,)) as line:
        line.expect("it goes on in 5 seconds: disk")
        line.expect(LOGIN)
        line.log_in()
        settings = line.command("postern settings show")
    return ByRules(said, facts, settings)


def test_rules_that_fit_two_disks_write_none(by_hand: ByHand) -> None:
    assert "install.yaml: disk: 2 disks are left, and exactly one must be: none was written" in by_hand.refusal
    shown = by_hand.refusal.rpartition("installation was not done:")[2]  # the rules' own program has said it before
    assert shown.count(": is left") == 2


def test_disks_are_shown_in_the_full_screen_form(by_hand: ByHand) -> None:
    assert "Install Postern" in by_hand.drawn


def test_nothing_is_written_before_the_serial_number_is_typed(by_hand: ByHand) -> None:
    assert "Everything on /dev/sda will be lost." in by_hand.overwrite
    assert "nothing was written" in by_hand.mistyped
    assert "Written and read back: SHA-256" in by_hand.finished


def test_the_receipt_lies_on_the_disk_and_is_whole(by_hand: ByHand, by_rules: ByRules) -> None:
    for facts, profile in ((by_hand.facts, "fortimail-100"), (by_rules.facts, "vm-uefi")):
        assert facts.profile == profile
        assert facts.read_back_sha256 == facts.image_sha256
    assert by_hand.facts.disk_serial == "disk"


def test_the_box_starts_from_its_disk_with_the_medium_in(by_hand: ByHand) -> None:
    assert "Hardware profile: fortimail-100" in by_hand.welcome


def test_rules_that_fit_one_disk_install_there(by_rules: ByRules) -> None:
    assert "Installing on /dev/vda" in by_rules.said


def test_the_answers_on_the_medium_set_the_box_up(by_rules: ByRules) -> None:
    assert "host_name: mx1" in by_rules.settings
