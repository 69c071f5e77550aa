"""The full-screen form on the 80x24 characters that a person sees, drawn by the real dialog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.wizard.dialog import ROWS, _sized
from tests.unit.installer.wizard.terminal import NEEDS_DIALOG, Screen, make_root, start

pytestmark = NEEDS_DIALOG

PASSWORD = "correct horse 7"
TAB, ENTER, ESCAPE, DOWN, F1 = "\t", "\r", "\x1b", "\x1b[B", "\x1bOP"
ERASE = "\x15"  # empties a field


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    child = start(make_root(tmp_path))
    screen = Screen(child)
    screen.wait("Press Enter")
    screen.send(ENTER)
    yield screen
    child.close(force=True)
    assert PASSWORD not in screen.log


def to_port1(screen: Screen) -> None:
    screen.wait("Operation mode")
    screen.send(ENTER)
    screen.wait("Password .nothing is shown")
    screen.send(PASSWORD + ENTER)
    assert "Strength: strong." in screen.wait("The same again")
    screen.send(PASSWORD + ENTER)
    screen.wait("SSH public key")
    screen.send(ENTER)
    screen.wait("its light blinks")
    screen.send(ENTER)
    screen.wait("Network: port1")


def test_from_the_welcome_to_service(screen: Screen) -> None:
    to_port1(screen)
    for port in ("port2", "port3", "port4"):
        screen.send(ENTER)
        screen.wait(f"Network: {port}")
    screen.send(ENTER)
    screen.wait("VLANs, and bonds")
    screen.send(ENTER)
    screen.wait("beyond the ports")
    screen.send("192.168.1.1" + DOWN + "192.168.1.53" + ENTER)
    screen.wait("Clock")
    screen.send(ERASE + "indian" + ENTER)
    screen.wait("time zones match indian")
    screen.send("I" + ENTER)
    screen.wait("Mail host")
    screen.send("mx1" + DOWN + "mail.example.org" + ENTER)
    screen.wait("Add a protected domain")
    screen.send(ENTER)
    screen.wait("Its mail server")
    screen.send("example.com" + DOWN + "192.168.1.25" + ENTER)
    screen.wait("Users of example.com")
    screen.send(ERASE + "imap" + ENTER)
    screen.wait("example.com +to 192.168.1.25 port 25")
    screen.send(ENTER)
    screen.wait("Incoming mail")
    screen.send(F1)
    screen.wait("Help: Incoming mail")
    screen.send(ENTER)
    screen.wait("Messages to the protected domains")
    screen.send(ERASE + "high" + ENTER)
    screen.wait("Messages to everybody else")
    screen.send(ENTER)
    screen.wait("Access rules")
    screen.send(ENTER)
    screen.wait("Smart host")
    screen.send("smart.example.net" + DOWN + ERASE + "587" + ENTER)
    screen.wait("ACME directory")
    screen.send(ENTER)
    screen.wait("Log server")
    screen.send(ENTER)
    text = screen.wait("Review")
    assert "Mail host      mx1.mail.example.org" in text
    assert "password set" in text
    assert "Smart host     smart.example.net port 587" in text
    screen.send(ENTER)
    screen.wait("Put these settings in force")
    screen.send(ENTER)
    screen.wait("The settings are in force")
    screen.send(ENTER)
    screen.wait("the login program")


def test_a_wrong_address_is_said_above_and_stays_in_its_field(screen: Screen) -> None:
    to_port1(screen)
    screen.send(ERASE + "192.0.2.10" + ENTER)
    text = screen.wait("! Addresses: '192.0.2.10' is not an address")
    assert "Addresses (with prefix)" in text
    screen.send(ERASE + "192.0.2.10/24" + ENTER)
    screen.wait("Network: port2")
    screen.send(ESCAPE)
    assert "192.0.2.10/24" in screen.wait("Network: port1")


def test_back_and_help_keep_what_was_typed(screen: Screen) -> None:
    to_port1(screen)
    screen.send(ERASE + "nonsense" + F1)
    screen.wait("Help: Network: port1")
    screen.send(ENTER)
    assert "nonsense" in screen.wait("Port 1 of 4")
    screen.send(TAB + TAB + ENTER)  # the button Back
    screen.wait("its light blinks")
    screen.send(ESCAPE)
    screen.wait("Leave the password empty to keep")
    screen.send(F1)
    screen.wait("Help: Administrator")
    screen.send(ENTER)
    screen.wait("Leave the password empty to keep")
    screen.send(ESCAPE)
    screen.wait("Operation mode")
    screen.send(ENTER)
    screen.wait("Leave the password empty to keep")
    screen.send(ENTER)
    screen.wait("SSH public key")
    screen.send(ENTER)
    screen.wait("its light blinks")
    screen.send(ENTER)
    assert "nonsense" in screen.wait("Port 1 of 4")


def test_passwords_that_differ_are_asked_again(screen: Screen) -> None:
    screen.wait("Operation mode")
    screen.send(ENTER)
    screen.wait("Password .nothing is shown")
    screen.send(PASSWORD + ENTER)
    screen.wait("The same again")
    screen.send("something else" + ENTER)
    screen.wait("The two entries are not the same")


def test_an_interrupt_only_draws_the_page_again(screen: Screen) -> None:
    screen.wait("Operation mode")
    screen.send("\x03")
    screen.wait("Operation mode")
    screen.send(ENTER)
    screen.wait("Password .nothing is shown")


def test_a_page_is_plain(screen: Screen) -> None:
    to_port1(screen)
    assert not re.search(r"\x1b\[([0-9]+;)*[34][0-7]m", screen.log), "colours"
    assert "\x0e" not in screen.log  # no line-drawing characters


def test_typed_options_are_values(screen: Screen) -> None:
    to_port1(screen)
    screen.send(ERASE + "--yesno" + ENTER)
    assert "--yesno " in screen.wait("! Addresses: '--yesno' is not an address")


def test_a_terminal_that_dialog_cannot_use_gets_plain_lines(tmp_path: Path) -> None:
    child = start(make_root(tmp_path), TERM="unheard-of")
    child.expect("Press Enter")
    child.sendline("full")
    child.expect("The full-screen form does not work here")
    child.expect("== Operation mode ==")
    child.close(force=True)


@pytest.mark.parametrize(("lines", "rows"), [(1, 1), (3, 60), (10, 8), (12, 3)])
def test_a_box_never_outgrows_the_screen(lines: int, rows: int) -> None:
    text, height, _, shown = _sized("word " * 14 * lines, rows)
    assert len(text.splitlines()) == lines
    assert int(height) <= ROWS
    assert 1 <= int(shown) <= rows
