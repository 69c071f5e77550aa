"""The messages of the self-test."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from enum import StrEnum

from overlays import selftest

# What every spam filter and every virus scanner is to recognise, and harmless. Never whole in a file of ours: a scanner
# of the machine that this lies on would take it for what it stands for.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN" + "*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
EICAR = r"X5O!P%@AP[4\PZX54(P^)7CC)7}" + "$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_TEXT = "This message is part of the self-test of a mail appliance. It is dropped at the end of its way.\n"


class Kind(StrEnum):
    """What a message is to be taken for."""

    CLEAN = "clean"
    SPAM = "spam"
    VIRUS = "virus"


@dataclass(frozen=True)
class Letter:
    """One message: its id without angle brackets, its recipient, and its bytes with CRLF."""

    id: str
    to: str
    raw: bytes

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2].rstrip()


def letter(kind: Kind, to: str) -> Letter:
    """Its sender is in no list of the settings; an id of its own finds it in the logs."""
    number = f"{secrets.token_hex(8)}@{selftest.DOMAIN}"
    made = EmailMessage()
    made["From"] = f"Self-test <{selftest.address(selftest.DOMAIN)}>"
    made["To"] = to
    made["Subject"] = f"Postern self-test: {kind}"
    made["Date"] = formatdate()
    made["Message-ID"] = f"<{number}>"
    made.set_content(f"{_TEXT}\n{GTUBE}\n" if kind is Kind.SPAM else _TEXT)
    if kind is Kind.VIRUS:
        made.add_attachment(EICAR.encode(), maintype="application", subtype="octet-stream", filename="eicar.txt")
    return Letter(number, to, made.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
