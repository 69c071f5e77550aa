"""A message's content: from the client's octets into a file, and from the file to the server.

The end is CRLF "." CRLF and nothing else. Whatever a line ended with, the file holds CRLF: a line end that one server
reads and another does not is how a second message is smuggled in (as Postfix does by `smtpd_forbid_bare_newline`).
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import IO

_END = b"\r\n.\r\n"
_LONGEST_HELD = 64 * 1024  # of a line that has no end; what is longer goes on in pieces
_BLOCK = 64 * 1024
_LONGEST_FIELD = 300
_IN_MEMORY = 64 * 1024  # of a message, before it needs a file
_HEADER_ROOM = 1024 * 1024
_SUBJECT = re.compile(rb"^subject[ \t]*:[ \t]*", re.IGNORECASE | re.MULTILINE)
_OUR_NAME = b"x-postern-"
_OURS = re.compile(rb"^x-postern-[^:\r\n]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", re.IGNORECASE | re.MULTILINE)


class Decoder:
    """Takes what follows 354, in pieces as they come, up to the end of the message."""

    def __init__(self) -> None:
        self._held = b""
        self._at_start = True  # of a line
        self._after_crlf = True  # the client's own CRLF, which alone makes an end

    def feed(self, octets: bytes) -> tuple[bytes, bytes | None]:
        """Content as it is stored; and once the end was there, what came after it (None before)."""
        text = self._held + octets
        if self._after_crlf and text.startswith(_END[2:]):
            return b"", text[3:]
        end = text.find(_END)
        if end >= 0:
            return self._stored(text[: end + 2]), text[end + len(_END) :]
        cut = text.rfind(b"\n") + 1
        if len(text) - cut > _LONGEST_HELD:
            cut = len(text) - 1  # it may be a CR that its LF will follow
        self._held = text[cut:]
        return self._stored(text[:cut]), None

    def _stored(self, text: bytes) -> bytes:
        if not text:
            return b""
        at_start, self._at_start = self._at_start, text.endswith(b"\n")
        self._after_crlf = text.endswith(b"\r\n")
        ends = text.count(b"\r\n")
        if text.count(b"\n") != ends or text.count(b"\r") != ends:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
        if at_start and text.startswith(b"."):
            text = text[1:]
        return text.replace(b"\r\n.", b"\r\n")


class Content:
    """A message, in memory while it is small, then in a file that has no name: gone when nobody holds it, however the
    proxy ends."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._held: list[bytes] = []  # what is not in the file
        self._file: IO[bytes] | None = None
        self._most = most
        self.size = 0
        self.failure: OSError | None = None

    @property
    def too_large(self) -> bool:
        return self.size > self._most

    def add(self, octets: bytes) -> None:
        """Store a piece. What is too large, or finds no room, is counted and not kept; `failure` then says so."""
        self.size += len(octets)
        if self.too_large or self.failure:
            return
        self._held.append(octets)
        if self.size > _IN_MEMORY:
            self._file_away()

    def complete(self) -> None:
        """Nothing more is coming. A full disk may be told only now."""
        if self._file:
            self._file_away()

    def _file_away(self) -> None:
        """Put what is held into the file."""
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - `close` is called by who made us
            self._file.writelines(self._held)
            self._file.flush()
        except OSError as error:
            self.failure = error
        self._held = []

    def blocks(self) -> Iterator[bytes]:
        """The message as it is stored."""
        if self._file is None:
            yield b"".join(self._held)
            return
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            yield block

    def digest(self) -> str:
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()

    def outgoing(self, added: bytes, mark: str = "") -> Iterator[bytes]:
        """The message as a server is sent it, to its end: `added` on top, forged header fields of ours left out, and
        `mark` before its subject."""
        read, rest = self._split()
        header, body = _parted(read)
        if _OUR_NAME in header.lower():
            header = _OURS.sub(b"", header)
        if mark:
            header = _marked(header, mark.encode())
        yield from _stuffed(chain([added + header + body], rest))

    def field(self, name: str) -> str:
        """A header field as it stands there, on one line and not too long: for the log."""
        header, _ = _parted(self._split()[0])
        found = _field(name).search(b"\n" + header)
        return " ".join(found[1].decode("utf-8", "replace").split())[:_LONGEST_FIELD] if found else ""

    def close(self) -> None:
        if self._file:
            with suppress(OSError):  # of a full disk, which `failure` has told
                self._file.close()

    def _split(self) -> tuple[bytes, Iterator[bytes]]:
        """The header with what of the body was read along with it, and the blocks after that."""
        blocks = self.blocks()
        head = b""
        for block in blocks:
            head += block
            if b"\r\n\r\n" in head or len(head) > _HEADER_ROOM:
                break
        return head, blocks


@cache
def _field(name: str) -> re.Pattern[bytes]:
    """A header field behind the end of a line: searched for by that octet, not at each."""
    return re.compile(rb"\n%b[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)" % name.encode(), re.IGNORECASE)


def _parted(read: bytes) -> tuple[bytes, bytes]:
    """The header's lines, and what was read after them."""
    if read.startswith(b"\r\n"):
        return b"", read  # a message without a header
    blank = read.find(b"\r\n\r\n")
    end = (blank if blank >= 0 else read.rfind(b"\r\n")) + 2
    return read[:end], read[end:]


def _marked(header: bytes, mark: bytes) -> bytes:
    found = _SUBJECT.search(header)
    if found is None:
        return b"Subject: " + mark + b"\r\n" + header
    return header[: found.start()] + b"Subject: " + mark + b" " + header[found.end() :]


def _stuffed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Octets as SMTP carries them: a dot before each dot that starts a line, and the end."""
    ready, half, at_start = b"", b"", True
    for block in blocks:
        if ready:
            yield ready
        text = half + block
        half = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(half)]
        if at_start and text.startswith(b"."):
            text = b"." + text
        at_start = text.endswith(b"\n") if text else at_start
        ready = text.replace(b"\r\n.", b"\r\n..")
    yield ready + half + (_END[2:] if at_start else _END)  # together: a small message is one packet
