"""A protected domain's mail server, with all that the box cannot see of it: whom it knows, what it was asked and given.

It is a program of its own (`serve`), so that it lives in its network and can be ended like any server; what it received
lies in a folder, byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from hardware.host import run
from tests.container.box import until
from tests.container.network import Segment

_LARGEST = 64 << 20
_LONGEST_LINE = 1 << 20
_TLS_FROM_THE_START = 465


@dataclass(frozen=True)
class Message:
    """One message as it arrived."""

    sender: str
    recipients: tuple[str, ...]
    options: tuple[str, ...]  # of MAIL FROM: SMTPUTF8, BODY=8BITMIME, SIZE=...
    tls: bool
    content: bytes
    client: str  # the address that it came from
    user: str  # who was logged in; nobody: empty


class MailServer:
    """The server at an address of a segment; off at first. What it received outlives its being off."""

    def __init__(
        self, segment: Segment, address: str, port: int, folder: Path, certificate: Path | None = None
    ) -> None:
        self.address = address
        self.port = port
        self._segment = segment
        self._folder = folder
        self._certificate = certificate
        self._running = ExitStack()
        folder.mkdir()

    def start(self) -> None:
        """Serve; back when it does."""
        argv = ["ip", "netns", "exec", self._segment.namespace, sys.executable, "-m", "tests.container.mailserver"]
        argv += [self.address, str(self.port), str(self._folder)]
        argv += ["--certificate", str(self._certificate)] if self._certificate else []
        self._running.enter_context(run.spawn(argv, log=self._folder / "log", cwd=Path(__file__).parents[2]))
        until(lambda: self._segment.answers(self.address, self.port), f"{self.address} to serve", self.log)

    def stop(self) -> None:
        self._running.close()

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def let_in(self, user: str, password: str) -> None:
        """From now on nobody sends without this login. At first everybody may."""
        (self._folder / "login").write_text(f"{user}\n{password}", encoding="utf-8")

    def know_only(self, *addresses: str) -> None:
        """Refuse every other recipient with 550. At first it takes all."""
        (self._folder / "known").write_text("\n".join(addresses), encoding="utf-8")

    def know_all(self) -> None:
        """Take every recipient again."""
        (self._folder / "known").unlink(missing_ok=True)

    @property
    def asked(self) -> list[str]:
        """Every recipient that it was asked for, with or without a message."""
        path = self._folder / "asked"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def received(self) -> list[Message]:
        """Everything that it took."""
        return [_read(path) for path in sorted(self._folder.glob("*.json"))]

    def count(self) -> int:
        return len(list(self._folder.glob("*.json")))


def _read(path: Path) -> Message:
    envelope = json.loads(path.read_text(encoding="utf-8"))
    return Message(
        envelope["sender"],
        tuple(envelope["recipients"]),
        tuple(envelope["options"]),
        envelope["tls"],
        path.with_suffix(".eml").read_bytes(),
        envelope["client"],
        envelope["user"],
    )


class _Smtp(SMTP):
    line_length_limit = _LONGEST_LINE  # the box must hand on lines as long as they came


class _Keeper:
    """Answers for recipients, and stores what is accepted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = len(list(folder.glob("*.json")))

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if (self._folder / "login").exists() and not session.authenticated:
            return "530 5.7.0 log in first"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, auth_data: object
    ) -> AuthResult:
        known = (self._folder / "login").read_bytes().splitlines()
        good = isinstance(auth_data, LoginPassword) and [auth_data.login, auth_data.password] == known
        return AuthResult(success=good, handled=False, auth_data=auth_data)

    async def handle_RCPT(  # noqa: N802 - the same
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        with (self._folder / "asked").open("a", encoding="utf-8") as asked:
            asked.write(f"{address}\n")
        known = self._folder / "known"
        if known.exists() and address not in known.read_text(encoding="utf-8").splitlines():
            return "550 5.1.1 nobody of that name here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        self._number += 1
        path = self._folder / f"{self._number:06}"
        content = envelope.original_content or b""
        path.with_suffix(".eml").write_bytes(content)
        described = {
            "sender": (envelope.mail_from or "").removeprefix("<>"),
            "recipients": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "tls": bool(session.ssl or (server.transport and server.transport.get_extra_info("ssl_object"))),
            "user": (session.auth_data or LoginPassword(b"", b"")).login.decode(),
            "client": (session.peer or "nobody")[0],
        }
        unfinished = path.with_suffix(".partial")
        unfinished.write_text(json.dumps(described), encoding="utf-8")
        unfinished.rename(path.with_suffix(".json"))
        return f"250 OK stored as {self._number}"


async def serve(address: str, port: int, folder: Path, certificate: Path | None) -> None:
    """Serve until the process ends. `certificate` is a PEM file with its key; with it STARTTLS is offered."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    from_the_start = port == _TLS_FROM_THE_START
    keeper = _Keeper(folder)
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return _Smtp(
            keeper,
            data_size_limit=_LARGEST,
            enable_SMTPUTF8=True,
            hostname="mail.example.com",
            tls_context=None if from_the_start else context,
            authenticator=keeper.authenticate,
            loop=loop,
        )

    around = context if from_the_start else None
    server = await loop.create_server(session, address, port, reuse_address=True, ssl=around)
    await server.serve_forever()


if __name__ == "__main__":
    _parser = argparse.ArgumentParser()
    _parser.add_argument("address")
    _parser.add_argument("port", type=int)
    _parser.add_argument("folder", type=Path)
    _parser.add_argument("--certificate", type=Path)
    _arguments = _parser.parse_args()
    asyncio.run(serve(_arguments.address, _arguments.port, _arguments.folder, _arguments.certificate))
