"""One SMTP session, read along: the client's commands to the server, the server's replies to the client.

The proxy never takes a message over. It holds one back in a file until it is judged, then sends it, and the server's
own final reply is the client's. So a message is in no queue of ours, and none is lost or doubled by us: whoever is cut
off before that reply knows as much as without us.

Three things are the proxy's own: what it does not understand is refused (nothing may pass unread), a message that is
refused or kept is never shown to the server (which is sent RSET), and STARTTLS is what was chosen for the server.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from overlays.transparent import words
from overlays.transparent.content import Content, Decoder
from overlays.transparent.judge import Client, Envelope, Fate, Judge, Unsure, Verdict
from overlays.transparent.server import Server, ServerGone
from overlays.transparent.wire import Gone, Interrupted, TooLong, Wire, join
from overlays.transparent.words import Command, Reply, own

# Nothing may be sent behind these before their reply (RFC 2920, 3.1): if the server refuses one, what was meant as a
# message would be read as commands.
_LAST = frozenset(("EHLO", "HELO", "DATA"))


class Starttls(StrEnum):
    """What becomes of encryption; the settings say it in the operator's words."""

    PASS = "pass"  # noqa: S105 - not a password
    STRIP = "strip"
    TERMINATE = "terminate"


@dataclass(frozen=True)
class Limits:
    """What a session may use. Times in seconds, after RFC 5321, 4.5.3.2."""

    message_bytes: int = 50 * 1024 * 1024
    recipients: int = 1000
    mistakes: int = 20
    command: float = 300
    reply: float = 300
    data_start: float = 120
    data_block: float = 180
    judging: float = 120
    answer: float = 570  # from the client's final dot to our reply: the client waits for ten minutes
    tunnel: float = 1800  # an encrypted session that is passed through and says nothing


@dataclass(frozen=True)
class Rules:
    """What holds for the connections to one server. `certificate` is the box's, `towards_server` verifies nobody."""

    starttls: Starttls
    certificate: ssl.SSLContext | None = None
    towards_server: ssl.SSLContext | None = None


class Over(Exception):
    """The session has come to its end."""


