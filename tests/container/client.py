"""An SMTP client that stands at an address of a segment: Python's own, and the protocol's words as they are."""

from __future__ import annotations

import smtplib
import socket

from tests.container.network import Segment

NAME = "client.example.net"


class Client(smtplib.SMTP):
    """A session with the box at `address`, begun by EHLO."""

    def __init__(self, segment: Segment, address: str, source: str = "", port: int = 25) -> None:
        self._segment = segment
        self._source = source
        super().__init__(address, port, local_hostname=NAME, timeout=60)
        self.ehlo()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._segment.connect(host, port, self._source, timeout)

    def say(self, line: str) -> tuple[int, str]:
        """One line as it is; the answer's code and text."""
        if self.sock is None:
            raise AssertionError("the session is over")
        self.sock.sendall(f"{line}\r\n".encode())
        code, text = self.getreply()
        return code, text.decode(errors="replace")

    def try_recipient(self, recipient: str, sender: str = "someone@example.net") -> tuple[int, str]:
        """What the box says to a recipient; the transaction is given up."""
        self.say("RSET")
        assert self.say(f"MAIL FROM:<{sender}>")[0] == 250
        return self.say(f"RCPT TO:<{recipient}>")
