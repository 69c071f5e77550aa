"""An installation over an earlier one in another machine: the same code looks and keeps there."""

from __future__ import annotations

from pathlib import Path

import pytest

import build
from hardware.host.errors import Refused
from installer.flash import commands, receipt
from tests.unit.installer.flash.test_earlier import disk, folder, used, whole
from tests.unit.installer.remote.server import Server

__all__ = ["disk", "folder", "used"]


def test_the_data_on_the_other_machines_disk_stays(
    folder: Path, used: Path, disk: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    made = disk.with_name("receipt.json")
    argv = ["flash", str(folder), str(disk), "--ssh", server.address, "--receipt", str(made)]
    agreed = ["--yes", "--serial", disk.name]
    before = disk.read_bytes()
    with pytest.raises(Refused, match=rf"{server.address}:{disk}: holds settings and mail of mx1.mail.example.org"):
        commands.flash(build.parser().parse_args([*argv, *agreed]))
    assert disk.read_bytes() == before
    for _ in range(2):  # the second one finds all of it there
        assert commands.flash(build.parser().parse_args([*argv, *agreed, "--keep-data"])) == 0
        whole(disk, before)
    assert receipt.verified(made, receipt.public_key(receipt.default_key())).result == receipt.KEPT
    assert "on it:   Postern 1.1.0 for vm-bios with settings and mail of mx1" in capsys.readouterr().out
