"""Transparent mode: what becomes of mail while the proxy does not run, and of encryption."""

from __future__ import annotations

from hardware.profile import HardwareProfile
from installer.wizard.asking import fill
from installer.wizard.draft import Draft
from installer.wizard.ui import Field, Head, Ui, Way

HELP = """Fail: closed refuses mail while the proxy does not run; open lets it through UNSCANNED. Encryption to the \
protected servers: terminate decrypts, scans and encrypts anew with the certificate of this box, which senders that \
verify (MTA-STS, DANE) refuse; pass lets encrypted mail through UNSCANNED; strip offers no encryption, and mail \
travels in the clear. An answer file can choose otherwise for single domains, and for each port and direction."""


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
