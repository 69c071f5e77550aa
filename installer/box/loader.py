"""`postern loader-password`: who may change something in the boot loader's menu on the console."""

from __future__ import annotations

import argparse
import getpass
import hashlib
import secrets
import sys

from hardware.host import files
from hardware.host.errors import refuse
from installer.apply.pipeline import BUSY
from installer.apply.places import Places
from installer.update import slots

USER = "admin"  # GRUB asks for a name as well
_LEAST = 8
_ROUNDS = 10000  # GRUB's own default: it counts them without the processor's help
# The file as an image has it (images/bootloader/password.cfg), and with a password.
_OPEN = "set superusers=nobody\nexport superusers\nfunction allowed { true; }\n"
_CLOSED = (
    "set superusers={user}\nexport superusers\npassword_pbkdf2 {user} {hash}\n"
    "function allowed {{ authenticate {user}; }}\n"
)


def main(places: Places, arguments: argparse.Namespace) -> None:
    """Set the password, or take it away. Raises `Refused`."""
    if slots.booted(places.root) is None:
        raise refuse("there is no boot loader here: this box was not started by one")
    text = _OPEN if arguments.remove else _CLOSED.format(user=USER, hash=hidden(_asked()))
    with files.locked(places.lock, busy=BUSY), slots.environment_block(places.root) as block:
        if not block.with_name("menu.cfg").exists():  # an update replaces a slot, and leaves the boot loader as it is
            raise refuse("this box's boot loader is older than its menu", "an installation that keeps data renews it")
        files.write(block.with_name("password.cfg"), text)
    print(
        "Whoever is at the console may use the menu."
        if arguments.remove
        else f"The menu asks for {USER}'s password before it changes anything."
    )


def hidden(password: str, salt: bytes | None = None) -> str:
    """A password as GRUB knows it (grub-mkpasswd-pbkdf2)."""
    salt = salt or secrets.token_bytes(64)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS, 64)
    return f"grub.pbkdf2.sha512.{_ROUNDS}.{salt.hex().upper()}.{made.hex().upper()}"


def _asked() -> str:
    """The password: typed twice at a terminal, or one line of a pipe."""
    if sys.stdin.isatty():
        typed = getpass.getpass("Password of the boot loader's menu: ")
        if getpass.getpass("Once more: ") != typed:
            raise refuse("these were two different passwords, and nothing was changed")
    else:
        typed = sys.stdin.readline().rstrip("\n")
    if len(typed) < _LEAST or not typed.isascii() or not typed.isprintable():
        raise refuse(f"it needs {_LEAST} characters or more, of those that every keyboard has", "nothing was changed")
    return typed
