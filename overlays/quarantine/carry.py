"""On with a message: by SMTP to Postfix behind the filter, by LMTP into the store. An answer of 250, or it did not
happen."""

from __future__ import annotations

import hashlib
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass

from overlays.quarantine import message
from overlays.quarantine.policy import Kind

ONWARD = ("127.0.0.1", 10026)  # Postfix without filter and header checks: what goes in here is not judged again
STORE = "/run/dovecot/lmtp"
UNDER_WAY = 20  # seconds: when its client died, the store may still be filing what it had got
_PATIENCE = 120.0
_ENDING = 421  # the other side ends the session, whatever it has done


@dataclass(frozen=True)
class Letter:
    """A message with its envelope's sender, empty for a report that nobody must answer."""

    sender: str
    raw: bytes


class NotTaken(Exception):
    """The next hop did not say 250. `final`: it never will. `unheard`: it may have it, and its answer was not heard."""

    def __init__(self, said: str, *, final: bool = False, unheard: bool = False) -> None:
        super().__init__(said)
        self.final = final
        self.unheard = unheard


def onward(letter: Letter, recipients: Sequence[str]) -> dict[str, str]:
    """Hand on to Postfix in one transaction. Returns what was said of each recipient whom it did not take."""
    header = letter.raw.partition(b"\r\n\r\n")[0]
    plain = header.isascii() and all(address.isascii() for address in (letter.sender, *recipients))
    refused: dict[str, str] = {}
    try:
        with smtplib.SMTP(*ONWARD, local_hostname="localhost", timeout=_PATIENCE) as way:
            way.ehlo()
            number = message.queue_id(letter.raw)
            if number and way.has_extn("xforward"):  # only for the logs: it does not matter what is said to it
                way.docmd("XFORWARD", f"IDENT={number}")
            _say(way, "MAIL", f"FROM:<{letter.sender}> BODY=8BITMIME{'' if plain else ' SMTPUTF8'}")
            for recipient in recipients:
                try:
                    _say(way, "RCPT", f"TO:<{recipient}>")
                except NotTaken as failure:
                    refused[recipient] = str(failure)
            if len(refused) < len(recipients):
                _expect(*way.data(letter.raw))
    except (OSError, smtplib.SMTPException, NotTaken) as failure:
        return {recipient: refused.get(recipient, str(failure)) for recipient in recipients}
    return refused


def mark(letter: Letter, recipient: str) -> str:
    """By what a message for this recipient is known again.

    Postfix brings the same bytes each time, and its queue's name for a message is in them; the proxy of transparent
    mode says what its client sent.
    """
    content = message.first(letter.raw, message.CONTENT).encode() or letter.raw
    return hashlib.sha256(recipient.encode("utf-8", "surrogateescape") + b"\0" + content).hexdigest()


def into_store(letter: Letter, owner: str, recipient: str, kind: Kind) -> None:
    """File a message into a mailbox, with what a release needs to know. Raises `NotTaken`."""
    notes = [
        (message.RECIPIENT, recipient),
        (message.SENDER, letter.sender),
        (message.KIND, kind.value),
        (message.FILING, mark(letter, recipient)),
    ]
    sent = False
    try:
        with smtplib.LMTP(STORE, local_hostname="localhost", timeout=_PATIENCE) as way:
            way.ehlo()
            _say(way, "MAIL", f"FROM:<{letter.sender if letter.sender.isascii() else ''}>")
            _say(way, "RCPT", f"TO:<{owner}>")
            sent = True
            # A zero byte is no part of any mail, and ends what the store gives back: it is kept as IMAP would show it.
            _expect(*way.data(message.with_fields(letter.raw, notes).replace(b"\0", b"\x80")))
    except (OSError, smtplib.SMTPException) as failure:
        raise NotTaken(str(failure), unheard=sent) from failure


def _say(way: smtplib.SMTP, verb: str, rest: str) -> None:
    """A command as it is: smtplib's own would read an address and write it anew."""
    way.command_encoding = "utf-8"
    _expect(*way.docmd(verb, rest))


def _expect(code: int, text: bytes) -> None:
    if code != 250:
        said = f"{code} {text.decode(errors='replace')}"
        raise NotTaken(said, final=code >= 500, unheard=code == _ENDING)
