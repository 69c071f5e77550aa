"""How soon a box serves mail after power-on, against a minimal Debian with Postfix; and what memory it takes idle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hardware import profile as profiles
from hardware.host import run
from hardware.host.files import default_cache
from hardware.twin import Forward, ImageFile
from images import recipe
from images.archive import Archive, keyring_options
from images.steps import boot, disk
from images.steps.layout import Layout, Partition, layout
from images.store import Store
from images.tools import Tools
from tests.bench.conftest import Figure
from tests.machine.mail import free_port, greets
from tests.machine.twin import LOGIN, NET, Box
from tests.machine.walks import ANSWERS, SECRETS

RUNS = 3
# The peer: what Debian itself would boot for the same service, its network set as ours is.
_PEER_PACKAGES = ("linux-image-amd64", "initramfs-tools", "systemd-sysv", "udev", "dbus", "postfix", "tzdata")
_PEER_GRUB = """
source $prefix/console.cfg
set root=(hd0,gpt2)
linux /vmlinuz root=PARTUUID={root} rootfstype=ext4 rw net.ifnames=0 quiet {consoles}
initrd /initrd
boot
"""
_PEER_NETWORK = "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.10/24\nGateway=192.0.2.1\n"


def set_up(tools: Tools, image: Path, profile: str, folder: Path) -> Box:
    """A box that was set up, and is off."""
    folder.mkdir()
    answers, secrets = folder / "answers.yaml", folder / "secrets.yaml"
    answers.write_text(ANSWERS.format(port=25))
    secrets.write_text(SECRETS)
    made = Box(tools, profiles.load(profile), image, folder)
    with made.on(credentials=(("postern.answers", answers), ("postern.secrets", secrets))) as line:
        line.expect(LOGIN)
    return made


def peer_disk(archive: Archive, tools: Tools, folder: Path) -> ImageFile:
    """A disk with a minimal Debian and Postfix on ext4, behind the same boot loader."""
    folder.mkdir()
    root = folder / "root"
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--architectures=amd64", *keyring_options()]
    command += [f"--include={','.join(_PEER_PACKAGES)}", recipe.load("appliance").suite, str(root), *archive.sources]
    run.run(command, timeout=1800)
    (root / "etc/fstab").write_text("")
    (root / "etc/systemd/network/eth0.network").write_text(_PEER_NETWORK)
    run.run(["chroot", root, "systemctl", "--quiet", "enable", "systemd-networkd"])
    run.run(["chroot", root, "postconf", "-e", "inet_interfaces=all", "mynetworks=127.0.0.0/8"])

    profile = profiles.load("vm-bios")
    table = layout(recipe.load("appliance").layout)
    esp = replace(table["esp"], size_mib=256)
    whole = Partition(3, "root", table["root-a"].type, f"{esp.uuid[:-1]}3", esp.start_mib + esp.size_mib, 2048)
    filesystem = folder / "root.img"
    with filesystem.open("wb") as file:
        file.truncate(whole.bytes)
    tools.run("mkfs.ext4", "-q", "-d", root, filesystem)
    configuration = folder / "grub.cfg"
    configuration.write_text(_PEER_GRUB.format(root=whole.uuid, consoles=profile.kernel_consoles))
    grub = boot.loader(Store(default_cache()), tools)
    fat = boot.esp(folder, grub, profile, esp.size_mib, tools)
    for source, target in (
        (configuration, "grub/grub.cfg"),
        (next(root.glob("boot/vmlinuz-*")), "vmlinuz"),
        (next(root.glob("boot/initrd.img-*")), "initrd"),
    ):
        tools.run("mcopy", "-o", "-i", fat, source, f"::/{target}", env={"MTOOLS_SKIP_CHECK": "1"})
    small = Layout((table["bios"], esp, whole))
    return ImageFile(disk.disk_image(folder, small, grub, {"esp": fat, "root": filesystem}, tools))


def seconds_to_banner(box: Box) -> float:
    """From power-on to the greeting of the mail service."""
    port = free_port()
    begun = time.monotonic()
    with box.on(ports=(replace(NET, forwards=(Forward(port, 25),)),)) as line:
        # Asked anew each second: a connection that the fence let fall would be waited for in vain.
        line.wait_for(lambda: greets(port, 1), "mail service")
        return time.monotonic() - begun


def test_from_power_on_to_mail_service(
    image: Callable[[str], Path], archive: Archive, toolbox: Tools, tmp_path: Path, figure: list[Figure]
) -> None:
    made = image("vm-bios")
    ours = set_up(toolbox, made, "vm-bios", tmp_path / "ours")
    (tmp_path / "peer-box").mkdir()
    peer = Box(toolbox, profiles.load("vm-bios"), made, tmp_path / "peer-box")
    peer.disk = peer_disk(archive, toolbox, tmp_path / "peer")
    took: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(RUNS):  # by turns, so that both see the same machine
        took["ours"].append(seconds_to_banner(ours))
        took["peer"].append(seconds_to_banner(peer))
    mine, its = (statistics.median(took[name]) for name in ("ours", "peer"))
    figure.append(Figure("power-on to SMTP banner / minimal Debian with Postfix", mine, "s", 1.3, its))


def test_idle_memory(image: Callable[[str], Path], toolbox: Tools, tmp_path: Path, figure: list[Figure]) -> None:
    """On the 1 GiB twin, after set-up and a restart: all that is not available to programs."""
    box = set_up(toolbox, image("fortimail-100"), "fortimail-100", tmp_path / "box")
    with box.on() as line:
        line.expect(LOGIN)
        line.log_in()
        line.command("systemctl is-system-running --wait")
        memory = dict(row.split()[:2] for row in line.command("cat /proc/meminfo").splitlines())
    used = (int(memory["MemTotal:"]) - int(memory["MemAvailable:"])) / 1024
    figure.append(Figure("idle memory of fortimail-100 (1 GiB)", used, "MiB", 350))
