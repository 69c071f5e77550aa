"""One side of a session as the proxy holds it: octets in and out, with limits on memory and on time."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import cast

_ROOM = 64 * 1024  # what one side may have sent before it is asked to wait; twice that is the most we ever hold


class Gone(Exception):
    """The other end has closed, or the connection broke."""


class TooLong(Exception):
    """A line that is longer than allowed. It was read to its end and dropped."""


class Interrupted(Exception):
    """We have no more time for this connection (`Wire.interrupt`)."""


class Wire(asyncio.Protocol):
    """A TCP connection. Every wait raises `Gone` when the other end is, and TimeoutError when it takes too long."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._ended = False  # nothing more will come
        self._broken = False  # nothing can be sent either
        self._full = False  # the transport asks us to wait with writing
        self._news: asyncio.Future[None] | None = None
        self._until = 0.0  # when the wait for news ends, in the loop's time
        self._alarm: asyncio.TimerHandle | None = None  # one for many waits: most end long before it
        self._room: asyncio.Future[None] | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _ROOM:
            self._transport_now.pause_reading()
        _wake(self._news)

    def eof_received(self) -> bool:
        self._ended = True
        _wake(self._news)
        return self._transport_now.get_extra_info("sslcontext") is None  # TLS knows no half-closed connection

    def connection_lost(self, _error: Exception | None) -> None:
        self._ended = self._broken = True
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

    def address(self, which: str) -> tuple[str, int]:
        """`peername` or `sockname`: address and port."""
        host, port, *_ = self._transport_now.get_extra_info(which)
        return str(host), int(port)

    async def line(self, longest: int, seconds: float) -> bytes:
        """The next line with its end, whatever that is. Raises `TooLong`."""
        until = asyncio.get_running_loop().time() + seconds
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
        until = asyncio.get_running_loop().time() + seconds
        while not self._buffer:
            await self._more(until)
        return self._take(min(most, len(self._buffer)))

    def give_back(self, octets: bytes) -> None:
        """Put back what was read too far."""
        self._buffer[:0] = octets

    async def send(self, octets: bytes, seconds: float) -> None:
        """Send, and wait while the other end reads more slowly than we write."""
        if self._broken:
            raise Gone
        self._transport_now.write(octets)
        if self._full:
            async with asyncio.timeout(seconds):
                while self._full:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
                    if self._broken:
                        raise Gone

    def hold(self) -> None:
        """Read nothing more until `encrypt`: what comes next is no longer plain text."""
        self._transport_now.pause_reading()

    async def encrypt(self, context: ssl.SSLContext, *, as_server: bool, seconds: float) -> None:
        """Go on in TLS. Nothing that was sent in plain text is left to be read afterwards."""
        if self._buffer:
            raise Gone
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                made = await loop.start_tls(self._transport_now, self, context, server_side=as_server)
        except OSError as error:  # ssl.SSLError is one
            raise Gone from error
        if made is None:
            raise Gone
        self._transport = made

    def interrupt(self) -> None:
        """End a wait for what the other end has to say."""
        if self._news is not None and not self._news.done():
            self._news.set_exception(Interrupted())

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        with suppress(OSError, RuntimeError):
            if self._transport_now.can_write_eof():
                self._transport_now.write_eof()

    def close(self) -> None:
        """Close once all that was sent is on its way."""
        self._transport_now.close()

    def refuse(self, octets: bytes) -> None:
        """Say one thing, and close."""
        self._transport_now.write(octets)
        self.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport_now.abort()

    @property
    def _transport_now(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("not connected yet")
        return self._transport

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        if len(self._buffer) <= _ROOM and not self._ended:
            self._transport_now.resume_reading()
        return taken

    async def _more(self, until: float) -> None:
        if self._ended:
            raise Gone
        self._news, self._until = asyncio.get_running_loop().create_future(), until
        if self._alarm is None or self._alarm.when() > until:
            self._set_alarm()
        await self._news

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(self._until, self._ring)

    def _ring(self) -> None:
        """The first wait that it was set for is over. So may be another, or it has longer."""
        self._alarm = None
        if self._news is None or self._news.done():
            return
        if asyncio.get_running_loop().time() < self._until:
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
