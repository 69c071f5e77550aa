"""`postern` on a terminal: what an administrator does, by choosing from lists. It does nothing that no command does.

Each choice runs the command that stands beside it, as if it had been typed, and comes back here when it has ended.
"""

from __future__ import annotations

import sys
import termios
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hardware.host import run
from hardware.host.errors import refuse
from hardware.host.log import act
from hardware.parts import OperationMode
from installer.apply.places import Places
from installer.box import caller, log, status
from installer.wizard.dialog import Unusable
from installer.wizard.pages.mode import MEANING
from installer.wizard.plain import PlainUi
from installer.wizard.ui import Choice, Head, HungUp, Ui, Way

HELP = """Each choice is a command of its own, named over what it prints; `postern COMMAND --help` says the rest. \
Leave ends the menu, and `postern` brings it back."""
SYSTEMCTL = "systemctl"
LINES = "20"  # of a log: what one screen shows

Command = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Entry:
    """A choice: the words of the command that it stands for, or what lies below it, or neither for the way back."""

    name: str
    label: str
    words: tuple[str, ...] = ()
    below: tuple[Entry, ...] = ()


LOGS = (
    Entry("history", "Each message and what became of it", ("log", "history", "--lines", LINES)),
    Entry("event", "What was done to the box, and by whom", ("log", "event", "--lines", LINES)),
    Entry("mail", "The lines of the mail services", ("log", "mail", "--lines", LINES)),
    Entry("system", "The lines of the rest", ("log", "system", "--lines", LINES)),
)
MODES = tuple(Entry(mode.value, MEANING[mode.value], ("mode", mode.value)) for mode in OperationMode)
CHANGE = (
    Entry("setup", "All settings again, page by page", ("setup",)),
    Entry("mode", "Another operation mode, and what it would drop", below=MODES),
    Entry("network", "Addresses, and what ports let in", ("setup", "--page", "network")),
    Entry("password", "The administrator's password and key", ("setup", "--page", "administrator")),
    Entry("restore", "Settings and keys from a backup", ("restore",)),
    Entry("reset", "Back to the state before set-up", ("factory-reset",)),
)
POWER = (
    Entry("neither", "Stay on"),
    Entry("reboot", "Start again", (SYSTEMCTL, "reboot")),
    Entry("poweroff", "Shut down", (SYSTEMCTL, "poweroff")),
)
LEAVE = Entry("leave", "To the shell")
ENTRIES = (
    Entry("status", "All of what it is and does", ("status",)),
    Entry("selftest", "Send it a clean message, spam and a virus", ("selftest",)),
    Entry("preflight", "What would keep mail from flowing", ("preflight",)),
    Entry("logs", "What became of mail", below=LOGS),
    Entry("change", "Settings, mode, network, password, reset", below=CHANGE),
    Entry("backup", "Settings and keys into one file", ("backup",)),
    Entry("power", "Start again, or shut down", below=POWER),
    LEAVE,
)


def main(places: Places, *, plain: bool) -> None:
    """The menu on this terminal, until it is left. Raises `Refused` without one."""
    from installer.box import cli
    from installer.wizard.console import choose

    if not sys.stdin.isatty():
        raise refuse("the menu needs a terminal", "`postern --help` lists the commands")
    form = ["--plain"] if plain else []

    def command(words: Sequence[str]) -> int:
        match words:
            case ("systemctl", *_):
                act(f"{caller.name() or 'root'} runs: {' '.join(words)}")
                return run.run(words, timeout=120).status
            case ("log", part, *_) if part in log.PARTS:  # the command becomes journalctl, and we would be gone
                return run.attach(log.command(places, part, follow=False, since=None, lines=int(LINES))).status
            case ("setup", *_):
                return cli.main([*words, *form], places.root)
        return cli.main(words, places.root)

    with suppress(HungUp):
        Menu(choose("plain" if plain else ""), places, command).serve()


@dataclass
class Menu:
    """The lists and what they run."""

    ui: Ui
    places: Places
    command: Command

    def serve(self, title: str = "Postern", entries: Sequence[Entry] = ENTRIES) -> None:
        """Ask until the person goes back, or leaves."""
        chosen = entries[0]
        while True:
            text = self._state() if entries is ENTRIES else ""
            name = self._menu(Head(title, text, HELP), entries, chosen.name)
            chosen = next((one for one in entries if one.name == name), LEAVE)
            if not (chosen.words or chosen.below):
                return
            if chosen.below:
                self.serve(chosen.name.capitalize(), chosen.below)
            else:
                self._run(chosen.words)

    def _menu(self, head: Head, entries: Sequence[Entry], chosen: str) -> str:
        """The name of what was chosen; empty for back."""
        choices = [Choice(one.name, one.label) for one in entries]
        try:
            answer = self.ui.menu(head, choices, chosen)
        except Unusable as reason:
            self.ui = PlainUi()
            self.ui.say(f"The full-screen form does not work here ({reason}); plain lines do.")
            answer = self.ui.menu(head, choices, chosen)
        return "" if answer.way is Way.BACK else answer.value

    def _run(self, words: Sequence[str]) -> None:
        self.ui.say(f"\n# {' '.join(words if words[0] == SYSTEMCTL else ('postern', *words))}")
        self.command(words)
        with suppress(termios.error, ValueError):  # what was typed meanwhile was not meant for us
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
        self.ui.say("\nPress Enter to go on.")
        if not sys.stdin.readline():
            raise HungUp

    def _state(self) -> str:
        """The box in a few lines: who it is, and what is not well."""
        now = status.look(self.places)
        waiting = sum(now.queue.values())
        lines = [
            f"{now.name or 'not set up'}: {now.mode or 'no'} mode, firmware {now.version}",
            "  ".join(f"{port.name} {' '.join(port.addresses)}" for port in now.ports if port.addresses),
            f"{waiting} in the queue, {now.quarantine.messages} in quarantine, {now.disk_free_mib} MiB free",
        ]
        wrong = [f"{unit} is {state}" for unit, state in now.services.items() if state == "failed"]
        wrong += now.problems
        health = "All is well." if not wrong else f"{len(wrong)} things to look at: status names them."
        return "\n".join([*filter(None, lines), health])
