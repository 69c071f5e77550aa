"""What a service tells systemd, by the protocol of sd_notify(3)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket


async def serving() -> None:
    """Say that the service serves, and return when it is asked to end."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    tell("READY=1")
    await ended.wait()
    tell("STOPPING=1")


def tell(text: str) -> None:
    """Say something; without systemd nobody is told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
            line.send(text.encode())
