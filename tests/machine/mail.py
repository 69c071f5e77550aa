"""The protected mail server on the host's side of a twin's port: a real SMTP server that keeps what it got."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from email import policy
from email.message import EmailMessage
from types import TracebackType

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

UNKNOWN = "nobody@example.com"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def greets(port: int, seconds: float = 3) -> bool:
    """Does mail service answer? The emulator takes connections long before the box does, and closes them.

    What the fence of a box lets fall is waited for in vain: ask again rather than longer.
    """
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), seconds) as probe:
        return probe.recv(3) == b"220"
    return False


def wait_for(true: Callable[[], object], what: str, said: Callable[[], str] = str, seconds: float = 300) -> None:
    """Ask until the answer is yes; `said` tells what there is to see when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s. {said()}"
        time.sleep(0.05)  # between two questions; nothing announces the answer


def message(subject: str) -> bytes:
    """A small message, as it travels."""
    made = EmailMessage(policy=policy.SMTP)
    made["From"], made["To"], made["Subject"] = "sender@example.net", "someone@example.com", subject
    made["Message-ID"], made["Date"] = f"<{subject.replace(' ', '.')}@example.net>", "Tue, 24 Nov 2026 12:00:00 +0000"
    made.set_content(f"{subject}\n..dots\n")
    return made.as_bytes()


class Server:
    """Accepts mail for everybody but `UNKNOWN`, on a port of 127.0.0.1: the host's address in a twin's net."""

    def __init__(self) -> None:
        self.port = free_port()
        self.door = free_port()  # for a box's own mail service
        self._got: queue.Queue[bytes] = queue.Queue()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, enable_SMTPUTF8=True)

    def __enter__(self) -> Server:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == UNKNOWN:
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd names it
        content = envelope.content
        self._got.put(content if isinstance(content, bytes) else (content or "").encode())
        return "250 2.0.0 OK"

    def received(self, seconds: float) -> bytes:
        """The next message, waited for."""
        return self._got.get(timeout=seconds)

    def all(self) -> list[bytes]:
        """Every message so far that was not asked for yet."""
        found = []
        while not self._got.empty():
            found.append(self._got.get())
        return found
