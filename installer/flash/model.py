"""Is the image for the machine that the disk is in?"""

from __future__ import annotations

from collections.abc import Iterator

from hardware import detect
from hardware import profile as profiles
from hardware.host.errors import Problem
from hardware.parts import UNKNOWN, Facts, Firmware
from hardware.profile import HardwareProfile
from installer.flash.machine import Machine
from installer.flash.target import Target


def like(machine: Machine) -> HardwareProfile | None:
    """The profile that a machine looks like. A PC, or a virtual machine, may be anybody's desk, and is like none."""
    models = [one for one in profiles.load_all() if any(match.names_a_model for match in one.match)]
    firmware = Firmware.UEFI if machine.uefi else Firmware.BIOS
    vendor, product, board = (machine.dmi.get(name, "") for name in ("sys_vendor", "product_name", "board_name"))
    return detect.identify(Facts(vendor, product, board, firmware), models)


def objections(target: Target, profile: HardwareProfile, box: HardwareProfile | None) -> Iterator[Problem]:
    """A disk inside a box that we know must get that box's image; one that comes by cable may be for any."""
    device = target.device
    if not device:
        return
    inside = device.bus not in ("usb", "") and device.kind == "disk"
    if inside and box and box.id != profile.id:
        message = f"this machine is {box.id}, and the image is for {profile.id}"
        yield Problem(device.path, "", message, f"./build.py build {box.id}")
    sizes = [disk.size_gib for disk in profile.disks if disk.size_gib != UNKNOWN]
    if sizes and 0 < device.bytes < sizes[0] * 1000**3:  # a disk's label counts in powers of ten
        message = f"is smaller than any disk of {profile.id}, which has {sizes[0]} GB"
        yield Problem(device.path, "", message, "take the image for another profile")
