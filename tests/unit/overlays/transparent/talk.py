"""A proxied session on the loopback with both ends in the test's hand: what each says, and what each hears."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from overlays.transparent.content import Content
from overlays.transparent.dialogue import Dialogue
from overlays.transparent.judge import Envelope, Fate, Unsure, Verdict
from overlays.transparent.past import Past
from overlays.transparent.rules import Limits, Rules, Starttls
from overlays.transparent.wire import Wire
from overlays.transparent.words import Address

SOON = 5.0  # seconds: whatever is to come has come by then
QUICK = Limits(message_bytes=100_000, recipients=5, mistakes=4, command=2, reply=2, data_start=2, data_block=2)


class End:
    """One end of the session, by lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def says(self, *lines: str) -> None:
        """Lines without their ends, in one packet."""
        await self.sends("".join(f"{line}\r\n" for line in lines).encode())

    async def sends(self, octets: bytes) -> None:
        self.writer.write(octets)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def line(self) -> str:
        """The next line without its end; empty once the other side has closed."""
        async with asyncio.timeout(SOON):
            with suppress(ConnectionError):
                return (await self._reader.readline()).decode().removesuffix("\r\n")
        return ""

    async def hears(self, *lines: str) -> None:
        for line in lines:
            assert await self.line() == line

    async def hears_code(self, code: int) -> str:
        """A reply of one line with that code."""
        line = await self.line()
        assert line.startswith(f"{code} "), line
        return line

    async def hears_end(self) -> None:
        """Nothing more, and closed."""
        async with asyncio.timeout(SOON):
            with suppress(ConnectionError):
                assert await self._reader.read() == b""

    async def message(self) -> bytes:
        """Content up to its end, as it was sent."""
        got = b""
        async with asyncio.timeout(SOON):
            while not (b"\r\n" + got).endswith(b"\r\n.\r\n"):
                got += await self._reader.readline()
        return got.removesuffix(b".\r\n")

    def hang_up(self) -> None:
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


@dataclass
class FakeJudge:
    """Stands in for scanner and quarantine, which the container lane has: here each verdict is the test's choice."""

    verdict: Verdict = field(default_factory=lambda: Verdict(Fate.DELIVER))
    unsure: bool = False
    keeps: bool = True
    seen: list[Envelope] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    kept: list[tuple[str, ...]] = field(default_factory=list)
    before: Callable[[], Awaitable[object]] | None = None

    def group(self, recipient: Address) -> str:
        return recipient.domain

    async def judge(self, envelope: Envelope, content: Content) -> Verdict:
        self.seen.append(envelope)
        self.contents.append(b"".join(content.blocks()))
        if self.before:
            await self.before()
        if self.unsure:
            raise Unsure("the scanner is away")
        return self.verdict

    async def keep(self, envelope: Envelope, _content: Content, _verdict: Verdict) -> None:
        if not self.keeps:
            raise Unsure("the quarantine is away")
        self.kept.append(envelope.recipients)


@dataclass
class Talk:
    """The session: `client` and `server` are ours, the proxy is between them."""

    client: End
    server: End
    judge: FakeJudge
    dialogue: Dialogue
    running: asyncio.Task[None]
    notes: list[str]

    async def exchange(self, said: str, answer: str) -> None:
        """A command that the server hears as it is, and the client its answer."""
        await self.client.says(said)
        await self.server.hears(said)
        await self.server.says(answer)
        await self.client.hears(answer)

    async def greet(self, *extensions: str) -> list[str]:
        """Up to the reply to EHLO; its extensions as the client sees them."""
        await self.server.says("220 mail.example.com ESMTP")
        await self.client.hears("220 mail.example.com ESMTP")
        await self.client.says("EHLO client.example.net")
        await self.server.hears("EHLO client.example.net")
        lines = ["mail.example.com", *extensions]
        await self.server.says(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")
        shown: list[str] = []
        while not shown or not shown[-1].startswith("250 "):
            shown.append(await self.client.line())
        return [line[4:] for line in shown[1:]]

    async def envelope(self, *recipients: str) -> None:
        await self.exchange("MAIL FROM:<ann@example.net>", "250 2.1.0 sender fine")
        for recipient in recipients or ("bob@example.com",):
            await self.exchange(f"RCPT TO:<{recipient}>", "250 2.1.5 recipient fine")

    async def content(self, content: bytes = b"Subject: hello\r\n\r\nhello\r\n") -> None:
        """DATA and a message, by the client."""
        await self.client.says("DATA")
        await self.client.hears_code(354)
        await self.client.sends(content + b".\r\n")

    async def server_takes(self, answer: str) -> bytes:
        """The server's part of a message's delivery; what it got."""
        await self.server.hears("DATA")
        await self.server.says("354 go ahead")
        got = await self.server.message()
        await self.server.says(answer)
        return got

    async def server_forgets(self) -> None:
        await self.server.hears("RSET")
        await self.server.says("250 2.0.0 forgotten")

    async def until_over(self) -> None:
        async with asyncio.timeout(SOON):
            await self.running


@asynccontextmanager
async def talk(
    spool: Path,
    judge: FakeJudge | None = None,
    starttls: Starttls = Starttls.STRIP,
    limits: Limits = QUICK,
    certificate: ssl.SSLContext | None = None,
    towards_server: ssl.SSLContext | None = None,
    pasts: Path | None = None,
) -> AsyncIterator[Talk]:
    """A session whose client has connected, and whose server was connected to. `pasts` is where his past is asked."""
    loop = asyncio.get_running_loop()
    judge = judge or FakeJudge()
    notes: list[str] = []
    served: asyncio.Future[End] = loop.create_future()

    server = await asyncio.start_server(lambda *ends: served.set_result(End(*ends)), "127.0.0.1", 0, limit=1 << 20)
    proxy = socket.create_server(("127.0.0.1", 0))
    proxy.setblocking(False)

    def connect() -> Wire:
        line = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with suppress(BlockingIOError):
            line.connect(server.sockets[0].getsockname())
        return Wire(line)

    client = End(*await asyncio.open_connection(*proxy.getsockname()))
    picked_up, (address, _) = await loop.sock_accept(proxy)
    rules = Rules(starttls, certificate, towards_server)
    past = Past(address, notes.append, pasts) if pasts else None
    dialogue = Dialogue(Wire(picked_up), address, connect, judge, rules, spool, "test", limits, notes.append, past)
    running = asyncio.create_task(dialogue.run())
    there = await served
    try:
        yield Talk(client, there, judge, dialogue, running, notes)
    finally:
        client.close()
        there.close()
        server.close()
        proxy.close()
        async with asyncio.timeout(SOON):
            await running