class Dialogue:
    """A session between a client that was picked up and the server that it meant."""

    def __init__(
        self,
        client: Wire,
        connect: Callable[[], Awaitable[Wire]],
        judge: Judge,
        rules: Rules,
        spool: Path,
        name: str,
        limits: Limits = Limits(),
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._connect = connect
        self._judge = judge
        self._rules = rules
        self._spool = spool
        self._name = name
        self._limits = limits
        self._note = note
        self._connected: Server | None = None
        self._who = Client(client.address("peername")[0])
        self._envelope: Envelope | None = None
        self._pipelines = False
        self._messages = 0
        self._mistakes = 0
        self._leaving = False
        self._busy = False  # with a message

    async def run(self) -> None:
        """From the greeting to the end, whichever it is. Both connections are closed then."""
        last = own(421, "4.3.2 Service closing, please try again later")
        try:
            await self._greet()
            while not self._leaving:
                await self._turn()
        except Over:
            last = b""
        except Gone:
            self._note("the client has closed")
            last = b""
        except ServerGone as reason:
            self._note(f"the server {reason}")
            last = own(421, "4.4.2 Connection to the server lost, please try again later")
        except TimeoutError:
            last = own(421, "4.4.2 Timeout exceeded")
        except Interrupted:
            pass
        finally:
            if last:
                with suppress(Gone, TimeoutError):
                    await self._tell(last)
            self._client.close()
            if self._connected:
                self._connected.wire.close()

    def leave(self) -> None:
        """End the session as soon as no message is under way."""
        self._leaving = True
        if not self._busy:
            self._client.interrupt()

    # The two ends

    @property
    def _server(self) -> Server:
        if self._connected is None:
            raise ServerGone("is not connected")
        return self._connected

    async def _greet(self) -> None:
        try:
            self._connected = Server(await self._connect(), self._limits.reply)
        except OSError as error:  # TimeoutError is one
            raise ServerGone(f"cannot be reached: {error}") from error
        await self._repeat(await self._server.reply())

    async def _tell(self, octets: bytes) -> None:
        await self._client.send(octets, self._limits.reply)

    async def _repeat(self, reply: Reply) -> Reply:
        """Tell the client what the server said."""
        await self._tell(reply.raw)
        if reply.code == 421:
            raise Over
        return reply

    async def _refuse(self, code: int, text: str) -> None:
        """A reply of our own to what the server is not asked."""
        self._mistakes += 1
        if self._mistakes > self._limits.mistakes:
            await self._tell(own(421, "4.7.0 Too many errors"))
            raise Over
        await self._tell(own(code, text))

    # The commands

    async def _turn(self) -> None:
        try:
            line = await self._client.line(words.LONGEST_AUTH_LINE, self._limits.command)
        except TooLong:
            return await self._refuse(500, "5.5.2 Line too long")
        command = words.parse_command(line) if words.whole(line) else None
        if command is None:
            return await self._refuse(500, "5.5.2 Not a command in one line that ends in CRLF")
        if len(line) > words.LONGEST_LINE and command.verb != "AUTH":
            return await self._refuse(500, "5.5.2 Line too long")
        if self._client.pending and (command.verb in _LAST or not (self._pipelines or command.verb == "BDAT")):
            await self._tell(own(554, "5.5.0 Commands must wait for their replies here"))
            raise Over
        return await self._HANDLERS.get(command.verb, Dialogue._unknown)(self, command)

    async def _unknown(self, command: Command) -> None:
        await self._refuse(502, f"5.5.1 {command.verb} is not supported")

    async def _pass(self, command: Command) -> None:
        await self._repeat(await self._server.ask(command.line))

    async def _hello(self, command: Command) -> None:
        reply = await self._server.ask(command.line)
        if reply.good:
            self._envelope = None
            self._who = replace(self._who, helo=command.rest.decode("utf-8", "replace"))
            self._pipelines = command.verb == "EHLO" and words.offers(reply, b"PIPELINING")
        if reply.good and command.verb == "EHLO":
            self._server.offers_starttls = words.offers(reply, b"STARTTLS")
            reply = words.offered(reply, self._limits.message_bytes, starttls=self._offers_starttls)
        await self._repeat(reply)

    async def _mail(self, command: Command) -> None:
        sender = words.parse_sender(command.rest)
        if sender is None:
            return await self._refuse(501, "5.5.4 MAIL FROM:<address> is right")
        if self._envelope:
            return await self._refuse(503, "5.5.1 Nested MAIL command")
        if sender.number(b"SIZE") > self._limits.message_bytes:
            return await self._refuse(552, "5.3.4 Message too large")
        if b"BODY=BINARYMIME" in (parameter.upper() for parameter in sender.parameters):
            return await self._refuse(555, "5.5.4 BINARYMIME is not supported")
        if (await self._repeat(await self._server.ask(command.line))).good:
            self._messages += 1
            self._envelope = Envelope(f"{self._name}.{self._messages}", self._who, sender.text)
        return None

    async def _rcpt(self, command: Command) -> None:
        recipient = words.parse_recipient(command.rest)
        if recipient is None or not recipient.path:
            return await self._refuse(501, "5.5.4 RCPT TO:<address> is right")
        envelope = self._envelope
        if envelope is None:
            return await self._refuse(503, "5.5.1 Need MAIL command")
        if len(envelope.recipients) >= self._limits.recipients:
            return await self._tell(own(452, "4.5.3 Too many recipients"))
        group = self._judge.group(recipient)
        if envelope.recipients and envelope.group != group:
            # One message has one verdict and one reply: who is treated otherwise gets a message of their own.
            return await self._tell(own(452, "4.5.3 This recipient in another message, please"))
        if (await self._repeat(await self._server.ask(command.line))).good:
            self._envelope = replace(envelope, recipients=(*envelope.recipients, recipient.text), group=group)
        return None

    async def _rset(self, command: Command) -> None:
        if (await self._repeat(await self._server.ask(command.line))).good:
            self._envelope = None

    async def _auth(self, command: Command) -> None:
        reply = await self._repeat(await self._server.ask(command.line))
        while reply.code == 334:
            try:
                line = await self._client.line(words.LONGEST_AUTH_LINE, self._limits.command)
            except TooLong:
                line = b""
            # An asterisk is the word that ends the exchange.
            reply = await self._repeat(await self._server.ask(line if words.whole(line) else b"*\r\n"))
        self._who = replace(self._who, authenticated=self._who.authenticated or reply.code == 235)

    async def _quit(self, command: Command) -> None:
        try:
            await self._repeat(await self._server.ask(command.line))
        except ServerGone:
            await self._tell(own(221, "2.0.0 Bye"))
        raise Over

    async def _bdat(self, command: Command) -> None:
        """Refused; and what it announces is thrown away, for a message's content must not be read as commands."""
        count = command.rest.split()[0] if command.rest else b""
        left = int(count) if count.isdigit() and len(count) < 20 else -1
        if not 0 <= left <= self._limits.message_bytes:
            await self._tell(own(421, "4.7.0 BDAT is not supported"))
            raise Over
        while left:
            left -= len(await self._client.some(self._limits.data_block, left))
        await self._refuse(502, "5.5.1 BDAT is not supported")

    # Encryption

    @property
    def _offers_starttls(self) -> bool:
        if self._rules.starttls is Starttls.PASS:
            return self._server.offers_starttls
        return self._may_terminate

    @property
    def _may_terminate(self) -> bool:
        return (
            self._rules.starttls is Starttls.TERMINATE
            and self._rules.certificate is not None
            and not self._who.encrypted
        )

    async def _starttls(self, command: Command) -> None:
        if command.rest:
            return await self._refuse(501, "5.5.4 STARTTLS takes no parameters")
        if self._rules.starttls is Starttls.PASS:
            if (await self._repeat(await self._server.ask(command.line))).code == 220:
                await self._tunnel()
        elif self._may_terminate:
            await self._terminate(command)
        else:
            await self._refuse(502, "5.5.1 STARTTLS is not supported")
        return None

    async def _tunnel(self) -> None:
        self._note("encrypted, and not read from here on")
        with suppress(Interrupted, TimeoutError):
            await join(self._client, self._server.wire, self._limits.tunnel)
        raise Over

    async def _terminate(self, command: Command) -> None:
        """Encrypt both sides, the server's where it can. The client's is offered whether the server can or not."""
        if self._client.pending:  # sent before it was encrypted, to be taken for what came after
            await self._tell(own(421, "4.7.0 Nothing may follow STARTTLS"))
            raise Over
        self._client.hold()
        context = self._rules.towards_server if self._server.offers_starttls else None
        if context and (await self._server.ask(command.line)).code == 220:
            await self._server.encrypt(context)
        await self._tell(own(220, "2.0.0 Ready to start TLS"))
        assert self._rules.certificate  # noqa: S101 - `_may_terminate` has looked
        await self._client.encrypt(self._rules.certificate, as_server=True, seconds=self._limits.command)
        self._envelope = None
        self._who = Client(self._who.address, encrypted=True)

    # A message

    async def _data(self, command: Command) -> None:
        if command.rest:
            return await self._refuse(501, "5.5.4 DATA takes no parameters")
        envelope = self._envelope
        if envelope is None:
            return await self._refuse(503, "5.5.1 Need MAIL command")
        if not envelope.recipients:
            return await self._refuse(554, "5.5.1 No valid recipients")
        self._busy = True
        try:
            await self._message(envelope)
        finally:
            self._busy = False
        return None

    async def _message(self, envelope: Envelope) -> None:
        content = Content(self._spool, self._limits.message_bytes)
        try:
            await self._tell(own(354, "End data with <CR><LF>.<CR><LF>"))
            await self._read(content)
            started = time.monotonic()
            fate, answer = await self._settle(envelope, content, started + self._limits.answer)
            self._note(f"{envelope.number}: {_told(envelope, content, fate, answer)}")
            await self._tell(answer)
        finally:
            content.close()
        self._envelope = None
        if answer.startswith(b"421"):
            raise Over

    async def _read(self, content: Content) -> None:
        decoder = Decoder()
        after = None
        while after is None:
            piece, after = decoder.feed(await self._client.some(self._limits.data_block))
            content.add(piece)
        content.complete()
        self._client.give_back(after)

    async def _settle(self, envelope: Envelope, content: Content, deadline: float) -> tuple[Fate, bytes]:
        """What became of a message that was read to its end, and the reply to it."""
        if content.too_large:
            return Fate.REJECT, await self._withhold(own(552, "5.3.4 Message too large"))
        if content.failure:
            self._note(f"{envelope.number}: {content.failure}")
            return Fate.DEFER, await self._withhold(own(452, "4.3.1 Not enough room, please try again later"))
        try:
            async with asyncio.timeout(self._limits.judging):
                verdict = await self._judge.judge(envelope, content)
                self._require_client()
                if verdict.fate is Fate.QUARANTINE:
                    await self._judge.keep(envelope, content, verdict)
        except (Unsure, TimeoutError) as reason:
            self._note(f"{envelope.number}: cannot be judged: {reason or 'it takes too long'}")
            return Fate.DEFER, await self._withhold(own(451, "4.7.1 Cannot be checked now, please try again later"))
        match verdict.fate:
            case Fate.REJECT:
                answer = await self._withhold(own(550, verdict.text or "5.7.1 Message refused"))
            case Fate.DEFER:
                answer = await self._withhold(own(451, verdict.text or "4.7.1 Please try again later"))
            case Fate.QUARANTINE | Fate.DISCARD:
                answer = await self._withhold(own(250, "2.0.0 OK"))
            case Fate.DELIVER:
                answer = await self._deliver(content, verdict, deadline)
        return verdict.fate, answer

    def _require_client(self) -> None:
        """A client that is gone hears no answer and sends its message again: it is not to be delivered twice."""
        if self._client.gone:
            raise Gone

    async def _withhold(self, answer: bytes) -> bytes:
        """The answer, after the server has forgotten the envelope. One that is gone is told of at the next command."""
        try:
            await self._server.forget()
        except ServerGone as reason:
            self._note(f"the server {reason}")
            self._server.wire.abort()
        return answer

    async def _deliver(self, content: Content, verdict: Verdict, deadline: float) -> bytes:
        """Send the message; the server's final reply. Without one the client tries again, and we have kept nothing."""
        try:
            reply = await self._server.ask(b"DATA\r\n", self._limits.data_start)
            if reply.code != 354:
                return await self._withhold(
                    reply.raw if not reply.good else own(451, "4.3.0 The server is out of step")
                )
            pieces = self._while_client_is_there(content.outgoing(verdict.header, verdict.mark))
            return (await self._server.take(pieces, self._limits.data_block, deadline)).raw
        except ServerGone as reason:
            self._note(f"the server {reason}")
            self._server.wire.abort()
            return own(451, "4.4.2 Connection to the server lost, please try again later")
        except Gone:
            self._server.wire.abort()  # before the end of the content, so that it is dropped
            raise

    def _while_client_is_there(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._require_client()
            yield piece

    _HANDLERS = {  # noqa: RUF012 - never changed
        "EHLO": _hello,
        "HELO": _hello,
        "MAIL": _mail,
        "RCPT": _rcpt,
        "DATA": _data,
        "BDAT": _bdat,
        "RSET": _rset,
        "AUTH": _auth,
        "STARTTLS": _starttls,
        "QUIT": _quit,
        "NOOP": _pass,
        "HELP": _pass,
        "VRFY": _pass,
        "EXPN": _pass,
    }


def _told(envelope: Envelope, content: Content, fate: Fate, answer: bytes) -> str:
    """What the journal gets of a message, which the message history is made from."""
    facts = {
        "from": envelope.sender,
        "to": envelope.recipients,
        "message_id": content.field("Message-ID"),
        "subject": content.field("Subject"),
        "fate": fate,
        "answer": answer.decode("utf-8", "replace").strip(),
    }
    return json.dumps(facts)
