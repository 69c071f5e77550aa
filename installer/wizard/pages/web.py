"""The certificate that web and mail server show: by ACME, or the box's own."""

from __future__ import annotations

from hardware.profile import HardwareProfile
from installer.wizard.asking import fill
from installer.wizard.draft import Draft
from installer.wizard.typed import Acme
from installer.wizard.ui import Field, Head, Ui, Way

HELP = """Without a directory the box shows a certificate that it made itself, or the one that the settings hold. With \
one it asks that authority for a certificate for its name, and for another in time. The authority looks for the box by \
that name at TCP port 80: a port has to allow http. Example: https://acme-v02.api.letsencrypt.org/directory. Contact: \
whom the authority may write to. `postern certificate import` takes one that was bought."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the authority."""

    def entered(values: tuple[str, ...]) -> Draft:
        directory, contact = values
        return draft.but(acme=Acme(directory=directory, contact=contact))

    fields = [
        Field("web.acme.directory", "ACME directory", draft.acme.directory, "https://..., optional"),
        Field("web.acme.contact", "Contact", draft.acme.contact, "mail address, optional"),
    ]
    head = Head("Certificate", "An authority that gives the box its certificate over the net, if there is one.", HELP)
    answer = fill(ui, head, fields, lambda values: entered(values).problems(profile, "web"))
    return entered(answer.value), answer.way
