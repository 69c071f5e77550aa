"""The installation medium in a box with BIOS and a line of 9600 baud: fortimail-100. One life, told by a fixture.

1. A stick, and rules that fit two disks: refused. Then by hand in the full-screen form.
2. A CD in, the box starts from its disk.
3. A stick, and rules that fit one of the two disks and keep its data; nobody is there.
4. The CD, by hand in the plain form: the data is lost, as the person chooses.

test_medium_uefi.py has the other profile, and a box with settings and mail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from hardware.twin import FACTORY_NET, Drive, DriveBus
from installer.flash import receipt
from tests.machine.conftest import MakeBox
from tests.machine.installing import (
    BLANK,
    INSTALLED,
    REFUSED,
    WELCOME,
    Typed,
    blank,
    by_rules,
    choose,
    data_on,
    in_lines,
    install_anew,
    left_on,
    listed,
    on_screen,
    pick,
    put_in,
    same,
    volume,
    words,
)
from tests.machine.screen import Screen
from tests.machine.twin import WELCOME as BOX

TWO_FIT = "format: 1\ndisk: {least_gb: 4}\n"
ONE_FITS = "format: 1\ndisk: {bus: ata, least_gb: 100}\ndata: keep\n"


@dataclass(frozen=True)
class Life:
    """What was seen, and the receipts that lay on the disk."""

    refusal: str
    drawn: str
    on_screen: Typed
    start: str
    by_rules: str
    same_data: bool
    question: str
    in_lines: Typed
    receipts: tuple[receipt.Facts, ...]
    other_written: bool


@pytest.fixture(scope="module")
def life(box: MakeBox) -> Life:
    made = box("fortimail-100")
    made.disk, other = blank(made, "disk", 120), blank(made, "other", 16)
    untouched = other.path.read_bytes()
    stick, cd = put_in(made)
    two, one = (volume(made, name, install=rules) for name, rules in (("two", TWO_FIT), ("one", ONE_FITS)))
    second = Drive(other, DriveBus.OWN, read_only=False)
    with made.on(ports=(FACTORY_NET,), drives=(stick, second, two)) as line:
        line.expect(BLANK)
        refusal = line.expect(REFUSED)
        line.send("full")
        screen = Screen(line)
        drawn = listed(screen)
        pick(screen, "disk")
        full = on_screen(screen, line, "disk")
    receipts = [left_on(made)]
    with made.on(ports=(FACTORY_NET,), drives=(cd, second)) as line:
        line.expect(INSTALLED)
        line.expect("Postern: slot A")
        start = line.expect(BOX)
    before = data_on(made, "before")
    with made.on(ports=(FACTORY_NET,), drives=(stick, second, one)) as line:
        install_anew(line)
        rules = by_rules(line)
    receipts.append(left_on(made))
    same_data = same(made, before, data_on(made, "after"))
    with made.on(ports=(FACTORY_NET,), drives=(cd, second)) as line:
        install_anew(line)
        line.expect(WELCOME)
        line.send("plain")
        choose(line, "disk")
        question = line.expect(r"Your choice \[1\]: $")
        line.send("overwrite")
        plain = in_lines(line, "disk")
    receipts.append(left_on(made))
    written = other.path.read_bytes() != untouched
    return Life(refusal, drawn, full, start, rules, same_data, question, plain, tuple(receipts), written)


def test_rules_that_fit_two_disks_write_none(life: Life) -> None:
    assert "install.yaml: disk: 2 disks are left, and exactly one must be: none was written" in life.refusal
    shown = life.refusal.rpartition("installation was not done:")[2]  # the rules' own program has said it before
    assert shown.count(": is left") == 2


def test_disks_are_shown_in_the_full_screen_form(life: Life) -> None:
    assert "Install Postern" in life.drawn
    assert "is the volume POSTERN of this installation" in life.drawn
    assert "is an installation medium" in life.drawn


@pytest.mark.parametrize("form", ["on_screen", "in_lines"])
def test_nothing_is_written_before_the_serial_number_is_typed(life: Life, form: str) -> None:
    typed: Typed = getattr(life, form)
    # Which of the two is sda is the kernel's choice.
    assert re.search(r"serial disk, .*Everything on /dev/sd[ab] will be lost[.,]", words(typed.warning))
    assert "nothing was written" in words(typed.mistyped)
    assert "Written and read back: SHA-256" in typed.finished


def test_the_box_starts_from_its_disk_with_the_medium_in(life: Life) -> None:
    assert "Hardware profile: fortimail-100" in life.start


def test_rules_that_fit_one_disk_install_there(life: Life) -> None:
    assert re.search(r"Installing on /dev/sd[ab], serial number disk\.", life.by_rules)


def test_rules_that_keep_the_data_leave_every_byte_of_it(life: Life) -> None:
    assert "the data partition was kept: SHA-256" in words(life.by_rules)
    assert life.same_data


def test_whoever_wants_to_lose_the_data_may(life: Life) -> None:
    told = f"has Postern {life.receipts[0].version} for fortimail-100 with settings and mail of a box that has no name."
    assert told in words(life.question)
    assert "will be lost, settings and mail of a box that has no name too." in words(life.in_lines.warning)


def test_each_installation_left_a_receipt_of_its_own_that_is_whole(life: Life) -> None:
    assert [facts.result for facts in life.receipts] == [receipt.WRITTEN, receipt.KEPT, receipt.WRITTEN]
    assert len({facts.began for facts in life.receipts}) == 3
    for facts in life.receipts:
        assert (facts.profile, facts.disk_serial) == ("fortimail-100", "disk")


def test_the_other_disk_was_never_written(life: Life) -> None:
    assert not life.other_written
