"""The boot slot's image and the boot loader: what GRUB needs to find, choose and start a slot."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from hardware.host import grubenv
from hardware.host.files import digest_of
from hardware.profile import HardwareProfile
from images.steps.layout import ROOT_A, ROOT_B
from images.steps.rootfs import RootFilesystem
from images.steps.squash import VerifiedRoot
from images.store import Store
from images.tools import Tools

_BOOTLOADER = Path(__file__).parent.parent / "bootloader"
MODULES = (
    *("part_gpt", "fat", "squash4", "gzio", "normal", "configfile", "linux", "loadenv", "test", "regexp", "echo"),
    *("sleep", "serial", "terminal", "minicmd", "reboot", "halt", "search", "ls", "cat", "true"),
    *("password_pbkdf2", "iorw"),
)
EFI_MODULES = ("efi_gop", "all_video")
# Sector 2048, where the layout puts the BIOS boot partition; GRUB's own offsets into its boot images.
_CORE_SECTOR = 2048
# What GRUB finds at the first boot: slot A is whole, slot B is empty.
FIRST_STATE = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "0", "B_TRY": "0"}
# What leads to the menu beside letters, in the form of an environment block.
_KEYS = {"ENTER": "\r", "ESCAPE": "\x1b"}

# Kernel arguments of every image. Names of NICs are the profile's (portN); nothing starts a shell, a getty or an sshd
# because the kernel or a hypervisor offers a device for it.
# `lsm=` is Debian's list less what nothing here uses; for bpf systemd reads all types of the kernel.
# For huge pages that may come at any time the kernel keeps over 100 MiB of a 1 GiB box free for itself.
_ARGUMENTS = (
    "net.ifnames=0 panic=10 quiet systemd.ssh_auto=no lsm=landlock,lockdown,yama,apparmor transparent_hugepage=never"
)


def boot_slot(
    work: Path, rootfs: RootFilesystem, root: VerifiedRoot, profile: HardwareProfile, version: str, tools: Tools
) -> Path:
    """A squashfs that GRUB reads: kernel, initrd, and slot.cfg with the root hash and the profile's consoles."""
    content = work / "boot"
    content.mkdir()
    shutil.copyfile(rootfs.tree / "boot/vmlinuz", content / "vmlinuz")
    shutil.copyfile(rootfs.tree / "boot/initrd.img", content / "initrd")
    slot = {
        "version": version,
        "roothash": root.root_hash,
        "hashoffset": str(root.hash_offset),
        "arguments": f"postern.profile={profile.id} {_ARGUMENTS} {profile.kernel_consoles}",
    }
    (content / "slot.cfg").write_text("".join(f'set {name}="{value}"\n' for name, value in slot.items()))
    for file in content.iterdir():
        file.chmod(0o644)
    image = work / "boot.img"
    # GRUB reads no zstd; what lies in it is compressed already.
    tools.squashfs(content, image, "-comp", "gzip", "-noD", "-noF", "-no-fragments")
    return image


def loader(store: Store, tools: Tools) -> Path:
    """GRUB for both firmwares: a folder with mbr.img (440 bytes), core.img (from sector 2048) and BOOTX64.EFI."""
    key = digest_of("grub 2", tools.root.parent.name, *MODULES)
    return store.made("grub", key, lambda partial: _make_loader(partial, tools))


def _make_loader(partial: Path, tools: Tools) -> None:
    library = tools.path("usr/lib/grub")
    bios = library / "i386-pc"
    image = ("grub-mkimage", "--compression=auto")
    tools.run(*image, "-d", bios, "-O", "i386-pc", "-p", "(,gpt2)/grub", "-o", partial / "core", "biosdisk", *MODULES)
    efi, modules = library / "x86_64-efi", (*EFI_MODULES, *MODULES)
    tools.run(*image, "-d", efi, "-O", "x86_64-efi", "-p", "/grub", "-o", partial / "BOOTX64.EFI", *modules)

    core = bytearray((partial / "core").read_bytes())
    struct.pack_into("<Q", core, 0x1F4, _CORE_SECTOR + 1)
    (partial / "core.img").write_bytes(core)
    (partial / "core").unlink()

    boot = bytearray((bios / "boot.img").read_bytes())
    struct.pack_into("<Q", boot, 0x5C, _CORE_SECTOR)
    boot[0x66:0x68] = b"\x90\x90"
    (partial / "mbr.img").write_bytes(boot[:440])


def esp(work: Path, grub: Path, profile: HardwareProfile, size_mib: int, tools: Tools) -> Path:
    """The EFI system partition, which the BIOS loader reads too: GRUB, its configuration and its environment."""
    image = work / "esp.img"
    with image.open("wb") as file:
        file.truncate(size_mib << 20)
    tools.run("mkfs.vfat", "-F", "32", "-i", "706f7374", "-n", "ESP", "--invariant", image)
    content = work / "esp"
    content.mkdir()
    for source in _BOOTLOADER.glob("*.cfg"):
        text = source.read_text().replace("@ROOT_A@", ROOT_A).replace("@ROOT_B@", ROOT_B)
        (content / source.name).write_text(text)
    (content / "console.cfg").write_text(profile.grub_terminal)
    (content / "grubenv").write_bytes(grubenv.render(FIRST_STATE))
    (content / "keys").write_bytes(grubenv.render(_KEYS))
    fixed = {"SOURCE_DATE_EPOCH": "315532800", "MTOOLS_SKIP_CHECK": "1"}  # FAT's first day
    tools.run("mmd", "-i", image, "::/EFI", "::/EFI/BOOT", "::/grub", env=fixed)
    tools.run("mcopy", "-i", image, grub / "BOOTX64.EFI", "::/EFI/BOOT/BOOTX64.EFI", env=fixed)
    tools.run("mcopy", "-i", image, *sorted(content.iterdir()), "::/grub/", env=fixed)
    return image
