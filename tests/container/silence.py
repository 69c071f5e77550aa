"""An end of a proxied session that says no more: both ends are in the test's hand, and each step is waited for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

IMPATIENT = "limits: {command: 1, reply: 1, data_start: 1, data_block: 1, answer: 1, tunnel: 1}"
_SOON = 10.0  # seconds: many times what the proxy waits for
_LARGE = b"x" * 998 + b"\r\n"


class Ends:
    """The client and the server. Whoever is not named in a step is silent."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        for one in (client, server):
            one.settimeout(_SOON)

    def says(self, octets: bytes) -> None:
        """The client says something that the server hears."""
        self.client.sendall(octets)
        assert _heard(self.server, len(octets)) == octets

    def answers(self, octets: bytes) -> None:
        """The server says something that the client hears."""
        self.server.sendall(octets)
        assert _heard(self.client, len(octets)) == octets

    def greeting(self) -> None:
        self.answers(b"220 mail.example.net\r\n")
        self.says(b"EHLO client.example.net\r\n")
        self.answers(b"250-mail.example.net\r\n250 STARTTLS\r\n")

    def message(self, content: bytes = b"Subject: x\r\n\r\nText\r\n.\r\n") -> None:
        """The client's part of a message, up to what it says after 354."""
        for line in (b"MAIL FROM:<someone@example.edu>\r\n", b"RCPT TO:<ann@example.net>\r\n"):
            self.says(line)
            self.answers(b"250 fine\r\n")
        self.client.sendall(b"DATA\r\n")
        self.is_told(354)
        self.client.sendall(content)

    def is_told(self, code: int) -> None:
        """A line of the proxy's own."""
        line = b""
        while not line.endswith(b"\n"):
            line += _heard(self.client, 1)
        assert line.startswith(b"%d " % code), line

    def client_is_left(self) -> None:
        assert self.client.recv(1) == b""

    def server_is_left(self, after: bytes = b"") -> None:
        """It hears that, and then the end."""
        assert _heard(self.server, len(after)) == after
        assert self.server.recv(1) == b""

    def close(self) -> None:
        self.client.close()
        self.server.close()


def _heard(line: socket.socket, count: int) -> bytes:
    heard = b""
    while len(heard) < count:
        more = line.recv(count - len(heard))
        assert more, heard
        heard += more
    return heard


def _client_in_a_command(ends: Ends) -> None:
    ends.greeting()
    ends.client.sendall(b"MAIL FROM:<some")
    ends.is_told(421)
    ends.client_is_left()
    ends.server_is_left()


def _client_in_its_message(ends: Ends) -> None:
    ends.greeting()
    ends.message(b"Subject: x\r\n\r\nTe")
    ends.is_told(421)
    ends.client_is_left()
    ends.server_is_left()


def _server_before_its_greeting(ends: Ends) -> None:
    ends.is_told(421)
    ends.client_is_left()
    ends.server_is_left()


def _server_at_a_command(ends: Ends) -> None:
    ends.greeting()
    ends.says(b"MAIL FROM:<someone@example.edu>\r\n")
    ends.is_told(421)
    ends.client_is_left()
    ends.server_is_left()


def _server_at_data(ends: Ends) -> None:
    ends.greeting()
    ends.message()
    ends.is_told(451)
    ends.server_is_left(b"DATA\r\n")


def _server_at_the_end(ends: Ends) -> None:
    ends.greeting()
    ends.message()
    assert _heard(ends.server, 6) == b"DATA\r\n"
    ends.server.sendall(b"354 go ahead\r\n")
    ends.is_told(451)
    ends.server_is_left(b"Subject: x\r\n\r\nText\r\n.\r\n")


def _server_reads_no_more(ends: Ends) -> None:
    ends.greeting()
    ends.message(_LARGE * 20_000 + b".\r\n")
    assert _heard(ends.server, 6) == b"DATA\r\n"
    ends.server.sendall(b"354 go ahead\r\n")
    ends.is_told(451)


def _both_in_tls(ends: Ends) -> None:
    ends.greeting()
    ends.says(b"STARTTLS\r\n")
    ends.answers(b"220 go ahead\r\n")
    ends.says(b"\x16\x03\x01 unread")
    ends.client_is_left()
    ends.server_is_left()


SILENCES: Mapping[str, Callable[[Ends], None]] = {
    "the client in a command": _client_in_a_command,
    "the client in its message": _client_in_its_message,
    "the server before its greeting": _server_before_its_greeting,
    "the server at a command": _server_at_a_command,
    "the server at DATA": _server_at_data,
    "the server at the end of a message": _server_at_the_end,
    "the server reads no more": _server_reads_no_more,
    "both in encryption that passes": _both_in_tls,
}
