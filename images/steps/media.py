"""What an installation medium is made of: its files, the boot loaders, and the ISO 9660 image that holds them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from hardware.profile import HardwareProfile
from images.steps.boot import EFI_MODULES, MODULES
from images.steps.unpack import Unpacked
from images.tools import Tools

LABEL = "POSTERN-INSTALL"
_SOURCE = Path(__file__).parents[2]
_MEDIA = Path(__file__).parents[1] / "media"
# What flashes, and what it imports: of the box's own code the two forms and the consoles, of the builder the manifest.
CODE = (
    *("hardware", "images/__init__.py", "images/manifest.py", "installer/__init__.py", "installer/flash"),
    *("installer/medium", "installer/wizard", "installer/apply/__init__.py", "installer/apply/places.py"),
    "installer/apply/volume.py",
)
_LOADER_MODULES = ("iso9660", "part_msdos")
# For a firmware's own network boot: name, GRUB's word for its form, and what it has beside `MODULES`.
_NETWORK_LOADERS = (
    ("grub.0", "i386-pc-pxe", ("pxe", "tftp", "http")),
    ("grubx64.efi", "x86_64-efi", ("efinet", "tftp", "http", *EFI_MODULES)),
)
_FIXED = {"SOURCE_DATE_EPOCH": "315532800", "MTOOLS_SKIP_CHECK": "1"}  # FAT's first day


@dataclass(frozen=True)
class Brought:
    """What a medium brings beside the image: for the box (answers, secrets), which disk to install on, and which
    authorities the server may be of that a network boot takes the image from."""

    answers: Path | None = None
    secrets: Path | None = None
    rules: Path | None = None
    ca: Path | None = None


def tree(work: Path, image: Path, unpacked: Unpacked, profile: HardwareProfile, tools: Tools) -> Path:
    """The files of the medium. Large ones are links."""
    top = work / "tree"
    grub = top / "boot/grub"
    grub.mkdir(parents=True)
    for name in ("vmlinuz", "initrd"):
        (unpacked.boot / name).rename(top / "boot" / name)
    # A cpio archive that GRUB hands over behind the initrd: what finds the medium, in place of what finds a disk.
    over = shutil.copytree(_MEDIA / "initrd", work / "over")
    _cpio(over, top / "boot/over", tools)
    shutil.copyfile(unpacked.boot / "slot.cfg", grub / "slot.cfg")
    shutil.copyfile(_MEDIA / "grub.cfg", grub / "grub.cfg")
    (grub / "console.cfg").write_text(profile.grub_terminal)
    unpacked.root.rename(top / "root.img")
    shutil.copytree(_MEDIA / "system", top / "system", symlinks=True)
    for name in ("start", "console"):
        shutil.copy(_MEDIA / name, top / name)
    copy(CODE, top / "code")
    (top / "bin").mkdir()
    shutil.copy(tools.path("usr/bin/zstd"), top / "bin/zstd")
    (top / "image").mkdir()
    for name in ("manifest.json", "image.raw.bmap"):
        shutil.copyfile(image / name, top / "image" / name)
    (top / "image/image.raw.zst").hardlink_to(image / "image.raw.zst")
    return top


def network(work: Path, top: Path, slot: Unpacked, brought: Brought, target: Path, tools: Tools) -> Path:
    """A folder to be served by TFTP or HTTP: all but the image comes with the initrd, and the image is streamed."""
    over = shutil.copytree(_MEDIA / "network/initrd", work / "network-over")
    inside = over / "medium"
    inside.mkdir()
    for name in ("root.img", "code", "bin", "system", "start", "console", "image"):
        (top / name).rename(inside / name)
    shutil.copytree(_MEDIA / "network/system", inside / "system", symlinks=True, dirs_exist_ok=True)
    shutil.copyfile(_MEDIA / "network/install.network", inside / "install.network")
    shutil.copy(tools.path("usr/bin/curl"), inside / "bin/curl")  # the root has its library, for ClamAV
    for source, place in ((brought.rules, "install.yaml"), (brought.ca, "image/ca.pem")):
        if source:
            shutil.copyfile(source, inside / place)
    target.mkdir()
    (inside / "image/image.raw.zst").rename(target / "image.raw.zst")
    for name in ("vmlinuz", "initrd"):
        (top / "boot" / name).rename(target / name)
    _cpio(over, work / "network.cpio", tools)
    with (target / "initrd").open("ab") as file, (work / "network.cpio").open("rb") as more:
        file.write(bytes(-file.tell() % 4))  # where the kernel looks for a second archive
        shutil.copyfileobj(more, file)
    facts = slot.facts
    arguments = f"roothash={facts['roothash']} hashoffset={facts['hashoffset']} {facts['arguments']}"
    for name in ("boot.ipxe", "grub.cfg"):
        text = (_MEDIA / "network" / name).read_text().replace("@ARGUMENTS@", arguments)
        (target / name).write_text(text.replace("@CONSOLE@", (top / "boot/grub/console.cfg").read_text()))
    for name, form, modules in _NETWORK_LOADERS:
        library = tools.path("usr/lib/grub") / form.removesuffix("-pxe")
        # Without a prefix of its own GRUB takes grub.cfg from where it was itself taken from.
        image = ("grub-mkimage", "--compression=auto", "-d", library, "-O", form, "-p", "", "-o", target / name)
        tools.run(*image, *MODULES, *modules)
    return target


def copy(names: Iterable[str], target: Path) -> None:
    """Files and folders of this project, at the same paths below `target`."""
    for name in names:
        source, made = _SOURCE / name, target / name
        if source.is_file():
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, made)
        else:
            shutil.copytree(source, made, ignore=shutil.ignore_patterns("__pycache__"))


def _cpio(tree: Path, target: Path, tools: Tools) -> None:
    paths = sorted(tree.rglob("*"))
    for path in paths:
        os.utime(path, (0, 0), follow_symlinks=False)
    names = "".join(f"{path.relative_to(tree)}\n" for path in paths)
    pack = tools.command("cpio", "--quiet", "--create", "--format=newc", "--reproducible", "--owner=+0:+0")
    run.run(pack, stdin=names, stdout=target, cwd=tree)


def loaders(work: Path, top: Path, tools: Tools) -> Path:
    """GRUB for BIOS into the medium's tree; the EFI partition with GRUB for UEFI."""
    early = work / "early.cfg"
    early.write_text((_MEDIA / "early.cfg").read_text().replace("@LABEL@", LABEL))
    library, image = tools.path("usr/lib/grub"), ("grub-mkimage", "--compression=auto", "-c", early)
    bios = (*MODULES, *_LOADER_MODULES, "biosdisk")
    tools.run(
        *(*image, "-d", library / "i386-pc", "-O", "i386-pc-eltorito", "-p", "/boot/grub"),
        *("-o", top / "boot/grub/bios.img", *bios),
    )
    efi = (*MODULES, *_LOADER_MODULES, *EFI_MODULES)
    tools.run(
        *(*image, "-d", library / "x86_64-efi", "-O", "x86_64-efi", "-p", "/boot/grub"),
        *("-o", work / "BOOTX64.EFI", *efi),
    )
    esp = work / "esp.img"
    with esp.open("wb") as file:
        file.truncate(4 << 20)
    tools.run("mkfs.vfat", "-n", "INSTALL", "--invariant", esp)
    tools.run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", env=_FIXED)
    tools.run("mcopy", "-i", esp, work / "BOOTX64.EFI", "::/EFI/BOOT/BOOTX64.EFI", env=_FIXED)
    return esp


def iso(top: Path, esp: Path, answers: Path | None, target: Path, tools: Tools) -> Path:
    """One image for sticks and CDs: El Torito for both firmwares, a boot sector, and a GPT that has the EFI partition
    and, where there are answers, the volume that holds them."""
    volume = ("-append_partition", "3", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", answers) if answers else ()
    tools.run(
        *("xorriso", "-as", "mkisofs", "-quiet", "-V", LABEL, "-R", "-uid", "0", "-gid", "0", "-o", target),
        *("-b", "boot/grub/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info"),
        *("--grub2-mbr", tools.path("usr/lib/grub/i386-pc/boot_hybrid.img")),
        *("-append_partition", "2", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", esp, *volume, "-appended_part_as_gpt"),
        *("-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot", top),
        env=_FIXED,
        timeout=900,
    )
    return target
