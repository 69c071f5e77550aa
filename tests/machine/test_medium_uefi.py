"""The installation medium in a box with UEFI, and over a box in service: vm-uefi. One life, told by a fixture.

1. A CD, and on a volume rules and answers; nobody is there.
2. The CD still in, the box starts from its disk, the answers set it up, and it is given mail.
3. A stick with rules that say nothing of its data: refused. Then by hand in the plain form, and the data is kept.
4. The same stick, by hand in the full-screen form: to lose the data is begun and left, then it is kept.
5. The stick still in, the box starts from its disk, and has all that it had.

test_medium.py has the other profile, and rules that keep the data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

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
    in_lines,
    install_anew,
    left_on,
    listed,
    on_screen,
    pick,
    put_in,
    volume,
    words,
)
from tests.machine.screen import DOWN, ENTER, ESCAPE, Screen
from tests.machine.twin import LOGIN, Line
from tests.machine.walks import ANSWERS, SECRETS

RULES = "format: 1\ndisk: {bus: virtio, least_gb: 8}\n"


@dataclass(frozen=True)
class Kept:
    """What an installation over another one may keep of a box: its mail by the numbers that it has in the queue."""

    settings: str
    identity: str
    mail: list[str]


@dataclass(frozen=True)
class Life:
    """What was seen, the receipts that lay on the disk, and what the box had before it was installed anew and after."""

    by_rules: str
    before: Kept
    refusal: str
    question: str
    in_lines: Typed
    loss: str
    on_screen: Typed
    receipts: tuple[receipt.Facts, ...]
    after: Kept


@pytest.fixture(scope="module")
def life(box: MakeBox) -> Life:
    made = box("vm-uefi")
    made.disk = blank(made, "disk", 16)
    stick, cd = put_in(made, install=RULES)
    brought = volume(made, "brought", install=RULES, answers=ANSWERS.format(port=25), secrets=SECRETS)
    with made.on(drives=(cd, brought)) as line:
        line.expect(BLANK)
        rules = by_rules(line)
    receipts = [left_on(made)]
    with made.on(drives=(cd, brought)) as line:
        started(line)
        line.command("printf 'Subject: kept\\n\\nkept\\n' | /usr/sbin/sendmail someone@example.com")
        before = kept(line)
    with made.on(drives=(stick,)) as line:
        install_anew(line)
        refusal = line.expect(REFUSED)
        line.send("plain")
        choose(line, "vda")
        question = line.expect(r"Your choice \[1\]: $")
        line.send("")
        plain = in_lines(line, "vda")
    receipts.append(left_on(made))
    with made.on(drives=(stick,)) as line:
        install_anew(line)
        line.expect(WELCOME)
        line.send("full")
        screen = Screen(line)
        loss = nearly_lost(screen)
        full = on_screen(screen, line, "vda")
    receipts.append(left_on(made))
    with made.on(drives=(stick,)) as line:
        started(line)
        return Life(rules, before, refusal, question, plain, loss, full, tuple(receipts), kept(line))


def started(line: Line) -> None:
    """From the boot menu of the medium, where nobody presses a key, to the shell of the box on the disk."""
    line.expect(INSTALLED)
    line.expect(LOGIN)
    line.log_in()


def nearly_lost(screen: Screen) -> str:
    """From the list of disks: to lose the data is chosen, and given up at its warning; then it is kept. The warning."""
    listed(screen)
    pick(screen, "vda")
    screen.answer(("Keep what this box has", DOWN + ENTER))
    loss = screen.shows("Overwrite this disk")
    screen.press(ESCAPE)
    listed(screen)
    pick(screen, "vda")
    screen.answer(("Keep what this box has", ENTER))
    return loss


def kept(line: Line) -> Kept:
    """Ask for all of it at once, and have it on the disk: the power may go."""
    said = line.root("sh -c 'postern settings show; cat /etc/machine-id; mailq; sync'")
    settings, identity, queue = re.split("^([0-9a-f]{32})$", said, maxsplit=1, flags=re.M)
    return Kept(settings, identity, re.findall(r"^([0-9A-Za-z]{6,})[*!]? +\d+ [A-Z]", queue, re.M))


def test_rules_install_on_a_blank_disk(life: Life) -> None:
    assert "Installing on /dev/vda" in life.by_rules


def test_the_answers_beside_the_rules_set_the_box_up(life: Life) -> None:
    assert "host_name: mx1" in life.before.settings
    assert len(life.before.mail) == 1


def test_rules_that_say_nothing_of_the_data_that_is_there_write_nothing(life: Life) -> None:
    said = words(life.refusal)
    assert "install.yaml: data: /dev/vda holds settings and mail of mx1.mail.example.org: nothing was written" in said


def test_what_is_on_the_disk_is_told_and_what_would_be_lost(life: Life) -> None:
    told = (
        f"/dev/vda has Postern {life.receipts[0].version} for vm-uefi with settings and mail of mx1.mail.example.org."
    )
    assert told in words(life.question)
    assert "Everything on /dev/vda will be lost, settings and mail of mx1.mail.example.org too." in words(life.loss)


@pytest.mark.parametrize("form", ["in_lines", "on_screen"])
def test_it_is_kept_in_either_form(life: Life, form: str) -> None:
    typed: Typed = getattr(life, form)
    assert "Its data partition stays: settings and mail of mx1.mail.example.org." in words(typed.warning)
    assert "vda is asked for; nothing was written" in words(typed.mistyped)
    assert "the data partition was kept" in words(typed.finished)


def test_each_installation_left_a_receipt_of_its_own_that_is_whole(life: Life) -> None:
    assert [facts.result for facts in life.receipts] == [receipt.WRITTEN, receipt.KEPT, receipt.KEPT]
    assert len({facts.began for facts in life.receipts}) == 3
    for facts in life.receipts:
        assert facts.profile == "vm-uefi"


def test_the_box_goes_on_with_its_settings_its_mail_and_its_identity(life: Life) -> None:
    assert life.after == life.before
