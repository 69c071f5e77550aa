"""A minimal Debian with nothing of ours, on a disk behind the same boot loader: another machine, or a box's peer.

It runs on the twin `vm-bios`, with the address that the examples' answers give a box.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from hardware import profile as profiles
from hardware.host import run
from hardware.host.files import digest_of
from hardware.profile import HardwareProfile
from hardware.twin import ImageFile
from images import recipe
from images.archive import Archive
from images.steps import boot, disk
from images.steps.layout import Layout, Partition, layout
from images.store import Store
from images.tools import Tools
from tests.machine.disk import over
from tests.machine.twin import NET
from tests.peers import bootstrap

PROFILE = "vm-bios"
_PACKAGES = ("initramfs-tools", "systemd-sysv", "udev", "dbus")
_ROOT_MIB, _ESP_MIB = 2048, 256  # GRUB reads the kernel and the initrd from the latter
_GRUB = """
source $prefix/console.cfg
set root=(hd0,gpt2)
linux /vmlinuz root=PARTUUID={root} rootfstype=ext4 rw net.ifnames=0 quiet {consoles}
initrd /initrd
boot
"""
_NETWORK = f"""[Match]
Name=eth0
[Network]
Address={NET.guest}/{NET.host.network.prefixlen}
Gateway={NET.host.ip}
"""


@dataclass(frozen=True)
class Debian:
    """Its packages, a kernel among them, beside those that every one has; its files, path and text; and the commands,
    each of words, that are run in its root when it is made.
    """

    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()

    def disk(self, store: Store, archive: Archive, tools: Tools, target: Path) -> ImageFile:
        """A fresh disk that starts as this (half a minute when it is not cached)."""
        profile = profiles.load(PROFILE)
        common = (_GRUB, _NETWORK, profile.kernel_consoles, profile.grub_terminal, *_PACKAGES)
        digest = digest_of("minimal 1", archive.suite, archive.state, tools.root.parent.name, repr(self), *common)
        made = store.made("minimal", digest, lambda partial: self._make(partial, profile, store, archive, tools))
        store.trim("minimal", 3)
        return over(tools, made / "image.raw", target)

    def _make(self, folder: Path, profile: HardwareProfile, store: Store, archive: Archive, tools: Tools) -> None:
        work = folder / "work"
        work.mkdir()
        root = work / "root"
        bootstrap((*_PACKAGES, *self.packages), archive, root)
        for path, text in (("etc/fstab", ""), ("etc/systemd/network/eth0.network", _NETWORK), *self.files):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        for command in ("systemctl --quiet enable systemd-networkd", *self.commands):
            run.run(["chroot", root, *command.split()])
        _disk(work, root, profile, boot.loader(store, tools), tools).rename(folder / "image.raw")
        shutil.rmtree(work)


def _disk(work: Path, root: Path, profile: HardwareProfile, grub: Path, tools: Tools) -> Path:
    """The tree on ext4 as a disk, its kernel and its initrd where the boot loader finds them."""
    table = layout(recipe.load("appliance").layout)
    esp = replace(table["esp"], size_mib=_ESP_MIB)
    whole = Partition(3, "root", table["root-a"].type, f"{esp.uuid[:-1]}3", esp.start_mib + esp.size_mib, _ROOT_MIB)
    filesystem = work / "root.img"
    with filesystem.open("wb") as file:
        file.truncate(whole.bytes)
    tools.run("mkfs.ext4", "-q", "-d", root, filesystem)
    fat = boot.esp(work, grub, profile, esp.size_mib, tools)
    configuration = work / "grub.cfg"
    configuration.write_text(_GRUB.format(root=whole.uuid, consoles=profile.kernel_consoles))
    for source, target in (
        (configuration, "grub/grub.cfg"),
        (next(root.glob("boot/vmlinuz-*")), "vmlinuz"),
        (next(root.glob("boot/initrd.img-*")), "initrd"),
    ):
        tools.run("mcopy", "-o", "-i", fat, source, f"::/{target}", env={"MTOOLS_SKIP_CHECK": "1"})
    small = Layout((table["bios"], esp, whole))
    return disk.disk_image(work, small, grub, {"esp": fat, "root": filesystem}, tools)
