"""The smart host: who takes mail to the world, and the login there."""

from __future__ import annotations

from hardware.profile import HardwareProfile
from installer.wizard.asking import fill
from installer.wizard.draft import Draft
from installer.wizard.typed import SmartHost
from installer.wizard.ui import Field, Head, Ui, Way
from overlays.smarthost.settings import read_password

HELP = """Without a smart host the box brings mail to the world itself, to the server of each recipient. MX: yes, if \
what you name is a domain whose MX records lead to the smart host. Encryption: verify wants a certificate that is \
valid for the name, encrypt takes any, may goes on in the clear if there is none. Certificate: the name in it, \
where that is another one. If you name a user, the password is asked for; it is stored where \
only the mail server reads it."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the smart host, then for the password if there is a user; back from it leads to the form."""
    while True:
        draft, way = _form(ui, draft, profile)
        if way is Way.BACK or not (draft.smarthost.host and draft.smarthost.user):
            return draft, way
        draft, way = _password(ui, draft)
        if way is Way.NEXT:
            return draft, way


def _form(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    def entered(values: tuple[str, ...]) -> Draft:
        host, port, mx, tls, name, user = values
        typed = SmartHost(host=host.lower(), port=port, mx=mx.lower(), tls=tls.lower(), name=name.lower(), user=user)
        return draft.but(smarthost=typed)

    now = draft.smarthost
    fields = [
        Field("smarthost.host", "Smart host", now.host, "optional"),
        Field("smarthost.port", "Port", now.port),
        Field("smarthost.mx", "MX", now.mx, "yes or no"),
        Field("smarthost.tls", "Encryption", now.tls, "verify, encrypt or may"),
        Field("smarthost.name", "Certificate", now.name, "optional"),
        Field("smarthost.user", "User", now.user, "optional"),
    ]
    head = Head("Smart host", "The mail server that takes mail to the world, if there is one.", HELP)
    answer = fill(ui, head, fields, lambda values: entered(values).problems(profile, "smarthost"))
    return entered(answer.value), answer.way


def _password(ui: Ui, draft: Draft) -> tuple[Draft, Way]:
    """Ask for the password; an empty one keeps what there is."""
    known = draft.has_smarthost_password()
    text = "Leave the password empty to keep what is set." if known else "What the smart host knows the box by."
    problems: tuple[str, ...] = ()
    while True:
        head = Head(f"Password of {draft.smarthost.user}", text, HELP, problems)
        answer = ui.secret(head, "Password")
        if answer.way is Way.BACK or (known and not answer.value):
            return draft, answer.way
        try:
            return draft.but(smarthost_password=read_password(answer.value)), answer.way
        except ValueError as error:
            problems = (f"{error}.".capitalize(),)
