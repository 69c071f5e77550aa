"""Flash to a real block device: a loop device, which the kernel guards as it does a disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import build
from hardware.host import files, run
from hardware.host.errors import Refused
from hardware.host.run import Failed
from installer.flash import commands, mark
from installer.flash.image import Image
from tests.unit.installer.flash.conftest import IMAGE_MIB, MIB, content


def attached(*words: str | Path) -> Path:
    """A loop device; where there is none, a machine of CI's must have one, and another skips."""
    try:
        return Path(run.run(["losetup", "--find", "--show", *words]).stdout.strip())
    except Failed as failure:
        if os.environ.get("CI") and not os.geteuid():
            raise
        pytest.skip(f"no loop device: {failure}")


@pytest.fixture
def loop(disk: Path) -> Iterator[Path]:
    device = attached(disk)
    yield device
    run.run(["losetup", "--detach", device])


def flash(image: Image, target: Path, receipt: Path) -> int:
    words = ["flash", str(image.folder), str(target), "--yes", "--serial", target.name, "--receipt", str(receipt)]
    return commands.flash(build.parser().parse_args(words))


def refusal(image: Image, target: Path) -> str:
    with pytest.raises(Refused) as refused:
        flash(image, target, target)
    return str(refused.value)


def test_the_device_has_the_image(
    image: Image, loop: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert flash(image, loop, tmp_path / "receipt.json") == 0
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()
    assert mark.read(loop) == ""


def test_while_udev_reads_the_device_it_waits(
    image: Image, loop: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """udev takes the device's lock to share it, for as long as it reads."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    handle = os.open(loop, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    with ThreadPoolExecutor(1) as runner:
        done = runner.submit(flash, image, loop, tmp_path / "receipt.json")
        with pytest.raises(TimeoutError):
            done.result(timeout=1)
        assert disk.read_bytes()[: IMAGE_MIB * MIB] != content()
        os.close(handle)
        assert done.result(timeout=60) == 0
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()


def test_its_file_is_refused_meanwhile(image: Image, loop: Path, disk: Path) -> None:
    assert "is in use by a loop device (losetup --detach it, or name that device)" in refusal(image, disk)
    assert loop.exists()


def test_a_mounted_device_is_refused(image: Image, loop: Path, disk: Path, tmp_path: Path) -> None:
    run.run(["mkfs.ext4", "-q", loop])
    place = tmp_path / "mounted"
    place.mkdir()
    run.run(["mount", "-o", "ro", loop, place])
    try:
        before = files.digest(disk)
        assert f"{loop}: is mounted on {place}" in refusal(image, loop)
        assert files.digest(disk) == before
    finally:
        run.run(["umount", place])


def test_a_read_only_device_is_refused(image: Image, disk: Path) -> None:
    device = attached("--read-only", disk)
    try:
        assert "is read-only" in refusal(image, device)
    finally:
        run.run(["losetup", "--detach", device])


def test_a_device_that_somebody_holds_is_refused(image: Image, loop: Path) -> None:
    handle = os.open(loop, os.O_RDWR | os.O_EXCL)
    try:
        assert "cannot be opened: Device or resource busy (end what uses it)" in refusal(image, loop)
    finally:
        os.close(handle)
