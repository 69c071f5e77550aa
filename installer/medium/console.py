"""What a medium's consoles show, and the two ways in: `console TTY` for a person, `unattended` for rules.

The console of a box before its set-up, with another welcome and another thing to do.
"""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

from hardware.host import files
from hardware.host.errors import Refused
from hardware.host.log import clean
from hardware.host.run import Failed
from installer.apply.places import Places
from installer.medium import by_hand, unattended
from installer.medium.work import Medium
from installer.wizard import console
from installer.wizard.console import Console, Found, State, choose
from installer.wizard.turn import holder, turn
from installer.wizard.ui import HungUp

RULES = f"the rules in {unattended.NAME}"


class Installer(Console):
    """One console of a box that was started from a medium."""

    @cached_property
    def medium(self) -> Medium:
        """Kept, for its digests take their time, and a person may come back from the list of disks."""
        return medium(self.places)

    def state(self) -> State:
        return State.WELCOME

    def welcome(self) -> str:
        version = self.places.release.get("IMAGE_VERSION", "")
        profile = self.places.kernel_words.get("postern.profile", "unknown")
        lines = ["", f"Postern {version} installation medium for {profile}", ""]
        if problems := self.problems():
            lines += ["The unattended installation was not done:", problems, ""]
        if other := holder(self.lock):
            return "\n".join([*lines, f"This box is being installed by {other}. This console waits."])
        lines += [f"Press Enter to install it on a disk of this box (console {self.tty})."]
        lines += ["Type plain and Enter for plain lines, full and Enter for the full-screen form."]
        return "\n".join(lines)

    def problems(self) -> str:
        path = self.places.answers_problems
        return path.read_text(errors="replace").strip() if path.exists() else ""

    def wait(self, before: Found) -> str | None:
        """A box before its set-up takes more words than this; here they are as good as any other."""
        word = super().wait(before)
        return word if word in (None, "plain", "full") else ""

    def set_up(self, word: str) -> None:
        """Lead through the installation on this console, if no other one does."""
        with turn(self.lock, f"console {self.tty}") as ours:
            if not ours:
                return
            try:
                by_hand.install(choose(word), self.medium)
            except (Refused, Failed) as failure:
                self.say(clean(str(failure)))
            except HungUp:
                raise SystemExit(0) from None


def main(words: list[str]) -> None:
    """The program on the medium."""
    places = Places(Path("/"))
    if words[:1] == ["unattended"]:
        by_rules(places)
    else:
        console.prepare()
        Installer(words[1] if words[1:] else "console", places).serve()


def medium(places: Places) -> Medium:
    """What this box was started from; the network's says where the image is."""
    return Medium(url=places.kernel_words.get("postern.image", ""))


def by_rules(places: Places) -> None:
    """Install by the rules, if there are any; why not is for the consoles, where a person can go on."""
    with turn(Installer("console", places).lock, RULES) as ours:
        if not ours:
            return
        try:
            rules = unattended.wanted(places)
            if rules:
                unattended.install(rules, medium(places), places, _say)
        except (Refused, Failed) as failure:
            files.write(places.answers_problems, f"{failure}\n")
            _say(str(failure))


def _say(line: str) -> None:
    sys.stdout.write(f"{clean(line)}\n")
    sys.stdout.flush()
