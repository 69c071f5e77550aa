"""One side of a session as the proxy holds it: octets in and out, with limits on memory and on time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from typing import cast

from overlays.transparent.plain import Plain

_ROOM = 64 * 1024  # what one side may have sent before it is asked to wait; twice that is the most we ever hold
_LOOK = 60.0  # seconds after which a wait is looked at, whether it is over or not; the longest after a session


class Gone(Exception):
    """The other end has closed, or the connection broke."""


class TooLong(Exception):
    """A line that is longer than allowed. It was read to its end and dropped."""


class Interrupted(Exception):
    """We have no more time for this connection (`Wire.interrupt`)."""


class Wire(asyncio.Protocol):
    """A TCP connection. Every wait raises `Gone` when the other end is, and TimeoutError when it takes too long."""

    def __init__(self, line: socket.socket) -> None:
        """Of a socket that does not block; what `Plain` says of it holds."""
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._ended = False  # nothing more will come
        self._broken = False  # nothing can be sent either
        self._resting = False  # nothing is read
        self._full = False  # the transport asks us to wait with writing
        self._news: asyncio.Future[None] | None = None
        self._until = 0.0  # when the wait for news ends, in the loop's time
        self._alarm: asyncio.TimerHandle | None = None  # one for many waits: most end long before it
        self._room: asyncio.Future[None] | None = None
        self.failure: Exception | None = None  # why it broke
        self._transport: asyncio.Transport
        Plain(line, self)

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > _ROOM:
            self.hold()
        _wake(self._news)

    def eof_received(self) -> bool:
        self._ended = True
        _wake(self._news)
        return isinstance(self._transport, Plain)  # TLS knows no half-closed connection

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = self._broken = True
        self.failure = error
        if self._alarm:
            self._alarm.cancel()
        _wake(self._news)
        _wake(self._room)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._room)

    # What the proxy calls

    @property
    def gone(self) -> bool:
        """Has the other end closed, with nothing left of what it said?"""
        return self._broken or (self._ended and not self._buffer)

    @property
    def pending(self) -> bool:
        """Is there something that nobody has read?"""
        return bool(self._buffer)

    async def line(self, longest: int, seconds: float) -> bytes:
        """The next line with its end, whatever that is. Raises `TooLong`."""
        until = self._loop.time() + seconds
        searched, dropped = 0, False
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > longest:
                self._take(searched)
                searched, dropped = 0, True
            await self._more(until)
        line = self._take(end + 1)
        if dropped or len(line) > longest:
            raise TooLong
        return line

    async def some(self, seconds: float, most: int = _ROOM) -> bytes:
        """What has come, at least one octet."""
        if not self._buffer:
            until = self._loop.time() + seconds
            while not self._buffer:
                await self._more(until)
        return self._take(most)

    def give_back(self, octets: bytes) -> None:
        """Put back what was read too far."""
        self._buffer = octets + self._buffer

    async def send(self, octets: bytes, seconds: float) -> None:
        """Send, and wait while the other end reads more slowly than we write."""
        if self._broken:
            raise Gone
        self._transport.write(octets)
        if self._full:
            async with asyncio.timeout(seconds):
                while self._full:
                    self._room = self._loop.create_future()
                    await self._room
                    if self._broken:
                        raise Gone

    def hold(self) -> None:
        """Read nothing more for now. Before `encrypt`, for what comes next is no longer plain text."""
        self._resting = True
        self._transport.pause_reading()

    async def encrypt(self, context: ssl.SSLContext, *, as_server: bool, seconds: float) -> None:
        """Go on in TLS. Nothing that was sent in plain text is left to be read afterwards."""
        if self._buffer or self._broken or not isinstance(self._transport, Plain):
            raise Gone
        self._resting = False
        line = self._transport.detach()
        try:
            async with asyncio.timeout(seconds):
                if as_server:
                    await self._loop.connect_accepted_socket(lambda: self, line, ssl=context)
                else:
                    await self._loop.create_connection(lambda: self, sock=line, ssl=context, server_hostname="")
        except OSError as error:  # ssl.SSLError is one
            self.connection_lost(error)
            if isinstance(error, TimeoutError):
                raise
            raise Gone from error

    def interrupt(self) -> None:
        """End a wait for what the other end has to say."""
        if self._news is not None and not self._news.done():
            self._news.set_exception(Interrupted())

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        with suppress(OSError, RuntimeError):
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def close(self, last: bytes = b"") -> None:
        """Say one last thing, and close once all that was sent is on its way; at the latest after a while, for whoever
        does not read would have us wait for ever."""
        if last and not self._broken:
            if isinstance(self._transport, Plain):
                self._transport.write(last, more=True)
            else:
                self._transport.write(last)
        self._transport.close()
        if self._full:
            self._loop.call_later(_LOOK, self._transport.abort)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _take(self, count: int) -> bytes:
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        if self._resting and len(self._buffer) <= _ROOM and not self._ended:
            self._resting = False
            self._transport.resume_reading()
        return taken

    def _more(self, until: float) -> Awaitable[None]:
        """News: something came, or the other end closed."""
        if self._ended:
            raise Gone
        self._news, self._until = self._loop.create_future(), until
        if self._alarm is None or self._alarm.when() > until:
            self._set_alarm()
        return self._news

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(min(self._until, self._loop.time() + _LOOK), self._ring)

    def _ring(self) -> None:
        """The first wait that it was set for is over. So may be another, or it has longer."""
        self._alarm = None
        if self._news is None or self._news.done():
            return
        if self._loop.time() < self._until:
            self._set_alarm()
        else:
            self._news.set_exception(TimeoutError())


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def join(one: Wire, other: Wire, idle_seconds: float) -> None:
    """Hand octets on both ways, unread, until both ends have closed or one is silent for too long."""

    async def hand_on(source: Wire, target: Wire) -> None:
        with suppress(Gone):
            while True:
                await target.send(await source.some(idle_seconds), idle_seconds)
        target.finish()

    await asyncio.gather(hand_on(one, other), hand_on(other, one))
