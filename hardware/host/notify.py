"""What a service tells systemd, by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket


def ready() -> None:
    """Say that the service serves."""
    tell("READY=1")


def tell(text: str) -> None:
    """Say something; without systemd nobody is told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
            line.send(text.encode())
