"""SMTP's words: what a client's line asks for, what a server's reply says, and what of an EHLO reply may pass."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_LINE = 2048
"""Of a command or a reply. RFC 5321 says 512; the paths of SMTPUTF8 and the parameters of extensions need more."""
LONGEST_AUTH_LINE = 12288  # RFC 4954, 4

_VERB = re.compile(rb"[A-Za-z0-9]{1,12}(?=[ \t\r])")
_PATH = rb'<((?:@[^:<>\s]*:)?(?:"(?:[^"\\]|\\.)*"|[^"<>\s])*)>'
_MAIL = re.compile(rb"FROM:[ \t]*" + _PATH + rb"((?:[ \t]+[^\s]+)*)", re.IGNORECASE)
_RCPT = re.compile(rb"TO:[ \t]*" + _PATH + rb"((?:[ \t]+[^\s]+)*)", re.IGNORECASE)
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\r\n]*))?\r?\n")

# Extensions that the proxy can read along. Of others it cannot know what they would carry past it: CHUNKING and
# BINARYMIME another way to send content, XCLIENT and XFORWARD another client's name.
_PASSED = frozenset(
    (b"8BITMIME", b"SMTPUTF8", b"PIPELINING", b"ENHANCEDSTATUSCODES", b"DSN", b"AUTH", b"SIZE", b"HELP", b"DELIVERBY")
)


@dataclass(frozen=True)
class Command:
    """A client's line: the verb in capitals, and what follows it."""

    verb: str
    rest: bytes
    line: bytes  # as it came, with its CRLF


@dataclass(frozen=True)
class Address:
    """A path of MAIL or RCPT, without brackets and source route, and the parameters after it (capitals, as sent)."""

    path: bytes
    parameters: tuple[bytes, ...]

    @property
    def text(self) -> str:
        return self.path.decode("utf-8", "replace")

    @property
    def domain(self) -> str:
        """In lower case; empty without one."""
        return self.text.rpartition("@")[2].lower().removesuffix(".") if b"@" in self.path else ""

    def number(self, name: bytes) -> int:
        """A parameter such as SIZE=1000; 0 without it."""
        for parameter in self.parameters:
            key, _, value = parameter.upper().partition(b"=")
            if key == name and value.isdigit() and len(value) < 20:
                return int(value)
        return 0


@dataclass(frozen=True)
class Reply:
    """A reply of the server: its code, and each line's text."""

    code: int
    texts: tuple[bytes, ...]

    @property
    def raw(self) -> bytes:
        last = len(self.texts) - 1
        if not last:
            return b"%d %s\r\n" % (self.code, self.texts[0])
        return b"".join(
            b"%d%s%s\r\n" % (self.code, b" " if number == last else b"-", text)
            for number, text in enumerate(self.texts)
        )

    @property
    def good(self) -> bool:
        return 200 <= self.code < 300


@dataclass(frozen=True)
class ReplyLine:
    """One line of a reply; `last` ends it."""

    code: int
    text: bytes
    last: bool


def own(code: int, text: str) -> bytes:
    """A reply of the proxy's own."""
    return f"{code} {text}\r\n".encode()


def whole(line: bytes) -> bool:
    """Does a line end in CRLF, with no other line end and no NUL inside?"""
    text = line[:-2]
    return line.endswith(b"\r\n") and b"\r" not in text and b"\n" not in text and b"\0" not in text


def parse_command(line: bytes) -> Command | None:
    """A whole line's command; None for what is none."""
    found = _VERB.match(line)
    return Command(found[0].decode().upper(), line[found.end() : -2].strip(b" \t"), line) if found else None


def parse_sender(rest: bytes) -> Address | None:
    return _address(_MAIL.fullmatch(rest))


def parse_recipient(rest: bytes) -> Address | None:
    return _address(_RCPT.fullmatch(rest))


def parse_reply_line(line: bytes) -> ReplyLine | None:
    found = _REPLY_LINE.fullmatch(line)
    return ReplyLine(int(found[1]), found[3] or b"", found[2] != b"-") if found else None


def offered(reply: Reply, largest: int, *, starttls: bool) -> Reply:
    """A server's EHLO reply for the client: known extensions alone, no size above `largest`, STARTTLS or not."""
    passed = [text for text in reply.texts[1:] if _keyword(text) in _PASSED]
    passed = [_smaller(text, largest) if _keyword(text) == b"SIZE" else text for text in passed]
    return Reply(reply.code, (reply.texts[0], *passed, *([b"STARTTLS"] if starttls else [])))


def offers(reply: Reply, keyword: bytes) -> bool:
    return any(_keyword(text) == keyword for text in reply.texts[1:])


def _keyword(text: bytes) -> bytes:
    """An extension's name. Old servers write AUTH=LOGIN for AUTH LOGIN."""
    return re.split(rb"[ =]", text.strip().upper(), maxsplit=1)[0]


def _smaller(text: bytes, largest: int) -> bytes:
    number = text.partition(b" ")[2].strip()
    theirs = int(number) if number.isdigit() and len(number) < 20 else 0
    return b"SIZE %d" % (min(theirs, largest) if theirs else largest)


def _address(found: re.Match[bytes] | None) -> Address | None:
    if found is None:
        return None
    path = found[1]
    if path.startswith(b"@"):  # a source route, which RFC 5321 says to ignore
        path = path.partition(b":")[2]
    return Address(path, tuple(found[2].split()))
