"""Network cards: what the kernel knows of a port without asking the network, and the light beside its socket."""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

_SIOCETHTOOL, _PHYS_ID = 0x8946, 0x1C  # linux/sockios.h, linux/ethtool.h
_REFUSALS = {
    errno.EOPNOTSUPP: "its driver cannot make it blink",
    errno.ENODEV: "the box has no such port",
    errno.EPERM: "only root may make it blink",
    errno.EBUSY: "it blinks already",
}


@dataclass(frozen=True)
class Card:
    """One port. `link` is None while the port is switched off: nobody listens then; `speed` in Mbit/s, 0: unknown."""

    mac: str
    link: bool | None
    speed: int = 0

    def __str__(self) -> str:
        if self.link is None:
            return f"{self.mac}, switched off"
        speed = f" {self.speed} Mbit/s" if self.speed else ""
        return f"{self.mac}, link{speed}" if self.link else f"{self.mac}, no link"


@dataclass(frozen=True)
class Cards:
    """The cards of the machine whose /sys lies under `root`."""

    root: Path = Path("/")

    def card(self, name: str) -> Card | None:
        """What is known of a port; None when there is none of that name."""
        folder = self.root / "sys/class/net" / name
        mac, carrier, speed = (_text(folder / file) for file in ("address", "carrier", "speed"))
        if not mac:
            return None
        link = carrier == "1" if carrier else None
        return Card(mac, link, int(speed) if link and speed.isdecimal() else 0)

    def blink(self, name: str, seconds: int) -> str:
        """Let the light of a port blink, and wait as long. Returns why it does not; empty when it did.

        By the ioctl of `ethtool --identify`, which would be one more package for this.
        """
        value = array.array("I", [_PHYS_ID, seconds])
        request = struct.pack("16sP16x", name.encode(), value.buffer_info()[0])
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
                fcntl.ioctl(door, _SIOCETHTOOL, request)
        except OSError as error:
            return _REFUSALS.get(error.errno or 0, error.strerror or str(error))
        return ""


HERE = Cards()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # a port that is switched off has a carrier that cannot be read
        return ""
