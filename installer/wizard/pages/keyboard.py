"""The keyboard of the screen that the setup runs on: asked before anything is typed that nobody sees."""

from __future__ import annotations

from hardware.profile import HardwareProfile
from installer.wizard.draft import Draft
from installer.wizard.ui import Choice, Head, Ui, Way
from overlays.keyboard.settings import LAYOUTS

HELP = """What is written on the keys at the box's screen. It counts there from the next page on, so that the password \
is the one that is meant, and at every start of the box. A terminal on a serial line, SSH and the web have keyboards \
of their own. Without a choice it is English (US)."""


def ask(ui: Ui, draft: Draft, _profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for a layout; a list, because nobody can be asked to type on a keyboard whose layout is wrong."""
    choices = [Choice(code, layout.name) for code, layout in LAYOUTS.items()]
    answer = ui.menu(Head("Keyboard", "Which keyboard is at the box's screen?", HELP), choices, draft.keyboard)
    return draft.but(keyboard=answer.value), answer.way
