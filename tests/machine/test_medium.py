"""The installation medium: by hand in both forms, by rules, over an earlier installation; and the box that comes of it.

Two lives, each told by a fixture:

- `by_hand` (fortimail-100, BIOS, 9600 baud): rules that fit two disks are refused; installed on a console from a stick,
  started from the disk with the medium in as a CD.
- `imported` (vm-uefi): installed by nobody from a CD, set up by the answers beside the rules, given mail; then, with
  the medium as a stick, its rules are refused, for they say nothing of that data, and a person keeps it.
"""

from __future__ import annotations

import json
import re
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
from tests.machine.twin import LOGIN, NET, WELCOME, Box, Line
from tests.machine.walks import ANSWERS, SECRETS

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
    iso = ImageFile(make("fortimail-100", Brought()))
    stick, cd = (Drive(iso, bus, first=True) for bus in (DriveBus.USB, DriveBus.CDROM))
    volume = Drive(emulate.answers_volume(made.tools, made.folder / "volume", None, rules=rules), DriveBus.USB)
    second = Drive(other, DriveBus.OWN, read_only=False)
    with made.on(ports=(FACTORY_NET,), drives=(stick, second, volume)) as line:
        refusal = line.expect(r"installation was not done:[\s\S]*Press Enter to install it")
        screen = Screen(line)
        line.send("full")
        drawn = ""
        for page in (1, 2):  # the list is long
            drawn += screen.shows(f"{page} of 2")
            screen.press(ENTER)
        drawn += screen.shows("again +look at the disks again")
        screen.press(ESCAPE)
        screen.shows("Press Enter to install it")
        overwrite, mistyped, finished = typed(line)
        line.send("reboot")
        line.until_off()
    facts = left_on(made)
    with made.on(ports=(FACTORY_NET,), drives=(cd,)) as line:
        line.expect("it goes on in 5 seconds: disk")
        line.expect("Postern: slot A")
        welcome = line.expect(WELCOME)
    return ByHand(refusal, drawn, overwrite, mistyped, finished, facts, welcome)


def typed(line: Line) -> tuple[str, str, str]:
    """The plain form, from the welcome to the last question."""
    line.send("plain")
    line.expect(r"(sd[a-z]): install on /dev/sd[a-z] \(serial disk\)")
    disk = line.matched(1)
    line.answer((r"Your choice \[3\]: $", disk))
    overwrite = line.expect(r"serial number, disk \[\]: $")
    line.send("drive1")
    mistyped = line.expect(r"serial number, disk \[\]: $")
    line.send("disk")
    return overwrite, mistyped, line.expect(r"Your choice \[1\]: $")


@dataclass(frozen=True)
class Imported:
    """What was seen: the installation by rules and the box that came of it; the one over that, and the box again."""

    by_rules: str
    before: Kept
    refusal: str
    question: str
    warning: str
    finished: str
    facts: receipt.Facts
    after: Kept


@dataclass(frozen=True)
class Kept:
    """What an installation over another one may keep of a box: its mail by the numbers that it has in the queue."""

    settings: str
    identity: str
    mail: list[str]


def kept(line: Line) -> Kept:
    """Ask for all of it at once, and have it on the disk: the power may go."""
    said = line.root("sh -c 'postern settings show; cat /etc/machine-id; mailq; sync'")
    settings, identity, queue = re.split("^([0-9a-f]{32})$", said, maxsplit=1, flags=re.M)
    return Kept(settings, identity, re.findall(r"^([0-9A-Za-z]{6,})[*!]? +\d+ [A-Z]", queue, re.M))


