"""The way of a message: to the box by SMTP, and what the journal says became of it."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from hardware.host.errors import refuse
from hardware.host.run import run
from installer.selftest.letters import Letter
from overlays import selftest
from overlays.logs import journal
from overlays.logs.message import Disposition, Message
from overlays.logs.trail import Trail
from overlays.settings import Settings

PROXY = ("127.0.0.1", 10025)
_US = ("127.0.0.1", 0)  # where Postfix and the proxy let the self-test come from
_PATIENCE = 60.0  # seconds for an answer; the filter has half a minute for a message
_ENDS = 30.0  # seconds until a message that was taken has come to its end
_PAUSE = 0.2


@dataclass(frozen=True)
class Sent:
    """What came of a message: the last answer (0: none), and what the box says of the message if it was taken."""

    code: int
    said: str
    seconds: float = 0.0
    seen: Message | None = None
    arrived: bool = True  # where there is a stand-in for the server: it has the message, whole

    @property
    def taken(self) -> bool:
        return self.code == 250

    @property
    def fates(self) -> set[Disposition]:
        return {fate.disposition for fate in self.seen.fates.values()} if self.seen else set()

    @property
    def answer(self) -> str:
        return f"{self.code} {self.said}" if self.code else self.said


class StandIn:
    """aiosmtpd's handler, in place of a protected server: takes everything, and remembers it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        self.got.append(envelope.original_content or b"")
        return "250 2.0.0 taken"


@dataclass
class Way:
    """Where messages are handed in."""

    host: str
    port: int
    stand_in: StandIn | None = field(default=None)

    def send(self, letter: Letter) -> Sent:
        """Hand one in as a stranger would, but for the address that it comes from; and follow it to its end."""
        begin = time.time()
        code, said = self._handed_in(letter)
        seconds = time.time() - begin
        if code != 250:
            return Sent(code, said, seconds)
        arrived = self.stand_in is None or any(letter.body in raw for raw in self.stand_in.got)
        return Sent(code, said, seconds, _followed(letter, begin), arrived)

    def _handed_in(self, letter: Letter) -> tuple[int, str]:
        try:
            with smtplib.SMTP(local_hostname=selftest.DOMAIN, timeout=_PATIENCE, source_address=_US) as line:
                answers = _dialogue(line, self, letter)
                code, text = next((one for one in answers if one[0] >= 400), (250, b""))
        except smtplib.SMTPResponseException as refused:
            code, text = refused.smtp_code, refused.smtp_error if isinstance(refused.smtp_error, bytes) else b""
        except smtplib.SMTPServerDisconnected as failure:
            return 0, f"the connection was closed: {failure}"
        except (OSError, smtplib.SMTPException) as failure:
            return 0, f"no answer: {getattr(failure, 'strerror', None) or failure}"
        return code, " ".join(text.decode(errors="replace").split())


def _dialogue(line: smtplib.SMTP, way: Way, letter: Letter) -> Iterator[tuple[int, bytes]]:
    """Each answer of the box."""
    yield line.connect(way.host, way.port)
    yield line.ehlo()
    yield line.mail("")
    yield line.rcpt(letter.to)
    yield line.data(letter.raw)


@contextmanager
def open_for(settings: Settings) -> Iterator[Way]:
    """The way that strangers' mail takes in this mode."""
    with ExitStack() as stack:
        if not settings.reads_along:
            reached = [address for address in settings.network.allowing("smtp") if address.version == 4]
            yield Way(str(reached[0]) if reached else "127.0.0.1", 25)
            return
        stand_in = StandIn()
        host, port = selftest.STAND_IN
        server = Controller(stand_in, hostname=host, port=port, server_hostname=selftest.DOMAIN)
        try:
            server.start()
        except OSError as failure:
            raise refuse(f"port {port} is in use: {failure.strerror}", "another self-test may run") from failure
        stack.callback(server.stop)
        yield Way(*PROXY, stand_in)


def _followed(letter: Letter, begin: float) -> Message | None:
    """What the journal has of a message, once it has come to its end or will not do so soon."""
    deadline = time.monotonic() + _ENDS
    while True:
        found = _in_journal(letter, begin)
        if (found and found.fates) or time.monotonic() > deadline:
            return found
        time.sleep(_PAUSE)


def _in_journal(letter: Letter, begin: float) -> Message | None:
    done: list[Message] = []
    trail = Trail(done=done.append)
    said = run(journal.command(f"--since=@{int(begin) - 1}", events=False), timeout=60).stdout
    for entry in journal.entries(said.splitlines()):
        trail.take(entry)
    mine = [one for one in (*done, *trail.unfinished()) if one.message_id.strip("<>") == letter.id]
    return mine[-1] if mine else None
