"""A connection as the proxy holds it, with a peer that reads slowly, goes, or was never there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from overlays.transparent import wire as wires
from overlays.transparent.wire import Gone, Wire

SOON = 5.0  # seconds
LARGE = bytes(range(256)) * 20_000  # more than the kernel holds for a pair of sockets


def played(case: Callable[[Wire, socket.socket], Awaitable[None]]) -> None:
    """Play it between a wire and the other end of its socket."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        wire = Wire(ours)
        async with asyncio.timeout(SOON):
            await case(wire, theirs)
        wire.abort()
        theirs.close()

    asyncio.run(run())


async def everything(theirs: socket.socket) -> bytes:
    got = b""
    while more := await asyncio.get_running_loop().sock_recv(theirs, 10_000):
        got += more
    return got


@pytest.mark.parametrize("end", [Wire.close, Wire.finish], ids=["close", "finish"])
def test_what_was_sent_is_read_to_its_end(end: Callable[[Wire], None]) -> None:
    async def case(wire: Wire, theirs: socket.socket) -> None:
        sending = asyncio.create_task(wire.send(LARGE, SOON))
        await asyncio.sleep(0)
        end(wire)
        assert await everything(theirs) == LARGE
        with suppress(Gone):  # closed behind what was left
            await sending

    played(case)


def test_a_peer_that_reads_no_more_is_waited_for_no_longer_than_said() -> None:
    async def case(wire: Wire, _theirs: socket.socket) -> None:
        with pytest.raises(TimeoutError):
            await wire.send(LARGE, 0.1)

    played(case)


def test_a_peer_that_reads_not_even_the_last_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "_LOOK", 0.1)

    async def case(wire: Wire, theirs: socket.socket) -> None:
        wire.close(LARGE)
        while not wire.gone:
            await asyncio.sleep(0.01)
        assert len(await everything(theirs)) < len(LARGE)

    played(case)


def test_the_last_is_said_before_the_end() -> None:
    async def case(wire: Wire, theirs: socket.socket) -> None:
        wire.close(b"221 2.0.0 Bye\r\n")
        assert await everything(theirs) == b"221 2.0.0 Bye\r\n"

    played(case)


def test_a_peer_that_goes_ends_every_wait() -> None:
    async def case(wire: Wire, theirs: socket.socket) -> None:
        sending = asyncio.create_task(wire.send(LARGE, SOON))
        listening = asyncio.create_task(wire.line(100, SOON))
        await asyncio.sleep(0)
        theirs.close()
        for waiting in (sending, listening):
            with pytest.raises(Gone):
                await waiting
        assert wire.gone

    played(case)


def test_no_more_is_read_than_there_is_room_for() -> None:
    async def case(wire: Wire, theirs: socket.socket) -> None:
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, LARGE))
        await asyncio.sleep(0.1)
        assert not sending.done()
        got = b""
        while len(got) < len(LARGE):
            piece = await wire.some(SOON, 1_000_000)
            assert len(piece) <= 128 * 1024
            got += piece
        assert got == LARGE
        await sending

    played(case)


def test_who_cannot_be_reached_is_heard_of() -> None:
    async def run() -> None:
        with socket.socket() as unheard:  # bound, and never listening
            unheard.bind(("127.0.0.1", 0))
            line = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            with suppress(BlockingIOError):
                line.connect(unheard.getsockname())
            wire = Wire(line)
            with pytest.raises(Gone):
                await wire.line(100, SOON)
            assert isinstance(wire.failure, ConnectionRefusedError)

    asyncio.run(run())
