"""The boot loader's 1,024 bytes: in place, repaired, whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardware.host import grubenv
from hardware.host.errors import Refused
from installer.update import slots
from installer.update.slots import Flags, Slot, SlotState

FRESH = {"ORDER": "A B", "A_OK": "1", "A_TRY": "1", "B_OK": "0", "B_TRY": "0", "console_speed": "9600"}


@pytest.fixture
def block(tmp_path: Path) -> Path:
    path = tmp_path / "grubenv"
    path.write_bytes(grubenv.render(FRESH))
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "grubenv.copy"


def test_as_grub_writes_it() -> None:
    raw = grubenv.render({"ORDER": "A B"})
    assert len(raw) == 1024
    assert raw == b"# GRUB Environment Block\nORDER=A B\n" + b"#" * (1024 - 35)
    assert grubenv.parse(raw) == {"ORDER": "A B"}


@pytest.mark.parametrize(
    "raw", [b"", b"x" * 1024, grubenv.render(FRESH)[:1000], grubenv.SIGNATURE + b"nonsense\n" + b"#" * 990]
)
def test_damage_is_seen(raw: bytes) -> None:
    with pytest.raises(grubenv.Damaged):
        grubenv.parse(raw)


@pytest.mark.parametrize("variables", [{"A": "x\ny"}, {"A=": "x"}, {"A": "#"}, {"A": "x" * 500}])
def test_what_does_not_fit_is_a_fault(variables: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        grubenv.render(variables)


def test_mark_good_in_place(block: Path, copy: Path) -> None:
    inode = block.stat().st_ino
    state = slots.mark_good(Slot.A, block, copy)
    assert state == SlotState((Slot.A, Slot.B), Flags(True, False), Flags(False, False))
    assert block.stat().st_ino == inode
    assert block.stat().st_size == 1024
    assert grubenv.read(block) == FRESH | {"A_TRY": "0"}
    assert grubenv.read_copy(copy) == grubenv.read(block)


def test_the_other_slot_becomes_the_first(block: Path, copy: Path) -> None:
    state = slots.mark_good(Slot.B, block, copy)
    assert state.order == (Slot.B, Slot.A)
    assert grubenv.read(block)["ORDER"] == "B A"
    assert SlotState.parse(grubenv.read(block)) == state


def test_nothing_is_written_when_nothing_changes(block: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slots.mark_good(Slot.A, block, copy)
    monkeypatch.setattr(os, "pwrite", lambda *_: pytest.fail("written"))
    slots.mark_good(Slot.A, block, copy)


@pytest.mark.parametrize("damage", [b"", b"\0" * 1024, b"torn"])
def test_a_damaged_block_is_mended_from_its_copy(block: Path, copy: Path, damage: bytes) -> None:
    slots.mark_good(Slot.B, block, copy)
    block.write_bytes(damage)
    slots.update(block, copy, {})
    assert grubenv.read(block)["ORDER"] == "B A"
    assert grubenv.read(block)["console_speed"] == "9600"
    assert block.stat().st_size == 1024


def test_a_damaged_copy_is_not_believed(block: Path, copy: Path) -> None:
    slots.mark_good(Slot.B, block, copy)
    raw = bytearray(copy.read_bytes())
    raw[30] ^= 1
    copy.write_bytes(raw)
    with pytest.raises(grubenv.Damaged):
        grubenv.read_copy(copy)
    slots.update(block, copy, {})
    assert grubenv.read_copy(copy) == grubenv.read(block)


def test_both_damaged_start_from_the_defaults(block: Path, copy: Path) -> None:
    block.write_bytes(b"")
    assert slots.mark_good(Slot.B, block, copy).order == (Slot.B, Slot.A)
    assert len(block.read_bytes()) == 1024


@pytest.mark.parametrize("sectors", [0, 1, 2])
def test_a_torn_write_is_old_or_new(block: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, sectors: int) -> None:
    """The disk writes whole sectors of 512 bytes and loses power after some of them."""
    before, real = grubenv.read(block), os.pwrite

    def torn(handle: int, data: bytes, offset: int) -> int:
        real(handle, data[: sectors * 512], offset)
        raise SystemExit

    monkeypatch.setattr(os, "pwrite", torn)
    with pytest.raises(SystemExit):
        slots.mark_good(Slot.B, block, copy)
    assert grubenv.read(block) in (before, before | SlotState.parse(before).marked_good(Slot.B).variables())


def test_a_disk_that_lies_is_noticed(block: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda handle, data, offset: len(data))
    with pytest.raises(Refused, match="reads back differently"):
        slots.mark_good(Slot.B, block, copy)


@pytest.mark.parametrize(
    ("words", "slot"), [("postern.slot=B quiet", Slot.B), ("quiet", None), ("postern.slot=C", None)]
)
def test_the_slot_we_run_from(tmp_path: Path, words: str, slot: Slot | None) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text(words)
    assert slots.booted(tmp_path) is slot


def test_the_boot_partition_is_on_our_own_disk(tmp_path: Path) -> None:
    """Two disks of one image carry the same names; the one that holds /var is meant."""
    for disk in ("sda", "sdb"):
        for number, name in ((2, "esp"), (7, "data")):
            part = tmp_path / f"sys/devices/{disk}/{disk}{number}"
            part.mkdir(parents=True)
            (part / "uevent").write_text(f"DEVNAME={disk}{number}\nPARTNAME={name}\n")
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/8:23").symlink_to("../../devices/sdb/sdb7")
    assert slots.boot_partition(tmp_path, os.makedev(8, 23)) == tmp_path / "dev/sdb2"


def test_a_disk_without_a_boot_partition_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sys/devices/sda/sda1").mkdir(parents=True)
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/8:1").symlink_to("../../devices/sda/sda1")
    with pytest.raises(Refused, match="no partition named esp"):
        slots.boot_partition(tmp_path, os.makedev(8, 1))
