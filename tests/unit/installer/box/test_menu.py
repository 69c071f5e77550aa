"""The menu at a real terminal, in both forms; and that what it offers are commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from installer.box import menu, words
from tests.unit.installer.wizard.terminal import NEEDS_DIALOG, Screen, make_root, start

ENTER, DOWN, F1, TAB = "\r", "\x1b[B", "\x1bOP", "\t"
MOST_BYTES = 1920  # 9600 baud carry 960 bytes a second; a page is there in less than two


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = make_root(tmp_path)
    (made / "var").mkdir()
    return made


@pytest.mark.parametrize("entry", [*menu.ENTRIES, *menu.LOGS, *menu.CHANGE, *menu.MODES], ids=lambda entry: entry.name)
def test_each_choice_is_a_command_or_leads_to_some(entry: menu.Entry) -> None:
    if entry.words:
        assert words.parser().parse_args(entry.words).command == entry.words[0]
    else:
        assert entry.below or entry is menu.LEAVE


def test_plain_lines(root: Path) -> None:
    child = start(root, "plain", "box.menubox", TERM="dumb")
    talk = [
        (r"== Postern ==[\s\S]*not set up: no mode, firmware 0.1.0[\s\S]*Your choice \[1\]: ", "?"),
        (r"Each choice is a command of its own,[\s\S]*Your choice \[1\]: ", ""),
        (r"# postern status\s+It ran: status\.\s+Press Enter to go on\.", ""),
        (r"Your choice \[1\]: ", "change"),
        (r"== Change ==[\s\S]*Your choice \[1\]: ", "network"),
        (r"It ran: setup --page network\.\s+Press Enter to go on\.", ""),
        (r"== Change ==[\s\S]*Your choice \[3\]: ", "mode"),
        (r"== Mode ==[\s\S]*2\. transparent: sits unseen[\s\S]*Your choice \[1\]: ", "transparent"),
        (r"# postern mode transparent\s+It ran: mode transparent\.\s+Press Enter to go on\.", ""),
        (r"== Mode ==[\s\S]*Your choice \[2\]: ", "<"),
        (r"== Change ==[\s\S]*Your choice \[2\]: ", "<"),
        (r"== Postern ==[\s\S]*Your choice \[5\]: ", "logs"),
        (r"== Logs ==[\s\S]*Your choice \[1\]: ", "event"),
        (r"It ran: log event --lines 20\.\s+Press Enter to go on\.", ""),
        (r"== Logs ==[\s\S]*Your choice \[2\]: ", "<"),
        (r"== Postern ==[\s\S]*Your choice \[4\]: ", "power"),
        (r"== Power ==[\s\S]*Your choice \[1\]: ", ""),
        (r"== Postern ==[\s\S]*Your choice \[7\]: ", ""),
        (r"== Power ==[\s\S]*Your choice \[1\]: ", "3"),
        (r"# systemctl poweroff\s+It ran: systemctl poweroff\.\s+Press Enter to go on\.", ""),
        (r"== Power ==[\s\S]*Your choice \[3\]: ", "<"),
        (r"Your choice \[7\]: ", "leave"),
    ]
    for prompt, answer in talk:
        child.expect(prompt)
        child.sendline(answer)
    child.expect(r"Back in the shell\.")
    child.expect(pexpect.EOF)


def test_nobody_there_any_more(root: Path) -> None:
    child = start(root, "plain", "box.menubox", TERM="dumb")
    child.expect(r"Your choice \[1\]: ")
    child.sendeof()
    child.expect(r"Back in the shell\.")
    child.expect(pexpect.EOF)


@pytest.fixture
def screen(root: Path) -> Iterator[Screen]:
    child = start(root, "full", "box.menubox")
    yield Screen(child)
    child.close(force=True)


@NEEDS_DIALOG
def test_full_screen(screen: Screen) -> None:
    text = screen.wait("To the shell")
    assert "not set up: no mode, firmware 0.1.0" in text
    for entry in menu.ENTRIES:
        assert f"{entry.name:9}" in text
    assert screen.received < MOST_BYTES
    screen.send(F1)
    screen.wait("Help: Postern")
    screen.send(ENTER)
    screen.wait("To the shell")
    screen.send(DOWN + ENTER)
    screen.wait("It ran: selftest.[\\s\\S]*Press Enter to go on")
    screen.send(ENTER)
    screen.wait("To the shell")
    screen.send("l" + ENTER)
    screen.wait("The lines of the mail services")
    assert screen.received < MOST_BYTES
    screen.send(DOWN + DOWN + ENTER)
    screen.wait("It ran: log mail --lines 20.[\\s\\S]*Press Enter to go on")
    screen.send(ENTER)
    screen.wait("The lines of the mail services")
    screen.send(TAB + ENTER)
    screen.wait("To the shell")
    screen.send(TAB + ENTER)
    screen.wait("Back in the shell")
