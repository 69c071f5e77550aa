"""The server's end of a session: it is asked a line and replies; every way to break off is `ServerGone`."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable

from overlays.transparent import words
from overlays.transparent.wire import Gone, TooLong, Wire
from overlays.transparent.words import Reply

_MOST_LINES = 200  # of one reply


class ServerGone(Exception):
    """The server has closed, is silent, or talks out of turn: nothing more can be said to it."""


class Server:
    """A connected server. `seconds` is how long it may take for a reply, where nothing else is said."""

    def __init__(self, wire: Wire, seconds: float) -> None:
        self.wire = wire
        self._seconds = seconds
        self.offers_starttls = False

    async def reply(self, seconds: float | None = None) -> Reply:
        """What it says next."""
        texts: list[bytes] = []
        try:
            while len(texts) < _MOST_LINES:
                line = words.parse_reply_line(await self.wire.line(words.LONGEST_LINE, seconds or self._seconds))
                if line is None:
                    break
                texts.append(line.text)
                if line.last:
                    return Reply(line.code, tuple(texts))
        except (Gone, TooLong) as error:
            raise ServerGone("has closed" if isinstance(error, Gone) else "sends too long a line") from error
        except TimeoutError as error:
            raise ServerGone("is silent") from error
        raise ServerGone("does not speak SMTP")

    async def ask(self, line: bytes, seconds: float | None = None) -> Reply:
        """Its reply to a line."""
        if self.wire.pending:  # most often 421, before it closes
            raise ServerGone("talks out of turn")
        await self._send(line, self._seconds)
        return await self.reply(seconds)

    async def forget(self) -> None:
        """Let it drop the envelope that it was told."""
        if not (await self.ask(b"RSET\r\n")).good:
            raise ServerGone("does not forget an envelope")

    async def take(self, pieces: Iterable[bytes], block_seconds: float, deadline: float) -> Reply:
        """Its final reply to a message; `deadline` is a moment of the monotonic clock. After 354 there is no way back
        but to break off, which `pieces` does by raising `Gone`."""
        for piece in pieces:
            await self._send(piece, block_seconds)
        return await self.reply(max(1.0, deadline - time.monotonic()))

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """Go on in TLS, after its 220."""
        try:
            await self.wire.encrypt(context, as_server=False, seconds=self._seconds)
        except (Gone, TimeoutError) as error:
            raise ServerGone("cannot agree on encryption") from error

    async def _send(self, octets: bytes, seconds: float) -> None:
        try:
            await self.wire.send(octets, seconds)
        except Gone as error:
            raise ServerGone("has closed") from error
        except TimeoutError as error:
            raise ServerGone("does not read") from error
