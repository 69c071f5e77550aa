"""A text that a passphrase opens: AES-256-GCM under a key that scrypt makes of it (python3-cryptography).

    "postern backup 1\\n" | 16 bytes of salt | 12 of nonce | the text, with 16 bytes that show any change

Not age: its `-p` takes a passphrase from a terminal alone. Not `openssl enc`: it does not show that a file was changed.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from hardware.host.errors import refuse

HEAD = b"postern backup 1\n"
SHORTEST = 12  # characters: who has the file can try as long as he likes
_SALT, _NONCE, _KEY = 16, 12, 32
_WORK = 1 << 17  # 128 MiB of memory and half a second for each try


def sealed(text: bytes, passphrase: str) -> bytes:
    """The text, which nobody reads or changes without the passphrase."""
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    return HEAD + salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, text, HEAD)


def opened(data: bytes, passphrase: str, source: str) -> bytes:
    """The text again. Raises `Refused`."""
    require_sealed(data, source)
    salt, nonce, rest = (
        data[len(HEAD) :][:_SALT],
        data[len(HEAD) + _SALT :][:_NONCE],
        data[len(HEAD) + _SALT + _NONCE :],
    )
    try:
        return AESGCM(_key(passphrase, salt)).decrypt(nonce, rest, HEAD)
    except (InvalidTag, ValueError) as error:
        raise refuse("cannot be opened", "another passphrase, or the file was changed", where=source) from error


def require_sealed(data: bytes, source: str) -> None:
    """Raises `Refused` when this is something else altogether."""
    if not data.startswith(HEAD):
        newer = data.startswith(HEAD.rstrip(b"1\n"))
        hint = "a newer firmware made it" if newer else "`postern backup` makes one"
        raise refuse("is no backup that this version can read", hint, where=source)


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY, n=_WORK, r=8, p=1).derive(passphrase.encode())
