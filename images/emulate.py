"""A profile's virtual twin brought to life: its disk from an image, its firmware, and the emulator's command."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from hardware import twin
from hardware.host import run
from hardware.parts import Firmware
from hardware.profile import HardwareProfile
from hardware.twin import Accelerator, ImageFile, Ovmf, TwinOptions
from images import manifest
from images.tools import Tools

VOLUME_LABEL = "POSTERN"
# A boot sector that tells QEMU's exit device that it ran: mov al, 16; out 0xf4, al; hlt. QEMU ends with 2 * 16 + 1.
_PROBE = bytes.fromhex("b010e6f4f4").ljust(510, b"\0") + b"\x55\xaa"
_PROBE_STATUS = 33


def disk(tools: Tools, image: Path, profile: HardwareProfile, target: Path, size_gib: int | None = None) -> ImageFile:
    """A fresh disk of the twin's size that starts as the image in the folder `image`; only what changes takes room."""
    base = image.absolute() / manifest.load(image).artefact(".qcow2")
    size = f"{size_gib or profile.twin.disk.size_gib}G"
    tools.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, target, size)
    return ImageFile(target, "qcow2")


def firmware(tools: Tools, profile: HardwareProfile, folder: Path) -> Ovmf | None:
    """OVMF with its own variables, for a twin that boots by UEFI."""
    if profile.twin.firmware is not Firmware.UEFI:
        return None
    variables = folder / "variables.fd"
    if not variables.exists():
        shutil.copyfile(tools.path("usr/share/OVMF/OVMF_VARS_4M.fd"), variables)
    return Ovmf(tools.path("usr/share/OVMF/OVMF_CODE_4M.fd"), variables)


@cache
def accelerator(tools: Tools) -> Accelerator:
    """KVM where a guest really runs in it (a tenth of a second). A device file alone proves nothing."""
    with tempfile.TemporaryDirectory() as folder:
        sector = Path(folder) / "probe"
        sector.write_bytes(_PROBE)
        machine = ("-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16", "-no-reboot")
        probe = ("-drive", f"file={sector},format=raw", "-device", "isa-debug-exit,iobase=0xf4")
        argv = tools.command("qemu-system-x86_64", *_data(tools), *machine, "-accel", "kvm", "-cpu", "host", *probe)
        try:
            ran = run.run(argv, timeout=10, check=False).status == _PROBE_STATUS
        except run.Failed:  # it hangs
            ran = False
    return Accelerator.KVM if ran else Accelerator.TCG


def command(tools: Tools, profile: HardwareProfile, options: TwinOptions) -> list[str]:
    """The argument list that starts the twin. It ends with whoever started it, also when that one is killed."""
    emulator = tools.command("qemu-system-x86_64", *_data(tools), *twin.arguments(profile, options))
    return ["setpriv", "--pdeathsig", "KILL", *emulator]


def _data(tools: Tools) -> list[str]:
    return [word for name in ("qemu", "seabios") for word in ("-L", str(tools.path(f"usr/share/{name}")))]


def answers_volume(
    tools: Tools, target: Path, answers: Path | None, secrets: Path | None = None, rules: Path | None = None
) -> ImageFile:
    """A FAT volume labelled POSTERN that holds an answer file, the secrets file beside it, and what a medium obeys."""
    with target.open("wb") as file:
        file.truncate(4 << 20)
    fixed = {"SOURCE_DATE_EPOCH": "315532800"}  # FAT's first day
    tools.run("mkfs.vfat", "-n", VOLUME_LABEL, "--invariant", target)
    with tempfile.TemporaryDirectory() as folder:
        for source, name in ((answers, "answers.yaml"), (secrets, "secrets.yaml"), (rules, "install.yaml")):
            if source:
                shutil.copyfile(source, Path(folder) / name)
                tools.run("mcopy", "-i", target, Path(folder) / name, f"::/{name}", env=fixed)
    return ImageFile(target)
