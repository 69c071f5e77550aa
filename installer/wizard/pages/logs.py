"""The log server: who gets a copy of the box's records, which, and how."""

from __future__ import annotations

from hardware.profile import HardwareProfile
from installer.wizard.asking import fill, spaced
from installer.wizard.draft import Draft
from installer.wizard.typed import LogServer
from installer.wizard.ui import Field, Head, Ui, Way

HELP = """All records stay on the box for a while; a log server gets a copy, by syslog. Transport: tls cannot be read \
or forged on its way, and wants a certificate that is valid for the name (Certificate: the name in it, where that is \
another one); tcp and udp can. Records: history (a line a message and recipient), event (what the system and its \
administrators did), antispam, antivirus. Level: what matters less is not sent; emergency, alert, critical, error, \
warning, notification, information."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the server."""

    def entered(values: tuple[str, ...]) -> Draft:
        host, transport, port, name, types, level = map(str.lower, values)
        typed = LogServer(host=host, transport=transport, port=port, name=name, types=spaced(types), level=level)
        return draft.but(log_server=typed)

    path, now = "logs.server", draft.log_server
    fields = [
        Field(f"{path}.host", "Log server", now.host, "optional"),
        Field(f"{path}.transport", "Transport", now.transport, "tls, tcp or udp"),
        Field(f"{path}.port", "Port", now.port, "empty: the usual one"),
        Field(f"{path}.name", "Certificate", now.name, "optional"),
        Field(f"{path}.types", "Records", now.types),
        Field(f"{path}.level", "Level", now.level, "and what matters more"),
    ]
    head = Head("Log server", "Another machine that keeps a copy of the box's records, if there is one.", HELP)
    answer = fill(ui, head, fields, lambda values: entered(values).problems(profile, "logs"))
    return entered(answer.value), answer.way
