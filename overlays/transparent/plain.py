"""TCP without encryption: a transport of asyncio's that does less than asyncio's own.

A message is some thirty reads and writes of a few octets each, most often on two connections that were made for it. In
asyncio's own transports much of the time of each goes into tasks, futures and checks that the proxy has no use for.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

_BLOCK = 64 * 1024  # the most that is read at once

Octets = bytes | bytearray | memoryview


class Plain(asyncio.Transport):
    """A socket that never blocks. It may still be connecting if the other end is the first to speak: that it cannot be
    reached is then the first thing heard of it (`connection_lost`)."""

    def __init__(self, line: socket.socket, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._line = line
        self._number = line.fileno()  # -1 once it is no longer ours
        self._protocol = protocol
        self._reads = False
        self._left = b""  # what could not be written yet
        self._then: Callable[[], None] | None = None  # once it is
        protocol.connection_made(self)
        self.resume_reading()

    def resume_reading(self) -> None:
        if self._number >= 0 and not self._reads:
            self._loop.add_reader(self._number, self._read)
            self._reads = True

    def pause_reading(self) -> None:
        if self._reads:
            self._loop.remove_reader(self._number)
            self._reads = False

    def write(self, data: Octets, *, more: bool = False) -> None:
        """Write what there is room for. The protocol is told to wait until the rest is written, too. With `more`, what
        comes next (the end, too) is to share a packet with it."""
        if self._number < 0:
            return
        if self._left:
            self._left += data
            return
        sent = self._send(data, socket.MSG_MORE if more else 0)
        if sent < len(data):
            self._left = bytes(data[sent:])
            self._loop.add_writer(self._number, self._write_on)
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Say that nothing more comes, behind what is left."""
        if self._left:
            self._then = self.write_eof
        else:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close, behind what is left."""
        self.pause_reading()
        if self._left:
            self._then = self.abort
        else:
            self.abort()

    def abort(self) -> None:
        self._end(None)

    def detach(self) -> socket.socket:
        """The socket, for another transport. Nothing may be left to write."""
        self.pause_reading()
        self._number = -1
        return self._line

    def _read(self) -> None:
        try:
            octets = self._line.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if octets:
            self._protocol.data_received(octets)
            return
        self.pause_reading()
        if not self._protocol.eof_received():
            self.close()

    def _send(self, octets: Octets, flags: int = 0) -> int:
        """How much of it the kernel took."""
        try:
            return self._line.send(octets, flags)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._end(error)
            return len(octets)

    def _write_on(self) -> None:
        sent = self._send(self._left)
        if self._number < 0:
            return
        self._left = self._left[sent:]
        if not self._left:
            self._loop.remove_writer(self._number)
            self._protocol.resume_writing()
            if self._then:
                self._then()

    def _end(self, error: OSError | None) -> None:
        if self._number < 0:
            return
        self.pause_reading()
        if self._left:
            self._loop.remove_writer(self._number)
            self._left = b""
        self._number = -1
        self._line.close()
        self._protocol.connection_lost(error)
