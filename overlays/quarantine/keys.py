"""The key that seals links and sessions: made on the box, handed to our units by systemd as a credential."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

_STORED = Path("/var/lib/postern/device/quarantine/key")  # what `postern` reads, which is root


def link_key() -> bytes:
    return _derived(b"links")


def session_key() -> bytes:
    return _derived(b"sessions")


def _derived(what: bytes) -> bytes:
    """A key for one use only: what one of them seals means nothing to another."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, "quarantine-key") if folder else _STORED
    return hmac.digest(path.read_bytes().strip(), b"postern quarantine " + what, hashlib.sha256)
