"""A cable to a port of the box with a hostile host at its other end: raw Ethernet frames, every TCP and UDP port asked.

No scanner guesses here. One SYN and one datagram for each port are put on the wire, and what comes back is all there is
to see: an open port, a refusal, or nothing. The emulator takes a frame only when the network card has room for it, so
none gets lost on the way; a card that is switched off takes none at all, which `Sweep.taken` tells.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from hardware.twin import Datagrams

PORTS = range(1, 65536)
QUIET_SECONDS = 3.0  # no answer for so long after the last question is silence
STUCK_SECONDS = 5.0  # a card that takes no frame for so long is switched off

_OUR_MAC = bytes.fromhex("525400fe0001")
_OUR_PORT = 40000
_IPV4, _ARP, _ICMP, _TCP, _UDP = 0x0800, 0x0806, 1, 6, 17
_SYN, _RST = 0x02, 0x04


@dataclass(frozen=True)
class Sweep:
    """What came back, as `ping`, `tcp 25 open`, `tcp 25 refused`, `udp 53`, `icmp 3/3`; and how many frames went in."""

    answers: frozenset[str]
    sent: int
    taken: int


class Wire:
    """The far end of one cable. Made before the box is switched on."""

    def __init__(self, folder: Path, name: str) -> None:
        self.link = Datagrams(folder / f"{name}.box", folder / f"{name}.us")
        self.link.remote.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.link.remote))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def sweep(self, mac: str, box: IPv4Address, us: IPv4Address) -> Sweep:
        """Ask every TCP and UDP port of the address `box`, and last for an echo."""
        self._socket.connect(str(self.link.local))  # a full card holds us back from here on, and nothing is lost
        frames = list(_questions(bytes.fromhex(mac.replace(":", "")), box.packed, us.packed))
        answers: set[str] = set()
        taken, moved = 0, time.monotonic()
        while True:
            sending = [self._socket] if taken < len(frames) else []
            readable, writable, _ = select.select([self._socket], sending, [], 0.2)
            if readable:
                frame = self._socket.recv(65536)
                reply = _arp_reply(frame, box.packed)
                if reply:
                    with suppress(BlockingIOError):  # the card is full: the box asks again
                        self._socket.send(reply)
                answers |= _understood(frame)
                moved = time.monotonic() if not sending else moved
            if writable:
                try:
                    self._socket.send(frames[taken])
                except BlockingIOError:  # another end's queue: asked again
                    continue
                taken, moved = taken + 1, time.monotonic()
            if time.monotonic() - moved > (STUCK_SECONDS if sending else QUIET_SECONDS):
                return Sweep(frozenset(answers), len(frames), taken)


def _questions(mac: bytes, box: bytes, us: bytes) -> Iterator[bytes]:
    """The frames of a sweep: an ARP request first, so that the box knows whom to answer."""
    ethernet = mac + _OUR_MAC + struct.pack("!H", _IPV4)
    yield b"\xff" * 6 + _OUR_MAC + struct.pack("!HHHBBH", _ARP, 1, _IPV4, 6, 4, 1) + _OUR_MAC + us + bytes(6) + box
    for port in PORTS:
        tcp = struct.pack("!HHIIBBHHH", _OUR_PORT, port, port, 0, 5 << 4, _SYN, 1024, 0, 0)
        total = _sum(us + box + struct.pack("!HH", _TCP, len(tcp)) + tcp)
        yield ethernet + _packet(_TCP, us, box, tcp[:16] + struct.pack("!H", total) + tcp[18:])
    for port in PORTS:
        yield ethernet + _packet(_UDP, us, box, struct.pack("!HHHH", _OUR_PORT, port, 8, 0))  # 0: no checksum
    echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    yield ethernet + _packet(_ICMP, us, box, echo[:2] + struct.pack("!H", _sum(echo)) + echo[4:])


def _packet(protocol: int, source: bytes, target: bytes, content: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(content), 0, 0x4000, 64, protocol, 0, source, target)
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + content


def _sum(content: bytes) -> int:
    """The Internet checksum; `content` has an even length."""
    total: int = sum(struct.unpack(f"!{len(content) // 2}H", content))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _arp_reply(frame: bytes, box: bytes) -> bytes | None:
    """Whoever the box looks for is us; about its own address we say nothing."""
    if frame[12:14] != struct.pack("!H", _ARP) or frame[20:22] != b"\0\1" or frame[38:42] == box:
        return None
    head = frame[6:12] + _OUR_MAC + frame[12:20] + b"\0\2"
    return head + _OUR_MAC + frame[38:42] + frame[22:32]


def _understood(frame: bytes) -> set[str]:
    """What a frame from the box tells a scanner; what is not IPv4 tells nothing about a port."""
    if frame[12:14] != struct.pack("!H", _IPV4):
        return set()
    protocol, content = frame[23], frame[14 + 4 * (frame[14] & 15) :]
    if protocol == _ICMP:
        return {"ping" if content[0] == 0 else f"icmp {content[0]}/{content[1]}"}
    port = struct.unpack("!H", content[:2])[0]
    if protocol == _UDP:
        return {f"udp {port}"}
    if protocol == _TCP:
        return {f"tcp {port} {'refused' if content[13] & _RST else 'open'}"}
    return {f"protocol {protocol}"}
