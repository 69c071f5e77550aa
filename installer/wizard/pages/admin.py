"""The administrator: a password for console and SSH, and optionally an SSH key."""

from __future__ import annotations

from dataclasses import replace

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard import strength
from installer.wizard.asking import fill
from installer.wizard.draft import Draft
from installer.wizard.ui import Field, Head, Ui, Way
from overlays.admin.settings import SHORTEST_PASSWORD

HELP = f"""The administrator's name is admin. The password opens the console and, on ports that allow it, SSH. It has \
at least {SHORTEST_PASSWORD} characters, and takes an attacker who knows what people choose more than a million \
guesses. A few words are easier to remember than symbols. It is never shown and is stored only as a hash."""
KEY_HELP = """One line as in a .pub file, for example: ssh-ed25519 AAAA... name. Paste it, or leave it empty: a key \
can be added later. Several keys are separated by a comma."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the password, then for the keys; back from the keys leads to the password."""
    while True:
        draft, way = _password(ui, draft)
        if way is Way.BACK:
            return draft, way
        draft, way = _keys(ui, draft, profile)
        if way is Way.NEXT:
            return draft, way


def _password(ui: Ui, draft: Draft) -> tuple[Draft, Way]:
    text = "Choose the password of the administrator, whose name is admin."
    if draft.may_keep_password():
        text = "Leave the password empty to keep what is set, or type a new one."
    head = Head("Administrator", text, HELP)
    while True:
        answer = ui.secret(head, "Password", strength.remark)
        if answer.way is Way.BACK or (not answer.value and draft.may_keep_password()):
            return draft, answer.way
        sentence = weakness(answer.value)
        if not sentence:
            return draft.but(password=answer.value), Way.NEXT
        head = replace(head, problems=(sentence,))


def weakness(password: str) -> str:
    """Why a password is too weak, as a sentence that does not repeat it; empty when it will do."""
    if not password:
        return "A password is needed."
    if len(password) < SHORTEST_PASSWORD:
        return f"The password has {len(password)} characters; it needs at least {SHORTEST_PASSWORD}."
    if not password.isprintable():
        return "The password holds a control character, which no login can type."
    return strength.weakness(password)


def _keys(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    def entered(values: tuple[str, ...]) -> Draft:
        return draft.but(keys=tuple(key.strip() for key in values[0].split(",") if key.strip()))

    def check(values: tuple[str, ...]) -> list[Problem]:
        return entered(values).problems(profile, "admin")

    field = Field("admin.keys", "SSH public key", ", ".join(draft.keys), "optional")
    answer = fill(ui, Head("Administrator", "An SSH key opens the box without the password.", KEY_HELP), [field], check)
    return entered(answer.value), answer.way
