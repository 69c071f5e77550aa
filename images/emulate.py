"""A profile's virtual twin brought to life: its disk from an image, its firmware, and the emulator's command."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hardware import twin
from hardware.parts import Firmware
from hardware.profile import HardwareProfile
from hardware.twin import ImageFile, Ovmf, TwinOptions
from images import manifest
from images.tools import Tools

VOLUME_LABEL = "POSTERN"


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


def command(tools: Tools, profile: HardwareProfile, options: TwinOptions) -> list[str]:
    """The argument list that starts the twin. It ends with whoever started it, also when that one is killed."""
    data = [word for name in ("qemu", "seabios") for word in ("-L", str(tools.path(f"usr/share/{name}")))]
    emulator = tools.command("qemu-system-x86_64", *data, *twin.arguments(profile, options))
    return ["setpriv", "--pdeathsig", "KILL", *emulator]


def answers_volume(tools: Tools, target: Path, answers: Path, secrets: Path | None = None) -> ImageFile:
    """A FAT volume labelled POSTERN that holds an answer file, and the secrets file beside it."""
    with target.open("wb") as file:
        file.truncate(4 << 20)
    tools.run("mkfs.vfat", "-n", VOLUME_LABEL, target)
    with tempfile.TemporaryDirectory() as folder:
        for source, name in ((answers, "answers.yaml"), (secrets, "secrets.yaml")):
            if source:
                shutil.copyfile(source, Path(folder) / name)
                tools.run("mcopy", "-i", target, Path(folder) / name, f"::/{name}")
    return ImageFile(target)
