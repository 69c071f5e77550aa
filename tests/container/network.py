"""The networks around a box: one network namespace for each of its ports, in which addresses stand for hosts."""

from __future__ import annotations

import ctypes
import os
import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hardware.host import run
from hardware.host.run import Completed

_NAMESPACES = Path("/run/netns")
_PREFIX = "postern-"
_CLONE_NEWNET = 0x40000000
_ECHO_ID = 0x506F
# By family: its sockets, and the types of request and reply.
_ECHO = {
    False: (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0),
    True: (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129),
}
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Segment:
    """What one port of the box is plugged into."""

    namespace: str
    _hosts: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def cable(self) -> str:
        """The name of our end of the cable, and of the box's end while it is not in the box yet (15 characters)."""
        return self.namespace.removeprefix(_PREFIX)

    def plug(self) -> bool:
        """Take our end of a box's cable; false while the container manager has not made it on the host.

        The cable of a box that was switched off may still be there: the kernel takes its time.
        """
        run.run(["ip", "-n", self.namespace, "link", "delete", self.cable], check=False)
        if run.run(["ip", "link", "set", self.cable, "netns", self.namespace], check=False).status:
            return False
        self.ip("link", "set", self.cable, "up")
        for words in self._hosts:
            self.ip(*words)
        return True

    def host(self, *addresses: str) -> None:
        """Let hosts with these addresses (with their prefix lengths) stand here, now and after a restart of the box."""
        for address in addresses:
            words = ("address", "replace", address, "dev", self.cable, *(["nodad"] if ":" in address else []))
            self.ip(*words)
            self._hosts.append(words)

    def ip(self, *words: str) -> Completed:
        return run.run(["ip", "-n", self.namespace, *words])

    def run(self, *argv: str | Path, check: bool = True, timeout: float = 60) -> Completed:
        """Run a program of the host in here."""
        return run.run(["ip", "netns", "exec", self.namespace, *argv], check=check, timeout=timeout)

    def connect(self, address: str, port: int, source: str = "", timeout: float = 30) -> socket.socket:
        """A TCP connection from in here; the socket stays in its namespace wherever it is used."""
        with self._entered():
            return socket.create_connection((address, port), timeout, (source, 0) if source else None)

    def listen(self, address: str, port: int, timeout: float = 30) -> socket.socket:
        """A server's socket in here; what it accepts waits as long as it does."""
        with self._entered():
            made = socket.create_server((address, port))
        made.settimeout(timeout)
        return made

    def answers(self, address: str, port: int, source: str = "") -> bool:
        """Does something accept connections there? No answer within a second is a no."""
        try:
            self.connect(address, port, source, timeout=1).close()
        except OSError:
            return False
        return True

    def pings(self, address: str) -> bool:
        """Does an address answer to an ICMP echo request within a second? (Not every host has a ping.)"""
        family, protocol, asked, answered = _ECHO[":" in address]
        # Type, code, checksum, id, number. The kernel makes the checksum of IPv6, we that of IPv4: all adds up to ones.
        checksum = 0 if ":" in address else 0xFFFF - (asked << 8) - _ECHO_ID
        with self._entered(), socket.socket(family, socket.SOCK_RAW, protocol) as line:
            deadline = time.monotonic() + 1
            with suppress(OSError):  # our own kernel says that nobody is there
                line.connect((address, 0))
                line.send(struct.pack("!BBHHH", asked, 0, checksum, _ECHO_ID, 0))
                while select.select([line], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    packet = line.recv(1500)
                    reply = packet if ":" in address else packet[(packet[0] & 15) * 4 :]
                    if reply[:1] == bytes([answered]) and reply[4:6] == _ECHO_ID.to_bytes(2, "big"):
                        return True
        return False

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """This thread, and no other, in the namespace."""
        before, there = (os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", self._path))
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(before)
            os.close(there)

    @property
    def _path(self) -> Path:
        return _NAMESPACES / self.namespace


@contextmanager
def segments(count: int, label: str) -> Iterator[tuple[Segment, ...]]:
    """So many networks, gone at the end with all that is plugged into them. `label` tells boxes apart (two letters)."""
    _sweep()
    made = tuple(Segment(f"{_PREFIX}{os.getpid()}{label}{number}") for number in range(1, count + 1))
    try:
        for one in made:
            run.run(["ip", "netns", "add", one.namespace])
            one.ip("link", "set", "lo", "up")
        yield made
    finally:
        for one in made:
            run.run(["ip", "netns", "delete", one.namespace], check=False)


def abandoned(name: str) -> bool:
    """Was a thing of that name (`postern-`, process id, label) left behind by a test run that was killed?"""
    found = re.match(rf"{_PREFIX}(\d+)[a-z]{{2}}\d", name)
    return found is not None and not Path("/proc", found[1]).exists()


def _sweep() -> None:
    for path in _NAMESPACES.glob(f"{_PREFIX}*"):
        if abandoned(path.name):
            run.run(["ip", "netns", "delete", path.name], check=False)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
