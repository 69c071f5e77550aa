"""One SMTP session, read along: the client's commands to the server, the server's replies to the client.

A message is held back until it is judged (message.py); the server's own final reply to it is the client's.

Three things are the proxy's own: what it does not understand is refused (nothing may pass unread), a message that is
refused or kept is never shown to the server (which is sent RSET), and STARTTLS is what was chosen for the server.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from overlays.transparent import words
from overlays.transparent.judge import Client, Envelope, Judge
from overlays.transparent.message import Message
from overlays.transparent.past import Past
from overlays.transparent.rules import Limits, Rules, Starttls
from overlays.transparent.server import Server, ServerGone
from overlays.transparent.wire import Gone, Interrupted, TooLong, Wire, join
from overlays.transparent.words import Command, Reply, own

# Nothing may be sent behind these before their reply (RFC 2920, 3.1): if the server refuses one, what was meant as a
# message would be read as commands.
_LAST = frozenset(("EHLO", "HELO", "DATA"))

_LATER = 4  # the first digit of a reply that says neither yes nor no


class Over(Exception):
    """The session has come to its end, and this is the last that the client hears."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


class Dialogue:
    """A session between a client that was picked up and the server that it meant."""

    def __init__(
        self,
        client: Wire,
        address: str,
        connect: Callable[[], Wire],
        judge: Judge,
        rules: Rules,
        spool: Path,
        name: str,
        limits: Limits,
        note: Callable[[str], None],
        past: Past | None = None,
    ) -> None:
        self._client = client
        self._connect = connect
        self._judge = judge
        self._rules = rules
        self._spool = spool
        self._name = name
        self._limits = limits
        self._note = note
        self._past = past
        self._connected: Server | None = None
        self._who = Client(address)
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
        except Over as over:
            last = over.last
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
            self._client.close(last)
            if self._connected:
                self._connected.wire.close()
            if self._past:
                self._past.close()

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
            self._connected = Server(self._connect(), self._limits.reply)
        except OSError as error:
            raise ServerGone(f"cannot be reached: {error}") from error
        try:
            greeting = await self._server.reply()
        except ServerGone as reason:
            if self._connected.wire.failure:
                raise ServerGone(f"cannot be reached: {self._connected.wire.failure}") from reason
            raise
        await self._repeat(greeting)

    async def _tell(self, octets: bytes) -> None:
        await self._client.send(octets, self._limits.reply)

    async def _repeat(self, reply: Reply) -> Reply:
        """Tell the client what the server said."""
        if reply.code == 421:
            raise Over(reply.raw)
        await self._tell(reply.raw)
        return reply

    async def _refuse(self, code: int, text: str) -> None:
        """A reply of our own to what the server is not asked."""
        self._mistakes += 1
        if self._mistakes > self._limits.mistakes:
            raise Over(own(421, "4.7.0 Too many errors"))
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
        stranger = None if self._who.authenticated else self._past
        if stranger and (refusal := await stranger.refusal(envelope.number)):
            return await self._refuse(*refusal)
        reply = await self._repeat(await self._server.ask(command.line))
        if stranger and reply.code // 100 != _LATER:
            await stranger.heard(known=reply.good)
        if reply.good:
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
            last = (await self._server.ask(command.line)).raw
        except ServerGone:
            last = own(221, "2.0.0 Bye")
        raise Over(last)

    async def _bdat(self, command: Command) -> None:
        """Refused; and what it announces is thrown away, for a message's content must not be read as commands."""
        count = command.rest.split()[0] if command.rest else b""
        left = int(count) if count.isdigit() and len(count) < 20 else -1
        if not 0 <= left <= self._limits.message_bytes:
            raise Over(own(421, "4.7.0 BDAT is not supported"))
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
            raise Over(own(421, "4.7.0 Nothing may follow STARTTLS"))
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
        message = Message(envelope, self._client, self._server, self._judge, self._spool, self._limits, self._note)
        self._busy = True
        try:
            answer = await message.pass_on()
            if answer.startswith(b"421"):
                raise Over(answer)
            await self._tell(answer)
        finally:
            self._busy = False
        self._envelope = None
        return None

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
