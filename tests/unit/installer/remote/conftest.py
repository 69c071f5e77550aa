"""Another machine, and who may log in there; the images and disks are those of `flash`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from installer.remote import place
from tests.unit.installer.flash.conftest import disk, folder, image, lsblk
from tests.unit.installer.remote.server import Server

__all__ = ["disk", "folder", "image", "lsblk"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home with a key for SSH and nothing else."""
    made = tmp_path / "home"
    (made / ".ssh").mkdir(parents=True)
    paramiko.ECDSAKey.generate().write_private_key_file(str(made / ".ssh/id_ecdsa"))
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(place, "PAUSES_S", (0.05, 0.1, 0.2, 0.4, 0.8))
    return made


@pytest.fixture
def server(home: Path, tmp_path: Path) -> Iterator[Server]:
    """A machine that knows that key, and that the person knows."""
    with Server(tmp_path / "server").on() as made:
        made.welcome(home / ".ssh/id_ecdsa")
        made.known(home / ".ssh/known_hosts")
        yield made
