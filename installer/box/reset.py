"""`postern factory-reset`: the box before its set-up, with the mail on it kept or wiped."""

from __future__ import annotations

import argparse
import shutil
import sys

from hardware.host import files, run
from hardware.host.errors import refuse
from installer.apply.pipeline import BUSY
from installer.apply.places import Places
from installer.update import slots

# The boot loader reads and clears it, and adds systemd.factory_reset=yes once: systemd-repart then makes /var anew.
REQUEST = {"RESET": "data"}
WORD = "reset"


def main(places: Places, arguments: argparse.Namespace) -> None:
    """Ask what was not said, then do it and start again. Raises `Refused`."""
    wipe = arguments.wipe_mail or not (arguments.keep_mail or _keeps_mail())
    if wipe and slots.booted(places.root) is None:
        raise refuse("the mail cannot be wiped here: this box was not started by its boot loader", "--keep-mail works")
    if not arguments.yes:
        _confirm(wipe)
    if wipe:
        ask_boot_loader(places)
    else:
        forget(places)
    print("Starting again.", flush=True)
    run.run(["systemctl", "reboot"], timeout=120)


def forget(places: Places) -> None:
    """Remove what makes this box this box: settings first, so that a power cut leaves no settings without keys."""
    with files.locked(places.lock, busy=BUSY):
        (places.state / "current").unlink(missing_ok=True)
        files.sync(places.state)
        places.wizard_draft.unlink(missing_ok=True)
        for folder in (places.state / "generations", places.state / "saved", places.device, places.acme):
            if folder.exists():
                shutil.rmtree(folder)
        files.sync(places.state)


def ask_boot_loader(places: Places) -> None:
    """Tell the boot loader to have the data partition made anew at the next start."""
    with files.locked(places.lock, busy=BUSY), slots.environment_block(places.root) as block:
        slots.update(block, places.grubenv_copy, REQUEST)


def _keeps_mail() -> bool:
    if not sys.stdin.isatty():
        raise refuse("say what becomes of the mail", "--keep-mail or --wipe-mail")
    while True:
        answer = input("Keep the mail that waits in the queue, and the logs? [yes/no] ").strip().lower()
        if answer in ("yes", "no"):
            return answer == "yes"


def _confirm(wipe: bool) -> None:
    if not sys.stdin.isatty():
        raise refuse("a reset has to be confirmed", "--yes does it without a terminal")
    lost = "Everything on the data partition, all mail in the queue included," if wipe else "All settings and keys"
    print(f"{lost} will be lost, and the box starts again as it came. It answers on 192.168.1.99 then.")
    if input(f"Type {WORD} to go on: ").strip() != WORD:
        raise refuse("not confirmed, and nothing was changed")
