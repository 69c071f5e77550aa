"""The boot slot, the EFI system partition and GRUB as files. That they boot is for the machine tests."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.host import grubenv
from images import recipe
from images.steps import boot, layout
from images.steps.rootfs import RootFilesystem
from images.steps.squash import VerifiedRoot
from images.store import Store
from images.tools import Tools
from installer.update.slots import Flags, Slot, SlotState

Program = Callable[[str, str], None]


def test_the_slot_says_what_the_kernel_needs(tmp_path: Path, tools: Tools, program: Program) -> None:
    program("mksquashfs", 'printf "%s\\n" "$@" > "$2"')
    kernel = tmp_path / "root/boot"
    kernel.mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img"):
        (kernel / name).touch(0o600)
    profile, root = profiles.load("fortimail-100"), VerifiedRoot(tmp_path / "root.img", "abc", 4096)
    image = boot.boot_slot(tmp_path, RootFilesystem(tmp_path / "root", "d"), root, profile, "1.2.3", tools)

    said = dict(re.findall(r'^set (\w+)="(.*)"$', (tmp_path / "boot/slot.cfg").read_text(), re.MULTILINE))
    assert (said["version"], said["roothash"], said["hashoffset"]) == ("1.2.3", "abc", "4096")
    assert {"postern.profile=fortimail-100", "console=ttyS0,9600n8"} <= set(said["arguments"].split())
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "boot").iterdir()} == dict.fromkeys(
        ("initrd", "slot.cfg", "vmlinuz"), 0o644
    )
    assert {"-mkfs-time", "-all-time", "-no-xattrs"} <= set(image.read_text().split())


def test_the_first_state_is_one_that_the_box_reads() -> None:
    found = grubenv.parse(grubenv.render(boot.FIRST_STATE))
    assert SlotState.parse(found) == SlotState((Slot.A, Slot.B), Flags(True, False), Flags(False, False))


@pytest.mark.parametrize("name", ["fortimail-100", "vm-uefi"])
def test_the_loader_finds_its_files(tmp_path: Path, tools: Tools, program: Program, name: str) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for tool in ("mkfs.vfat", "mmd"):
        program(tool, "")
    program("mcopy", f'shift 2; for word; do [ ! -f "$word" ] || cp "$word" {copied}; done')
    (tmp_path / "BOOTX64.EFI").touch()
    profile = profiles.load(name)
    image = boot.esp(tmp_path, tmp_path, profile, 34, tools)

    assert image.stat().st_size == 34 << 20
    scripts = ("console.cfg", "grub.cfg", "menu.cfg", "password.cfg", "slots.cfg")
    assert sorted(path.name for path in copied.iterdir()) == sorted(("BOOTX64.EFI", "grubenv", "keys", *scripts))
    assert (copied / "console.cfg").read_text() == profile.grub_terminal
    assert grubenv.read(copied / "grubenv") == boot.FIRST_STATE
    configuration = (copied / "slots.cfg").read_text()
    assert layout.ROOT_A in configuration
    assert layout.ROOT_B in configuration
    assert "@ROOT" not in configuration


def test_the_boot_sector_leads_to_the_bios_partition(cache: Path, tools: Tools, program: Program) -> None:
    program("grub-mkimage", 'while [ "$1" != -o ]; do shift; done; head -c 1024 /dev/zero > "$2"')
    bios = tools.path("usr/lib/grub/i386-pc")
    bios.mkdir(parents=True)
    (bios / "boot.img").write_bytes(bytes(512))
    folder = boot.loader(Store(cache), tools)

    sector = layout.layout(recipe.load("appliance").layout)["bios"].start // 512
    mbr, core = (folder / "mbr.img").read_bytes(), (folder / "core.img").read_bytes()
    assert (len(mbr), struct.unpack_from("<Q", mbr, 0x5C)) == (440, (sector,))
    assert struct.unpack_from("<Q", core, 0x1F4) == (sector + 1,)
    assert sorted(path.name for path in folder.iterdir()) == ["BOOTX64.EFI", "core.img", "mbr.img"]
