"""What age has encrypted: to the holder of a key, or to whoever knows a passphrase (format age-encryption.org/v1).

Keys stay in their files, and what was secret never stands in an argument list or on a disk.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hardware.host import run
from hardware.host.errors import refuse
from hardware.host.run import Failed

_BINARY, _ARMOR = b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----"
_PUBLIC = "# public key: "


def make_key() -> tuple[str, str]:
    """A new key: the text of its file, and the recipient that others encrypt to."""
    text = run.run(["age-keygen"], timeout=60).stdout
    return text, next(line.removeprefix(_PUBLIC) for line in text.splitlines() if line.startswith(_PUBLIC))


def seal(text: str, recipients: Sequence[str]) -> str:
    """A text that only these recipients can read, as lines of ASCII. Raises `Refused` for what is no recipient."""
    named = [word for one in recipients for word in ("--recipient", one)]
    try:
        return run.run(["age", "--encrypt", "--armor", *named], stdin=text, timeout=60).stdout
    except Failed as failed:
        raise refuse(
            _reason(failed), "`age1...` or the line of an SSH key's .pub file", where="--recipient"
        ) from failed


def sealed(raw: bytes) -> bool:
    """Whether this is something that age has encrypted, in bytes or in lines."""
    return raw.lstrip().startswith((_BINARY, _ARMOR))


def by_passphrase(raw: bytes) -> bool:
    """Whether a passphrase opens it, rather than a key."""
    head = raw.lstrip()
    if head.startswith(_ARMOR):
        try:
            head = base64.b64decode(b"".join(head.splitlines()[1:3]))
        except binascii.Error:
            return False
    return head.startswith(_BINARY + b"-> scrypt ")


def opened(raw: bytes, where: str, key: Path | None, whose: str = "", *, ask: bool = False) -> str:
    """The text of a file, which age may have encrypted. Raises `Refused` when it cannot be read.

    `key` opens it, and is `whose`; with `ask` a passphrase is asked for on our terminal.
    """
    if not sealed(raw):
        content = raw
    elif by_passphrase(raw):
        if not ask:
            hint = "a terminal: `postern setup --answers`, or the word answers on the console before the set-up"
            raise refuse("is encrypted with a passphrase, and nobody can be asked here", hint, where=where)
        content = _asked(raw, where)
    elif key is None:
        raise refuse("is encrypted", "name the file of the key that opens it: --identity FILE", where=where)
    else:
        try:
            return run.run(["age", "--decrypt", "--identity", key], stdin=raw, timeout=60).stdout
        except Failed as failed:
            if "no identity matched" in failed.output:
                raise refuse("is encrypted, but not to this key", whose or str(key), where=where) from failed
            raise refuse(f"cannot be opened: {_reason(failed)}", where=where) from failed
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("cannot be read: is not UTF-8 text", where=where) from error


def _asked(raw: bytes, where: str) -> bytes:
    """age asks on the terminal by itself, and gives the text to us alone."""
    with tempfile.NamedTemporaryFile(prefix="postern-") as file:
        file.write(raw)
        file.flush()
        done = run.attach(["age", "--decrypt", "--output", "/dev/fd/3", file.name])
    if done.status:
        raise refuse("was not opened with that passphrase", where=where)
    return done.stdout.encode()


def _reason(failed: Failed) -> str:
    lines = [line for line in failed.output.splitlines() if "report unexpected" not in line]
    return lines[-1].removeprefix("age: error: ") if lines else "no reason given"
