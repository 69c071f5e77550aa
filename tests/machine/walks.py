"""A box set up as people do it: the same settings in plain lines, in the full-screen form, and begun at its screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from overlays.keyboard.settings import LAYOUTS
from tests.machine.glass import ERASE as ERASE_LINE
from tests.machine.glass import Glass
from tests.machine.screen import DOWN, ENTER, ERASE
from tests.machine.twin import PASSWORD, WELCOME

if TYPE_CHECKING:
    from tests.machine.screen import Screen
    from tests.machine.twin import Box, Line

# The answers that every form is given; the port is the protected server's, on the host.
ANSWERS = """
format: 1
mode: gateway
network:
  ports:
    port1: {{addresses: [192.0.2.10/24], allow: [ping, ssh, smtp]}}
    port2: {{addresses: [10.0.0.1/24], allow: [ping, smtp]}}
  gateways: [192.0.2.1]
clock: {{timezone: Europe/Zurich}}
mailhost: {{host_name: mx1, local_domain: mail.example.org}}
domains: [{{name: example.com, server: 192.0.2.25, port: {port}}}]
"""
SECRETS = f"format: 1\nadmin: {{password: {PASSWORD}}}\n"

SCREEN_KEYBOARD = ".hich keyboard is at the box.s screen"  # as far as it can be read there


def begin_at_the_screen(box: Box, line: Line) -> str:
    """The full-screen form as far as a text that is to be seen, then back out of it; the screen with that text."""
    glass = Glass(box, line)
    glass.learn(
        "This box is not set up yet. Press Enter to set it up here (console tty1).",
        "Type plain and Enter for plain lines, full and Enter for the full-screen form.",
        "Type restore and Enter to take a backup from a volume labelled POSTERN instead.",
    )
    glass.answer(("Press Enter to set it up here", "\r"), ("Operation mode", "\r"))
    glass.shows(SCREEN_KEYBOARD)
    glass.press(*["down"] * list(LAYOUTS).index("de"))
    glass.answer(
        ("de +.erman", "\r"),
        (".hoose the pass.ord", f"{PASSWORD}\r"),
        ("The same a.ain", f"{PASSWORD}\r"),
        ("public key .optional.", "yes"),
    )
    typed = glass.shows("public key .optional. +.es")
    glass.press(ERASE_LINE)
    for page in ("public key .optional.[ ?]*$", "empty to keep", SCREEN_KEYBOARD, "Operation mode"):
        glass.answer((f"(?m){page}", "\x1b"))
    line.expect(WELCOME)
    return typed


def by_hand(line: Line, port: int) -> None:
    """The plain form from the welcome to the login prompt: one answer wrong, one page gone back to, the end saved."""
    line.send("plain")
    line.answer(
        (r"not finished, at the page: mode\.[\s\S]*Your choice \[1\]: $", ""),  # begun at the screen
        (r"Your choice \[1\]: $", ""),
        (r"Password \(not shown\): $", PASSWORD),
        (r"The same again \(not shown\): $", PASSWORD),
        (r"SSH public key .*: $", "<"),  # back: the password page again, then on
        (r"Password \(not shown\)[^\n]*: $", PASSWORD),
        (r"The same again \(not shown\): $", PASSWORD),
        (r"SSH public key .*: $", ""),
        (r"port4: [0-9a-f:]{17}, link[\s\S]*Your choice \[5\]: $", ""),
        (r"Addresses \(with prefix\) \[192.168.1.99/24\]: $", "192.0.2.300/24"),
        (r"Allowed services .*: $", ""),
        (r"is not an address[\s\S]*Addresses .*: $", "192.0.2.10/24"),
        (r"Allowed services .*: $", ""),
        (r"port2 ==[\s\S]*Addresses .*: $", "10.0.0.1/24"),
        (r"Allowed services .*: $", ""),
        (r"port3 ==[\s\S]*Addresses .*: $", ""),
        (r"Allowed services .*: $", ""),
        (r"port4 ==[\s\S]*Addresses .*: $", ""),
        (r"Allowed services .*: $", ""),
        (r"More links[\s\S]*Your choice \[2\]: $", ""),
        (r"Default gateway .*: $", "192.0.2.1"),
        (r"Name servers .*: $", ""),
        (r"Time zone .*: $", "Europe/Zurich"),
        (r"NTP servers .*: $", ""),
        (r"Host name .*: $", "mx1"),
        (r"Local domain .*: $", "mail.example.org"),
        (r"Your choice \[\d\]: $", "add"),
        (r"Domain .*: $", "example.com"),
        (r"Its mail server .*: $", "192.0.2.25"),
        (r"Port \[25\]: $", str(port)),
        (r"Verify .*: $", ""),
        (r"Users of example.com[\s\S]*Protocol .*: $", ""),
        *[(rf"{field} .*: $", "") for field in ("Encryption", "Port", "Certificate")],
        (r"Your choice \[\d\]: $", "done"),
        *[(rf"{field} .*: $", "") for field in ("Antispam", "Antivirus", "Spam") * 2],
        (r"Access rules[\s\S]*Your choice \[2\]: $", ""),
        *[(rf"{field} .*: $", "") for field in ("Smart host", "Port", "MX", "Encryption", "Certificate", "User")],
        *[(rf"{field} .*: $", "") for field in ("ACME directory", "Contact")],
        *[(rf"{field} .*: $", "") for field in ("Log server", "Transport", "Port", "Certificate", "Records", "Level")],
        (r"Mail host +mx1.mail.example.org[\s\S]*Your choice \[1\]: $", "save"),
        (r"Save as answer file[\s\S]*Your choice \[1\]: $", "both"),
        (r"written to volume POSTERN[\s\S]*Press Enter to go on: $", ""),
        (r"Mail host +mx1.mail.example.org[\s\S]*Your choice \[1\]: $", "apply"),
        (r"The settings are in force[\s\S]*Your choice \[1\]: $", ""),
    )


def by_screen(screen: Screen, port: int) -> None:
    """The full-screen form from the welcome to the login prompt."""
    screen.press(ENTER)
    screen.answer(
        ("Operation mode", ENTER),
        ("Password .nothing is shown", PASSWORD + ENTER),
        ("The same again", PASSWORD + ENTER),
        ("SSH public key", ENTER),
        ("port1 +[0-9a-f:]{17}, link", ENTER),
        ("Network: port1", ERASE + "192.0.2.10/24" + ENTER),
        ("Network: port2", "10.0.0.1/24" + ENTER),
        ("Network: port3", ENTER),
        ("Network: port4", ENTER),
        ("VLANs, and bonds", ENTER),
        ("beyond the ports", "192.0.2.1" + ENTER),
        ("Clock", ERASE + "Europe/Zurich" + ENTER),
        ("Mail host", "mx1" + DOWN + "mail.example.org" + ENTER),
        ("Add a protected domain", ENTER),
        ("Its mail server", "example.com" + DOWN + "192.0.2.25" + DOWN + ERASE + str(port) + ENTER),
        ("Users of example.com", ENTER),
        (f"example.com +to 192.0.2.25 port {port}", ENTER),
        ("Incoming mail", ENTER),
        ("Outgoing mail", ENTER),
        ("Add a rule", ENTER),
        ("The mail server that takes mail to the world", ENTER),
        ("ACME directory", ENTER),
        ("Log server", ENTER),
        ("Mail host +mx1.mail.example.org", ENTER),
        ("Put these settings in force", ENTER),
        ("The settings are in force", ENTER),
    )


def log_in_at_the_screen(box: Box, line: Line) -> str:
    """The screen after a log-in on a German keyboard. The administrator's session on the line shows what is there."""
    glass = Glass(box, line)
    for prompt, text in (("mx1 login: *$", "admin\r"), ("Password: *$", f"{PASSWORD}\r"), ("admin@mx1:\\S*% *$", "")):
        pattern = re.compile(prompt)
        line.wait_for(lambda: pattern.search(screen_of(line)) is not None, prompt)  # noqa: B023 - called at once
        glass.type_german(text)
    return screen_of(line)


def screen_of(line: Line) -> str:
    """What stands on the screen, by the kernel."""
    # Without the sign at the end of a prompt, which is waited for on the line.
    return line.root("sh -c 'fold -w $(stty size </dev/tty1 | cut -d\\  -f2) /dev/vcs1 | tr $ %'").rstrip()
