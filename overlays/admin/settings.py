"""Who may administer the box: one account, by password on the console and by key or password over SSH."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, PlainValidator, model_validator

from hardware.host.documents import Frozen
from overlays.values import OneOrMore, Reason, Secret, one_line

# As crypt(5) has them: yescrypt, SHA-512, SHA-256. A colon or a line break cannot be part of one.
_HASH = re.compile(r"\$(y|6|5)\$[./A-Za-z0-9$=,]{20,200}")
_KEY_TYPES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
SHORTEST_PASSWORD = 8


def read_key(value: Any) -> str:
    """A public key as it stands in a .pub file: type, key, comment. Options are not taken."""
    text = one_line(str(value).strip())
    kind, _, rest = text.partition(" ")
    if "PRIVATE KEY" in text:
        raise ValueError("is a private key: the public one is right, from the file that ends in .pub")
    if kind not in _KEY_TYPES:
        raise ValueError(
            f"{kind[:40]!r} is not a type of SSH key: a line such as `ssh-ed25519 AAAA... comment` is right"
        )
    encoded = rest.strip().partition(" ")[0]
    try:
        blob = base64.b64decode(encoded, validate=True)
        (length,) = struct.unpack(">I", blob[:4])
    except (binascii.Error, struct.error):
        length, blob = 0, b""
    if blob[4 : 4 + length] != kind.encode() or len(blob) < 4 + length + 32:
        raise ValueError(f"is not a whole {kind} key: it was cut or changed; copy the whole line of the .pub file")
    return text


PublicKey = Annotated[str, PlainValidator(read_key, json_schema_input_type=str)]


class AdminSettings(Frozen):
    """The account `admin`. Its password is in the secrets."""

    keys: Annotated[tuple[PublicKey, ...], OneOrMore] = Field(
        (), description="public SSH keys, each a line of a .pub file"
    )

    def problems(self) -> Iterator[Reason]:
        bodies = [key.split()[1] for key in self.keys]
        for index, body in enumerate(bodies):
            if body in bodies[:index]:
                yield Reason(f"admin.keys.{index}", "this key stands here twice")


class AdminSecrets(Frozen):
    """The password of `admin`: as written by a person, or already hashed. Only the hash is kept on a box."""

    password: Secret | None = Field(None, description="the password itself; it is hashed when it is read")
    password_hash: Secret | None = Field(None, description="its hash, as `openssl passwd -6` prints it")

    @model_validator(mode="after")
    def _one_good_password(self) -> AdminSecrets:
        if (self.password is None) == (self.password_hash is None):
            raise ValueError("either password or password_hash is right, not both and not none")
        if self.password is not None:
            one_line(self.password.get_secret_value())
            if len(self.password.get_secret_value()) < SHORTEST_PASSWORD:
                raise ValueError(f"the password is shorter than {SHORTEST_PASSWORD} characters")
        if self.password_hash is not None and not _HASH.fullmatch(self.password_hash.get_secret_value()):
            raise ValueError("password_hash is not a hash: `openssl passwd -6` prints one")
        return self
