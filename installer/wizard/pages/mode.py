"""The operation mode: asked first, for everything else depends on it."""

from __future__ import annotations

from hardware.profile import HardwareProfile
from installer.wizard.draft import Draft
from installer.wizard.ui import Choice, Head, Ui, Way

MEANING = {
    "gateway": "takes mail for your domains and hands it to their servers",
    "transparent": "sits unseen in the wire before your servers",
    "server": "keeps the mailboxes itself",
}
HELP = """In gateway mode the MX records of your domains point to this box; it checks the mail and passes it on to \
your own mail servers. In server mode they point here as well, and the mailboxes are here too: users read and send by \
this box. In transparent mode nothing points here: the box stands in the cable before your servers and reads along."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for one of the modes that this hardware can run."""
    modes = [mode.value for mode in profile.op_modes]
    choices = [Choice(mode, MEANING.get(mode, mode)) for mode in modes]
    answer = ui.menu(Head("Operation mode", "What is this box to be?", HELP), choices, draft.mode or modes[0])
    return draft.in_mode(answer.value), answer.way
