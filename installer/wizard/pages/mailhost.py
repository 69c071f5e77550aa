"""The mail host: the name that the box gives itself towards other mail servers."""

from __future__ import annotations

from hardware.profile import HardwareProfile
from installer.wizard.asking import fill
from installer.wizard.draft import Draft
from installer.wizard.ui import Field, Head, Ui, Way

HELP = """The full name, host name and local domain together, such as mx1.mail.example.org, is what the box says in \
its greeting. It should have an A record, and the box's public address a PTR record that leads back to it. The local \
domain stands for the box itself: it is not one of the protected domains. Mail comes in at TCP port 25; what users \
need in server mode, such as 465 (SMTP over TLS: submissions) or 110 (pop3), is open where a network port allows it."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for host name and local domain."""

    def entered(values: tuple[str, ...]) -> Draft:
        host_name, local_domain = values
        return draft.but(host_name=host_name.lower(), local_domain=local_domain.lower().rstrip("."))

    fields = [
        Field("mailhost.host_name", "Host name", draft.host_name, "mx1"),
        Field("mailhost.local_domain", "Local domain", draft.local_domain, "mail.example.org"),
    ]
    head = Head("Mail host", "The name of this box. Full name: host name, a dot, local domain.", HELP)
    answer = fill(ui, head, fields, lambda values: entered(values).problems(profile, "mailhost"))
    return entered(answer.value), answer.way
