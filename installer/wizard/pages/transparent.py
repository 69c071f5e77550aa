"""Transparent mode: what becomes of mail while the proxy does not run, of encryption, and of SMTP at each port."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import fill, within
from installer.wizard.draft import Draft
from installer.wizard.typed import Smtp
from installer.wizard.ui import Field, Head, Ui, Way

Ask = Callable[[Ui, Draft, HardwareProfile], tuple[Draft, Way]]

HELP = """Fail: closed refuses mail while the proxy does not run; open lets it through UNSCANNED. Encryption to the \
protected servers: terminate decrypts, scans and encrypts anew with the certificate of this box, which senders that \
verify (MTA-STS, DANE) refuse; pass lets encrypted mail through UNSCANNED; strip offers no encryption, and mail \
travels in the clear. An answer file can choose otherwise for single domains, and for each direction."""
SMTP_HELP = """A connection to a protected domain's server is incoming, every other one is outgoing. proxy reads it \
along and filters it; pass lets it cross the box UNSCANNED; drop lets none cross. Box itself: whether who is at this \
port may send mail to the box's own address."""


def screens(draft: Draft) -> list[tuple[str, Ask]]:
    """The choices for the whole box, then a screen for each port of the bridge."""
    bridged = [name for name, port in draft.ports.items() if not port.addresses]
    return [("transparent", ask), *((f"SMTP at {name}", partial(ask_port, name=name)) for name in bridged)]


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for both choices."""

    def entered(values: tuple[str, ...]) -> Draft:
        fail, starttls = map(str.lower, values)
        return draft.but(fail=fail, starttls=starttls)

    fields = [
        Field("transparent.fail", "Fail", draft.fail, "closed or open"),
        Field("transparent.starttls", "Encryption", draft.starttls, "terminate, pass or strip"),
    ]
    head = Head("Transparent mode", "SMTP that crosses the box is read along by its proxy.", HELP)
    answer = fill(ui, head, fields, lambda values: entered(values).problems(profile, "transparent"))
    return entered(answer.value), answer.way


def ask_port(ui: Ui, draft: Draft, profile: HardwareProfile, name: str) -> tuple[Draft, Way]:
    """Ask what becomes of SMTP connections that begin at one port. The defaults are not written down."""
    path = f"network.ports.{name}.smtp"

    def entered(values: tuple[str, ...]) -> Draft:
        incoming, outgoing, local = map(str.lower, values)
        typed = Smtp(incoming=incoming, outgoing=outgoing, local=local)
        said = typed != Smtp() or name in draft.smtp
        return draft.but(smtp=draft.smtp | {name: typed}) if said else draft

    def check(values: tuple[str, ...]) -> list[Problem]:
        return [one for one in entered(values).problems(profile, "network") if within(one.path, path)]

    now = draft.smtp.get(name, Smtp())
    fields = [
        Field(f"{path}.incoming", "Incoming", now.incoming, "proxy, pass or drop"),
        Field(f"{path}.outgoing", "Outgoing", now.outgoing, "proxy, pass or drop"),
        Field(f"{path}.local", "Box itself", now.local, "yes or no"),
    ]
    head = Head(f"SMTP at {name}", "What becomes of SMTP connections that begin at this port.", SMTP_HELP)
    answer = fill(ui, head, fields, check)
    return entered(answer.value), answer.way
