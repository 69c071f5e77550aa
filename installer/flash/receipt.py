"""The signed record of a written disk. The key is this machine's own, made when it signs for the first time.

By openssl, which an installation medium has too.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Literal

from hardware.host import documents, files
from hardware.host.documents import Frozen
from hardware.host.errors import refuse
from hardware.host.run import Failed, run

# What stands before the 32 bytes of an Ed25519 key in DER (RFC 8410).
_PRIVATE = bytes.fromhex("302e020100300506032b657004220420")
_PUBLIC = bytes.fromhex("302a300506032b6570032100")

Result = Literal["written and read back", "written and read back; the data partition was kept"]
WRITTEN: Result = "written and read back"
KEPT: Result = "written and read back; the data partition was kept"


class Facts(Frozen):
    """What was written where, by which machine. Times by its clock, in UTC; an unknown serial is empty. Where the data
    partition was kept, what was read back is all but that partition and the table that tells of it.
    """

    product: str
    version: str
    profile: str
    image_sha256: str
    disk: str
    disk_model: str
    disk_serial: str
    disk_bytes: int
    board_serial: str
    macs: tuple[str, ...]
    began: str
    ended: str
    result: Result = WRITTEN


class Receipt(Frozen):
    """The facts, and the signature over their JSON by the key (Ed25519, both in base64)."""

    format: Literal[2] = 2
    facts: Facts
    key: str
    signature: str


def default_key() -> Path:
    """Where this machine's key lies, by the XDG rules."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "postern/flash.key"


def sign(facts: Facts, key_file: Path) -> Receipt:
    key = _key(key_file)
    return Receipt(facts=facts, key=public_key(key_file), signature=_text(_pkeyutl("-sign", key, facts)))


def save(receipt: Receipt, path: Path) -> None:
    files.write(path, json.dumps(receipt.model_dump(mode="json"), indent=1) + "\n")


def verified(path: Path, key: str) -> Facts:
    """The facts of a receipt that was signed by that key (base64). Raises `Refused` when it was not, or was changed."""
    receipt = documents.read(path, Receipt)
    if receipt.key != key:
        raise refuse(f"was signed by another key, {receipt.key}", "name it with --key if you trust it", where=str(path))
    try:
        public = _PUBLIC + base64.b64decode(key)
        _pkeyutl("-verify", public, receipt.facts, base64.b64decode(receipt.signature))
    except (Failed, ValueError) as wrong:
        raise refuse("is not what was signed: somebody changed it", where=str(path)) from wrong
    return receipt.facts


def public_key(key_file: Path) -> str:
    """The public half of this machine's key, in base64."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "public"
        words = ("-in", "/dev/stdin", "-inform", "DER", "-pubout", "-outform", "DER")
        run(["openssl", "pkey", *words], stdin=_key(key_file), stdout=made, timeout=60)
        return _text(made.read_bytes().removeprefix(_PUBLIC))


def _pkeyutl(act: str, key: bytes, facts: Facts, signature: bytes = b"") -> bytes:
    """Sign the facts' JSON, or verify its signature. Keys are in DER. Raises `Failed`."""
    with tempfile.TemporaryDirectory() as folder:
        text, signed, out = (Path(folder) / name for name in ("text", "signed", "out"))
        text.write_bytes(json.dumps(facts.model_dump(mode="json"), sort_keys=True).encode())
        signed.write_bytes(signature)
        words: list[str | Path] = [act, "-rawin", "-in", text, "-inkey", "/dev/stdin", "-keyform", "DER"]
        words += ["-pubin", "-sigfile", signed] if signature else []
        run(["openssl", "pkeyutl", *words], stdin=key, stdout=out, timeout=60)
        return out.read_bytes()


def _key(file: Path) -> bytes:
    """The private key, in DER; its file has the bare 32 bytes."""
    if not file.exists():
        files.write(file, secrets.token_bytes(32), mode=0o600)
    return _PRIVATE + file.read_bytes()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