@pytest.fixture(scope="module")
def imported(box: MakeBox, make: Make) -> Imported:
    made = box("vm-uefi")
    made.disk = blank(made, "disk", 16)
    files = {name: made.folder / f"{name}.yaml" for name in ("answers", "secrets", "rules")}
    files["answers"].write_text(ANSWERS.format(port=25))
    files["secrets"].write_text(SECRETS)
    files["rules"].write_text("format: 1\ndisk: {bus: virtio, least_gb: 8}\n")
    iso = ImageFile(make("vm-uefi", Brought(**files)))
    volume = Drive(emulate.answers_volume(made.tools, made.folder / "volume", **files), DriveBus.USB)
    cd, stick = (Drive(iso, bus, first=True) for bus in (DriveBus.CDROM, DriveBus.USB))
    with made.on(ports=(NET,), drives=(cd, volume)) as line:
        by_rules = line.expect("it goes on in 5 seconds: install") + line.expect("a key of this run")
        line.until_off()
    with made.on(ports=(NET,), drives=(cd, volume)) as line:
        line.expect("it goes on in 5 seconds: disk")
        line.expect(LOGIN)
        line.log_in()
        line.command("printf 'Subject: kept\\n\\nkept\\n' | /usr/sbin/sendmail someone@example.com")
        before = kept(line)
    with made.on(ports=(NET,), drives=(stick,)) as line:
        line.expect("it goes on in 5 seconds: disk")
        line.talk.send("i")
        refusal = line.expect(r"installation was not done:[\s\S]*Press Enter to install it")
        line.send("plain")
        line.answer((r"Your choice \[2\]: $", "vda"))
        question = line.expect(r"Your choice \[1\]: $")
        line.send("")
        warning = line.expect(r"serial number, vda \[\]: $")
        line.send("vda")
        finished = line.expect(r"Your choice \[1\]: $")
        line.send("reboot")
        line.until_off()
    facts = left_on(made)
    with made.on(ports=(NET,), drives=(stick,)) as line:
        line.expect("it goes on in 5 seconds: disk")
        line.expect(LOGIN)
        line.log_in()
        return Imported(by_rules, before, refusal, question, warning, finished, facts, kept(line))


def test_rules_that_fit_two_disks_write_none(by_hand: ByHand) -> None:
    assert "install.yaml: disk: 2 disks are left, and exactly one must be: none was written" in by_hand.refusal
    shown = by_hand.refusal.rpartition("installation was not done:")[2]  # the rules' own program has said it before
    assert shown.count(": is left") == 2


def test_disks_are_shown_in_the_full_screen_form(by_hand: ByHand) -> None:
    assert "Install Postern" in by_hand.drawn
    assert "is the volume POSTERN of this installation" in by_hand.drawn
    assert "is an installation medium" in by_hand.drawn


def test_nothing_is_written_before_the_serial_number_is_typed(by_hand: ByHand) -> None:
    # Which of the two is sda is the kernel's choice.
    assert re.search(r"serial disk, [\s\S]*Everything on /dev/sd[ab] will be lost\.", by_hand.overwrite)
    assert "nothing was written" in by_hand.mistyped
    assert "Written and read back: SHA-256" in by_hand.finished


def test_the_receipt_lies_on_the_disk_and_is_whole(by_hand: ByHand, imported: Imported) -> None:
    for facts, profile in ((by_hand.facts, "fortimail-100"), (imported.facts, "vm-uefi")):
        assert facts.profile == profile
        assert facts.read_back_sha256 == facts.image_sha256
    assert by_hand.facts.disk_serial == "disk"


def test_the_box_starts_from_its_disk_with_the_medium_in(by_hand: ByHand) -> None:
    assert "Hardware profile: fortimail-100" in by_hand.welcome


def test_rules_that_fit_one_disk_install_there(imported: Imported) -> None:
    assert "Installing on /dev/vda" in imported.by_rules


def test_the_answers_beside_the_rules_set_the_box_up(imported: Imported) -> None:
    assert "host_name: mx1" in imported.before.settings
    assert len(imported.before.mail) == 1


def test_rules_that_say_nothing_of_the_data_that_is_there_write_nothing(imported: Imported) -> None:
    said = " ".join(imported.refusal.split())
    assert "install.yaml: data: /dev/vda holds settings and mail of mx1.mail.example.org: nothing was written" in said


def test_what_is_on_the_disk_is_told_and_kept_unless_somebody_says_otherwise(imported: Imported) -> None:
    version = imported.facts.version
    told = " ".join(imported.question.split())
    assert f"/dev/vda has Postern {version} for vm-uefi with settings and mail of mx1.mail.example.org." in told
    assert "Its data partition stays" in imported.warning
    assert imported.facts.result == receipt.KEPT
    assert "the data partition was kept" in " ".join(imported.finished.split())


def test_the_box_goes_on_with_its_settings_its_mail_and_its_identity(imported: Imported) -> None:
    assert imported.after == imported.before
