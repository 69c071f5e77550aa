"""The signed record of a written disk. The key is this machine's own, made when it signs for the first time."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hardware.host import documents, files
from hardware.host.documents import Frozen
from hardware.host.errors import refuse


class Facts(Frozen):
    """What was written where, by which machine. Times by its clock, in UTC; an unknown serial is empty."""

    product: str
    version: str
    profile: str
    image_sha256: str
    read_back_sha256: str
    disk: str
    disk_model: str
    disk_serial: str
    disk_bytes: int
    board_serial: str
    macs: tuple[str, ...]
    began: str
    ended: str
    result: Literal["written and read back"] = "written and read back"


class Receipt(Frozen):
    """The facts, and the signature over their JSON by the key (Ed25519, both in base64)."""

    format: Literal[1] = 1
    facts: Facts
    key: str
    signature: str


def default_key() -> Path:
    """Where this machine's key lies, by the XDG rules."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "postern/flash.key"


def sign(facts: Facts, key_file: Path) -> Receipt:
    key = _key(key_file)
    return Receipt(facts=facts, key=_text(_raw(key)), signature=_text(key.sign(_bytes(facts))))


def save(receipt: Receipt, path: Path) -> None:
    files.write(path, json.dumps(receipt.model_dump(mode="json"), indent=1) + "\n")


def verified(path: Path, key: str) -> Facts:
    """The facts of a receipt that was signed by that key (base64). Raises `Refused` when it was not, or was changed."""
    receipt = documents.read(path, Receipt)
    if receipt.key != key:
        raise refuse(f"was signed by another key, {receipt.key}", "name it with --key if you trust it", where=str(path))
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
        public.verify(base64.b64decode(receipt.signature), _bytes(receipt.facts))
    except (InvalidSignature, ValueError) as wrong:
        raise refuse("is not what was signed: somebody changed it", where=str(path)) from wrong
    return receipt.facts


def public_key(key_file: Path) -> str:
    """The public half of this machine's key, in base64."""
    return _text(_raw(_key(key_file)))


def _key(file: Path) -> Ed25519PrivateKey:
    if not file.exists():
        files.write(file, Ed25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
    return Ed25519PrivateKey.from_private_bytes(file.read_bytes())


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(facts: Facts) -> bytes:
    return json.dumps(facts.model_dump(mode="json"), sort_keys=True).encode()
