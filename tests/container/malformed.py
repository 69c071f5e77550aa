"""Messages that break the rules of MIME, or bend them, so that scanner and reader may see different things. Each holds
a virus. Lines end in LF here; who sends them makes that CRLF.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import struct
import zlib
from email.utils import formatdate

# In pieces, so that no scanner takes this file for one.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR" + b"-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
PACKED = base64.b64encode(EICAR)
# Of today: an old date counts as a sign of spam, and would tip those that are harmless.
_HEAD = f"From: Eve <eve@example.net>\nTo: Ann <ann@example.com>\nDate: {formatdate()}\n".encode()
_FILE = b'Content-Type: application/octet-stream; name="e.com"\nContent-Disposition: attachment; filename="e.com"\n'
_BASE64 = _FILE + b"Content-Transfer-Encoding: base64\n"
_TEXT = b"Content-Type: text/plain\n\nGood morning.\n"


def _message(header: bytes, body: bytes) -> bytes:
    """A message of these header lines (the usual ones are added) and this body."""
    return _HEAD + header.rstrip(b"\n") + b"\n\n" + body


def _multipart(*parts: bytes, boundary: bytes = b"x", kind: bytes = b"mixed") -> bytes:
    """A well-formed multipart, from its Content-Type on."""
    inside = b"".join(b"--" + boundary + b"\n" + part + b"\n" for part in parts)
    return b'Content-Type: multipart/%s; boundary="%s"\n\n%s--%s--\n' % (kind, boundary, inside, boundary)


def _whole(entity: bytes) -> bytes:
    return _HEAD + b"MIME-Version: 1.0\n" + entity


def _holds(part: bytes) -> bytes:
    """A decent message of a text and this part."""
    return _whole(_multipart(_TEXT, part))


def _typed(content_type: bytes, body: bytes) -> bytes:
    """A message whose Content-Type is written like this, and whose body is that of a multipart."""
    return _message(b"MIME-Version: 1.0\nContent-Type: " + content_type, body)


def _body(boundary: bytes, part: bytes = _BASE64 + b"\n" + PACKED) -> bytes:
    return b"--%s\n%s\n--%s\n%s\n--%s--\n" % (boundary, _TEXT, boundary, part, boundary)


def _encoded(encoding: bytes, body: bytes) -> bytes:
    """A decent message with a part whose encoding is said to be this."""
    return _holds(_FILE + b"Content-Transfer-Encoding: " + encoding + b"\n\n" + body)


def _nested(depth: int) -> bytes:
    entity = _BASE64 + b"\n" + PACKED + b"\n"
    for level in range(depth):
        entity = _multipart(entity, boundary=b"level%d" % level)
    return _whole(entity)


def _forwarded(depth: int) -> bytes:
    entity = _holds(_BASE64 + b"\n" + PACKED)
    for _ in range(depth):
        entity = _whole(b"Content-Type: message/rfc822\n\n" + entity)
    return entity


def _uu(content: bytes, name: bytes = b"e.com", *, end: bool = True) -> bytes:
    lines = b"".join(binascii.b2a_uu(content[at : at + 45]) for at in range(0, len(content), 45))
    return b"begin 644 " + name + b"\n" + lines + (b"`\nend\n" if end else b"")


def _tnef(content: bytes, name: bytes = b"e.com\0") -> bytes:
    """A winmail.dat with one attachment."""

    def attribute(level: int, kind: int, value: bytes) -> bytes:
        return struct.pack("<BII", level, kind, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)

    rendering = struct.pack("<HIIIH", 1, 0xFFFFFFFF, 0, 0, 0)
    return struct.pack("<IH", 0x223E9F78, 1) + b"".join(
        (
            attribute(1, 0x00089006, struct.pack("<I", 0x10000)),
            attribute(1, 0x00069007, struct.pack("<II", 1252, 0)),
            attribute(2, 0x00069002, rendering),
            attribute(2, 0x00018010, name),
            attribute(2, 0x0006800F, content),
        )
    )


def _yenc(content: bytes) -> bytes:
    coded = bytes((byte + 42) % 256 for byte in content)
    sums = b"%08x" % zlib.crc32(content)
    size = len(content)
    return b"=ybegin line=128 size=%d name=e.com\n%s\n=yend size=%d crc32=%s\n" % (size, coded, size, sums)


def _lines(content: bytes, width: int, between: bytes = b"\n") -> bytes:
    return between.join(content[at : at + width] for at in range(0, len(content), width))


_QP = b"".join(b"=%02X" % byte for byte in EICAR)
_SPLIT = base64.b64encode(EICAR[:31]) + b"\n" + base64.b64encode(EICAR[31:])
_PART = _BASE64 + b"\n" + PACKED
_INNER = _holds(_PART)

BOUNDARIES = {
    "no closing boundary": _typed(b'multipart/mixed; boundary="x"', _body(b"x").removesuffix(b"--x--\n")),
    "no boundary after the virus, no last line end": _typed(
        b'multipart/mixed; boundary="x"', _body(b"x").removesuffix(b"\n--x--\n")
    ),
    "boundary lines with spaces after": _typed(
        b"multipart/mixed; boundary=x", _body(b"x").replace(b"--x\n", b"--x \t\n")
    ),
    "boundary given twice, the first is used": _typed(b"multipart/mixed; boundary=x; boundary=y", _body(b"x")),
    "boundary given twice, the second is used": _typed(b"multipart/mixed; boundary=x; boundary=y", _body(b"y")),
    "empty boundary": _typed(b'multipart/mixed; boundary=""', _body(b"")),
    "no boundary parameter": _typed(b"multipart/mixed", _body(b"x")),
    "boundary of unquoted specials": _typed(b"multipart/mixed; boundary=a:b=?c", _body(b"a:b=?c")),
    "boundary in pieces (RFC 2231)": _typed(b'multipart/mixed; boundary*0="ab"; boundary*1="cd"', _body(b"abcd")),
    "boundary with percent signs (RFC 2231)": _typed(b"multipart/mixed; boundary*=us-ascii''ab%63", _body(b"abc")),
    "boundary as an encoded word (RFC 2047)": _typed(b'multipart/mixed; boundary="=?us-ascii?q?abc?="', _body(b"abc")),
    "boundary beside a comment": _typed(b"multipart/mixed; (boundary=y) boundary=x (boundary=z)", _body(b"x")),
    "boundary with spaces around the equals sign": _typed(b'multipart/mixed; boundary = "x"', _body(b"x")),
    "boundary whose quote does not end": _typed(b'multipart/mixed; boundary="x', _body(b"x")),
    "boundary with a backslash": _typed(b'multipart/mixed; boundary="a\\b"', _body(b"ab")),
    "boundary that another begins with": _whole(
        _multipart(_multipart(_TEXT, _PART, boundary=b"xx"), boundary=b"x").replace(b"--xx--\n", b"")
    ),
    "same boundary outside and inside": _whole(_multipart(_multipart(_PART, boundary=b"x"), boundary=b"x")),
    "boundary of 300 characters": _typed(b"multipart/mixed; boundary=" + b"b" * 300, _body(b"b" * 300)),
    "semicolons without parameters": _typed(b"multipart/mixed;;; ; boundary=x;;", _body(b"x")),
    "virus before the first boundary": _typed(b"multipart/mixed; boundary=x", _PART + b"\n" + _body(b"x", _TEXT)),
    "virus after the last boundary": _typed(
        b"multipart/mixed; boundary=x", _body(b"x", _TEXT) + b"\n--x\n" + _PART + b"\n--x--\n"
    ),
    "no empty line before the content": _holds(_BASE64 + PACKED),
}
STRUCTURE = {
    "nested 15 deep": _nested(15),
    "nested 400 deep": _nested(400),
    "forwarded 10 deep": _forwarded(10),
    "forwarded 100 deep": _forwarded(100),
    "forwarded in base64": _holds(
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(_INNER)
    ),
    "forwarded in quoted-printable": _holds(
        b"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n" + quopri.encodestring(_INNER)
    ),
    "multipart in base64": _message(
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64",
        base64.encodebytes(_body(b"x")),
    ),
    "digest": _whole(_multipart(b"\n" + _INNER, kind=b"digest")),
    "unknown kind of multipart": _whole(_multipart(_TEXT, _PART, kind=b"x-whatever")),
    "alternative": _whole(_multipart(_TEXT, _PART, kind=b"alternative")),
    "a thousand parts": _whole(_multipart(*[_TEXT] * 999, _PART)),
    "no MIME-Version": _message(b"Content-Type: multipart/mixed; boundary=x", _body(b"x")),
    "Content-Type twice, multipart first": _message(
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\nContent-Type: text/plain", _body(b"x")
    ),
    "Content-Type twice, multipart last": _message(
        b"MIME-Version: 1.0\nContent-Type: text/plain\nContent-Type: multipart/mixed; boundary=x", _body(b"x")
    ),
    "Content-Type twice, two boundaries": _message(
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=y\nContent-Type: multipart/mixed; boundary=x",
        _body(b"x"),
    ),
    "Content-Type without a slash": _holds(
        b"Content-Type: application\nContent-Disposition: attachment; filename=e.com\n"
        b"Content-Transfer-Encoding: base64\n\n" + PACKED
    ),
    "Content-Type of rubbish": _holds(b"Content-Type: /;=\nContent-Transfer-Encoding: base64\n\n" + PACKED),
    "no Content-Type": _holds(
        b"Content-Disposition: attachment; filename=e.com\nContent-Transfer-Encoding: base64\n\n" + PACKED
    ),
    "all of the message is the virus": _message(b"MIME-Version: 1.0\n" + _BASE64, PACKED),
    "in pieces (message/partial), whole": _whole(
        b'Content-Type: message/partial; id="p@x"; number=1; total=1\n\n' + _INNER
    ),
    "in pieces (message/partial), first": _whole(
        b'Content-Type: message/partial; id="p@x"; number=1; total=2\n\n' + _INNER[: len(_INNER) - 60]
    ),
    "in pieces (message/partial), last": _whole(
        b'Content-Type: message/partial; id="p@x"; number=2; total=2\n\n' + _INNER[len(_INNER) - 60 :]
    ),
    "in a line of From": b"From eve@example.net Tue Nov 24 10:00:00 2026\n" + _INNER,
    "in an address of data in HTML": _holds(
        b'Content-Type: text/html\n\n<a download="e.com" href="data:application/octet-stream;base64,%s">look</a>'
        % PACKED
    ),
}
ENCODINGS = {
    "encoding twice, base64 last": _encoded(b"7bit\nContent-Transfer-Encoding: base64", PACKED),
    "encoding twice, base64 first": _encoded(b"base64\nContent-Transfer-Encoding: 7bit", PACKED),
    "encoding twice, quoted-printable and base64": _encoded(
        b"quoted-printable\nContent-Transfer-Encoding: base64", PACKED
    ),
    "encoding with a comment": _encoded(b"(really) base64 (it is)", PACKED),
    "encoding in quotes": _encoded(b'"base64"', PACKED),
    "encoding with more after it": _encoded(b"base64; x=y", PACKED),
    "encoding in odd case": _encoded(b"bAsE64", PACKED),
    "encoding on a line of its own": _encoded(b"\n base64", PACKED),
    "encoding of an unknown name": _encoded(b"x-secret", PACKED),
    "encoding whose name is cut": _encoded(b"base6", PACKED),
    "encoding in 8-bit characters": _encoded(b"base64\xa0", PACKED),
    "space before the colon": _holds(_FILE + b"Content-Transfer-Encoding : base64\n\n" + PACKED),
    "base64 without its padding": _encoded(b"base64", PACKED.rstrip(b"=")),
    "base64 with padding in the middle": _encoded(b"base64", _SPLIT),
    "base64 of two pieces in one line": _encoded(b"base64", _SPLIT.replace(b"\n", b"")),
    "base64 with other characters between": _encoded(b"base64", _lines(PACKED, 3, b"*!-")),
    "base64 of one character a line": _encoded(b"base64", _lines(PACKED, 1)),
    "base64 with empty lines": _encoded(b"base64", _lines(PACKED, 20, b"\n\n \n")),
    "base64 in one line of 100,000 characters": _encoded(b"base64", base64.b64encode(EICAR + b" " * 75_000)),
    "base64 after a line of text": _encoded(b"base64", b"** see below **\n" + PACKED),
    "base64 that ends, and text": _encoded(b"base64", PACKED + b"\n\nand so on, with kind regards"),
    "base64 for addresses": _encoded(b"base64", base64.urlsafe_b64encode(EICAR)),
    "quoted-printable of every byte": _encoded(b"quoted-printable", _lines(_QP, 60, b"=\n")),
    "quoted-printable in small letters": _encoded(b"quoted-printable", _lines(_QP.lower(), 60, b"=\n")),
    "quoted-printable with a break at each byte": _encoded(b"quoted-printable", _lines(_QP, 3, b"=\n")),
    "quoted-printable with spaces at the breaks": _encoded(b"quoted-printable", _lines(_QP, 30, b"= \t\n")),
    "quoted-printable with signs that mean nothing": _encoded(b"quoted-printable", _QP + b"=ZZ=\n=4"),
    "quoted-printable in one long line": _encoded(b"quoted-printable", _QP + b"=20" * 20_000),
    "uuencoded in a text": _message(b"", b"See below.\n\n" + _uu(EICAR) + b"\nBye\n"),
    "uuencoded without its end": _message(b"", b"See below.\n\n" + _uu(EICAR, end=False)),
    "uuencoded with a name of spaces": _message(b"", _uu(EICAR, b"a b c.com")),
    "uuencoded as an encoding": _encoded(b"x-uuencode", _uu(EICAR)),
    "uuencoded in an HTML text": _holds(b"Content-Type: text/html\n\n" + _uu(EICAR)),
    "yEnc in a text": _message(b"", _yenc(EICAR)),
    "TNEF": _holds(
        b"Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(_tnef(EICAR))
    ),
    "TNEF of another name": _holds(
        b"Content-Type: text/plain; name=a.txt\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(_tnef(EICAR))
    ),
}
CHARACTERS = {
    "NUL in base64": _encoded(b"base64", _lines(PACKED, 8, b"\0")),
    "NUL before the encoding": _encoded(b"\0base64", PACKED),
    "NUL in the boundary": _typed(b'multipart/mixed; boundary="x\0y"', _body(b"x\0y")),
    "NUL before the boundary": _typed(b"multipart/mixed;\0boundary=x", _body(b"x")),
    "8-bit header": _message(
        b"X-Gr\xfc\xdfe: \xff\xfe\xe4\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x", _body(b"x")
    ),
    "8-bit file name": _holds(_BASE64.replace(b"e.com", b"\xe4\xff.com") + b"\n" + PACKED),
    "header line of 200,000 characters": _message(
        b"X-Long: " + b"a" * 200_000 + b"\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x", _body(b"x")
    ),
    "boundary after 5,000 characters": _typed(b'multipart/mixed; a="' + b"a" * 5000 + b'"; boundary=x', _body(b"x")),
    "header of 5,000 lines": _message(
        b"X-Many: a\n" * 5000 + b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x", _body(b"x")
    ),
    "header line without a colon": _message(
        b"this is no header\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x", _body(b"x")
    ),
    "header line of a space": _message(
        b"X-Empty: a\n \nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x", _body(b"x")
    ),
    "header that begins with a space": b" MIME-Version: 1.0\n" + _INNER,
    "space before the colon of Content-Type": _message(
        b"MIME-Version: 1.0\nContent-Type : multipart/mixed; boundary=x", _body(b"x")
    ),
    "bare CR between headers": _message(
        b"X-Bare: a\rMIME-Version: 1.0\rContent-Type: multipart/mixed; boundary=x", _body(b"x")
    ),
    "bare CR as line ends of a part": _holds(_BASE64.replace(b"\n", b"\r") + b"\r" + PACKED + b"\r"),
    "bare CR in base64": _encoded(b"base64", _lines(PACKED, 8, b"\r")),
    "form feed and vertical tab": _typed(b"multipart/mixed;\x0b\x0cboundary=x", _body(b"x")),
    "file name as an encoded word": _holds(
        _BASE64.replace(b"e.com", b"=?utf-8?B?%s?=" % base64.b64encode(b"e.com")) + b"\n" + PACKED
    ),
    "file name in pieces (RFC 2231)": _holds(
        b"Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"
        b"Content-Disposition: attachment; filename*0*=utf-8''e%2e; filename*1=com\n\n" + PACKED
    ),
    "file name that turns round": _holds(_BASE64.replace(b"e.com", b"gpj.\xe2\x80\xaemoc.e") + b"\n" + PACKED),
    "two file names": _holds(
        _BASE64.replace(b'filename="e.com"', b'filename="a.txt"; filename="e.com"') + b"\n" + PACKED
    ),
}
CASES = BOUNDARIES | STRUCTURE | ENCODINGS | CHARACTERS

# What is refused for another reason than that the virus was seen, and with which words.
REFUSED = {
    "nested 400 deep": "MIME nesting exceeds safety limit",
    "forwarded 100 deep": "too large or too deep to be scanned for viruses",
    "a thousand parts": "too large or too deep to be scanned for viruses",
    "in pieces (message/partial), whole": "a piece of a message cannot be scanned for viruses",
    "in pieces (message/partial), first": "a piece of a message cannot be scanned for viruses",
    "in pieces (message/partial), last": "a piece of a message cannot be scanned for viruses",
}
# What goes on to its recipient, since there is no virus in it for anybody.
HARMLESS = {
    "multipart in base64",  # a multipart is never encoded (RFC 2045, 6.4), and nobody decodes this one
    "bare CR as line ends of a part",  # a bare CR ends no line: all of it is the value of one header
}
