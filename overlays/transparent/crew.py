"""The proxy as several processes that are one service.

They are forked once everything is read, and share most of their memory. The first of them speaks to systemd: it tells
that it serves, and that it lives, when all others have told it the same. If one of them ends unasked, so does the
first, and systemd ends the rest: what becomes of mail then (`fail`) must not depend on which of them it was.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from hardware.host import notify

_LIVES, _LEAVES = b"+", b"."
_OURSELVES = -1  # among those of whom the first process has not heard; the others are their pipes
_TELLINGS = 4  # within the time after which systemd's watchdog takes a service for dead


class Crew(Protocol):
    """All processes, as one of them sees them."""

    async def serving(self) -> None:
        """Tell that this process serves and, again and again, that it lives. Back when it is asked to end."""


class Other:
    """A process that is not the first, which hears it by a pipe."""

    def __init__(self, mouth: int) -> None:
        self._mouth = mouth

    async def serving(self) -> None:
        """It ends as well when the first has."""
        asyncio.get_running_loop().add_reader(self._mouth, self._orphaned)  # of a pipe that nobody reads we hear, too
        telling = asyncio.create_task(_regularly(lambda: self._tell(_LIVES)))
        await notify.serving()  # of which systemd is not told: `multiplied`
        telling.cancel()
        self._tell(_LEAVES)

    def _tell(self, what: bytes) -> None:
        with suppress(BrokenPipeError):
            os.write(self._mouth, what)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._mouth)
        signal.raise_signal(signal.SIGTERM)


class First:
    """The first process, which hears the others by these pipes."""

    def __init__(self, ears: tuple[int, ...]) -> None:
        self._ears = ears
        self._silent = {*ears, _OURSELVES}
        self._all_serve = asyncio.Event()
        self._lost = asyncio.Event()

    async def serving(self) -> None:
        """Raises RuntimeError when another process has ended unasked."""
        for ear in self._ears:
            asyncio.get_running_loop().add_reader(ear, self._hear, ear)
        telling = asyncio.create_task(_regularly(lambda: self._heard(_OURSELVES)))
        await self._unless_lost(self._all_serve.wait())
        await self._unless_lost(notify.serving())
        telling.cancel()

    def _hear(self, ear: int) -> None:
        said = os.read(ear, 64)
        if said.endswith(_LIVES):
            self._heard(ear)
            return
        asyncio.get_running_loop().remove_reader(ear)
        if not said:
            self._lost.set()

    def _heard(self, voice: int) -> None:
        self._silent.discard(voice)
        if not self._silent:
            self._silent = {*self._ears, _OURSELVES}
            self._all_serve.set()
            notify.tell("WATCHDOG=1")

    async def _unless_lost(self, what: Coroutine[Any, Any, object]) -> None:
        awaited, lost = asyncio.create_task(what), asyncio.create_task(self._lost.wait())
        await asyncio.wait((awaited, lost), return_when=asyncio.FIRST_COMPLETED)
        if not awaited.done():
            raise RuntimeError("a process of the proxy has ended")
        lost.cancel()


def multiplied(count: int) -> Crew:
    """Become so many processes; in each of them, the crew as it sees it."""
    gc.collect()
    gc.freeze()  # or looking for garbage would make each process a copy of its own of all that they share
    ears: list[int] = []
    for _ in range(count - 1):
        ear, mouth = os.pipe()
        if os.fork() == 0:
            for one in (ear, *ears):
                os.close(one)
            os.environ.pop("NOTIFY_SOCKET", None)
            return Other(mouth)
        os.close(mouth)
        ears.append(ear)
    return First(tuple(ears))


async def _regularly(tell: Callable[[], object]) -> None:
    """Often enough for systemd's watchdog; once where there is none. Whoever tells still turns over its sessions."""
    seconds = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / _TELLINGS
    tell()
    while seconds:
        await asyncio.sleep(seconds)
        tell()
