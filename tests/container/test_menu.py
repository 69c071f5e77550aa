"""The console of a box in service: who it is before the log-in, and the menu behind it, in both forms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest

from tests.container.lab import PASSWORD, Lab
from tests.unit.installer.wizard.terminal import Screen

PATIENCE = 60
PROMPT = r"admin@mx1:[^\r\n]*\$ "
ENTER, TAB = "\r", "\t"


@contextmanager
def console(of: Lab, terminal: str) -> Iterator[pexpect.spawn[str]]:
    """A terminal of the box's own, with what a console of it runs: `script` makes one inside."""
    program = f"stty rows 24 cols 80; TERM={terminal} exec /usr/lib/postern/console"
    argv = [str(word) for word in of.box.command("script", "--quiet", "--return", "--command", program, "/dev/null")]
    child = pexpect.spawn(argv[0], argv[1:], dimensions=(24, 80), encoding="utf-8", timeout=PATIENCE)
    try:
        yield child
    finally:
        child.close(force=True)


def greeting(of: Lab) -> str:
    """What stands before the prompt for a name. `login` hangs its terminal up first, and of a made one that loses what
    nobody has read yet; a serial line or a screen has it by then. So it is asked for until its last line came.
    """
    before = ""
    for _ in range(10):
        with console(of, "dumb") as child:
            child.expect("login: ")
            before = str(child.before)
        if before.count("\n") > 5:  # an empty line, who, three ports, how well
            break
    return before


def log_in(child: pexpect.spawn[str]) -> None:
    """To the shell."""
    child.expect("login: ")
    child.sendline("admin")
    child.expect("Password: ")
    child.sendline(PASSWORD)
    child.expect("Type postern for the menu")
    child.expect(PROMPT)


def test_before_the_log_in_it_says_who_and_how_well(gateway: Lab) -> None:
    before = greeting(gateway)
    assert "mx1.mail.example.org: mail appliance, gateway mode" in before
    assert "port3  172.16.0.1/24" in before
    assert "Its services are well." in before
    for secret in ("0.1.", "ssh", "example.com", "Debian"):  # neither version nor services nor whose mail
        assert secret not in before


def test_plain_lines(gateway: Lab) -> None:
    with console(gateway, "dumb") as child:
        log_in(child)
        talk = [
            (PROMPT, "postern"),
            (r"mx1.mail.example.org: gateway mode[\s\S]*Your choice \[1\]: ", "status"),
            (r"# postern status[\s\S]*Name +mx1.mail.example.org[\s\S]*Press Enter to go on\.", ""),
            (r"== Postern ==[\s\S]*Your choice \[1\]: ", "logs"),
            (r"== Logs ==[\s\S]*Your choice \[1\]: ", "event"),
            (r"# postern log event[\s\S]*Press Enter to go on\.", ""),
            (r"== Logs ==[\s\S]*Your choice \[2\]: ", "system"),
            (r"# postern log system[\s\S]*Press Enter to go on\.", ""),
            (r"== Logs ==[\s\S]*Your choice \[4\]: ", "<"),
            (r"Your choice \[4\]: ", "change"),
            (r"== Change ==[\s\S]*Your choice \[1\]: ", "password"),
            (r"Password \(not shown\)[^\n]*: ", "<"),
            (r"nothing was changed[\s\S]*Press Enter to go on\.", ""),
            (r"== Change ==[\s\S]*Your choice \[4\]: ", "mode"),
            (r"== Mode ==[\s\S]*Your choice \[1\]: ", "server"),
            (r"# postern mode server[\s\S]*It drops:\s+domains\.0\.server: [\s\S]*Type server to go on: ", "no"),
            (r"not confirmed, and nothing was changed[\s\S]*Press Enter to go on\.", ""),
            (r"== Mode ==[\s\S]*Your choice \[3\]: ", ""),
            (r"Type server to go on: ", "\x04"),
            (r"Press Enter to go on\.", ""),
            (r"== Mode ==[\s\S]*Your choice \[3\]: ", "<"),
            (r"== Change ==[\s\S]*Your choice \[2\]: ", "<"),
            (r"Your choice \[5\]: ", "leave"),
        ]
        child.sendline("")
        for prompt, answer in talk:
            child.expect(prompt)
            child.sendline(answer)
        child.expect(PROMPT)


def test_full_screen(gateway: Lab) -> None:
    with console(gateway, "vt220") as child:
        log_in(child)
        child.sendline("postern")
        screen = Screen(child)
        text = screen.wait("To the shell")
        assert "mx1.mail.example.org: gateway mode" in text
        screen.send(ENTER)
        screen.wait("Press Enter to go on")
        screen.send(ENTER)
        screen.wait("To the shell")
        screen.send("c" + ENTER)
        screen.wait("Addresses, and what ports let in")
        screen.send("n" + ENTER)
        assert "192.0.2.10/24" in screen.wait("Network: port1")
        screen.send(TAB + TAB + ENTER)  # from the fields to Back
        screen.wait("nothing was changed[\\s\\S]*Press Enter to go on")
        screen.send(ENTER)
        screen.wait("Addresses, and what ports let in")
        screen.send(TAB + ENTER)
        screen.wait("To the shell")
        screen.send(TAB + ENTER)
        screen.wait("admin@mx1:")


@pytest.mark.parametrize("words", [(), ("menu",)])
def test_without_a_terminal_there_is_no_menu(gateway: Lab, words: tuple[str, ...]) -> None:
    refused = gateway.box.run("postern", *words, check=False)
    assert refused.status == 2
