"""The forms of an image for virtual machines, made on demand: VMDK, OVA, VHDX, VHD, and what libvirt is told.

Each disk has the size of the profile's virtual twin, for a virtual disk does not grow by being flashed; a VHD, which
takes its whole size at once, that of the smallest unit. What only one hypervisor reads is refused for a profile that a
box under that hypervisor would not match: the image would not run.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path

from hardware import libvirt
from hardware.detect import matches
from hardware.host.errors import Problem
from hardware.host.files import digest
from hardware.parts import Facts
from hardware.profile import HardwareProfile
from images import ovf
from images.tools import Tools

ROOM_MIB = 800  # that a format takes at most; an OVA holds a VMDK
_IMAGES = "/var/lib/libvirt/images"  # where libvirt lets QEMU read


class Format(StrEnum):
    VMDK = "vmdk"
    OVA = "ova"
    VHDX = "vhdx"
    VHD = "vhd"
    LIBVIRT = "libvirt"


# By what a box under the only hypervisor that reads a format would be recognized, its firmware apart.
_HYPER_V = ("Microsoft Corporation", "Virtual Machine", "Virtual Machine")
_READERS = {
    Format.OVA: ("VMware", ("VMware, Inc.", "VMware7,1", "440BX Desktop Reference Platform")),
    Format.VHDX: ("Hyper-V", _HYPER_V),
    Format.VHD: ("Hyper-V", _HYPER_V),
}


def problems(profile: HardwareProfile, formats: Collection[Format]) -> Iterator[Problem]:
    """Why these forms of the profile's image would be of no use."""
    for one in formats:
        if one not in _READERS:
            continue
        reader, texts = _READERS[one]
        if not any(matches(profile, Facts(*texts, firmware)) for firmware in profile.firmware):
            hint = "generic-x86-64 runs everywhere" + (", and vmware is made for it" if one is Format.OVA else "")
            yield Problem("--formats", one, f"the image of {profile.id} refuses to run under {reader}", hint)
        elif one is Format.OVA:
            for objection in ovf.objections(profile):
                yield Problem("--formats", one, f"a VMware machine cannot be like {profile.id}: {objection}")


def forms(
    raw: Path, work: Path, profile: HardwareProfile, version: str, formats: Collection[Format], tools: Tools
) -> tuple[Path, ...]:
    """The disk image in each of these formats, written into `work`."""
    if not formats:
        return ()
    size = profile.twin.disk.size_gib
    made: list[Path] = []
    if Format.VMDK in formats or Format.OVA in formats:
        made.append(_converted(raw, work / "image.vmdk", "vmdk", "subformat=streamOptimized", size, tools))
    if Format.OVA in formats:
        made.append(ova(work / "image.ova", profile, version, made[0]))
    if Format.VHDX in formats:
        made.append(_converted(raw, work / "image.vhdx", "vhdx", "subformat=dynamic", size, tools))
    if Format.VHD in formats:  # its size by its geometry alone would be another one than it says
        least = profile.least_disk_gib or size
        made.append(_converted(raw, work / "image.vhd", "vpc", "subformat=fixed,force_size=on", least, tools))
    if Format.LIBVIRT in formats:
        made += descriptions(work, profile)
    return tuple(one for one in made if one.suffix != ".vmdk" or Format.VMDK in formats)


def ova(target: Path, profile: HardwareProfile, version: str, vmdk: Path) -> Path:
    """An OVF package in one file: descriptor, digests, disk, in the order that the standard asks for."""
    name = libvirt.name(profile)
    disk = f"{name}-disk1.vmdk"
    text = ovf.descriptor(profile, version, disk, vmdk.stat().st_size).encode()
    sums = f"SHA256({name}.ovf)= {hashlib.sha256(text).hexdigest()}\nSHA256({disk})= {digest(vmdk)}\n"
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as package, vmdk.open("rb") as content:
        for member, size, file in (
            (f"{name}.ovf", len(text), io.BytesIO(text)),
            (f"{name}.mf", len(sums), io.BytesIO(sums.encode())),
            (disk, vmdk.stat().st_size, content),
        ):
            entry = tarfile.TarInfo(member)  # no time, no owner: the package depends on its content alone
            entry.size = size
            package.addfile(entry, file)
    return target


def descriptions(work: Path, profile: HardwareProfile) -> tuple[Path, Path]:
    """The twin for `virsh define`, and as a script that copies the image and runs virt-install."""
    name, size = libvirt.name(profile), profile.twin.disk.size_gib
    base, disk = f"{_IMAGES}/{name}-image.qcow2", f"{_IMAGES}/{name}.qcow2"
    copy = f"install -m 0644 image.qcow2 {base}"
    xml, script = work / "libvirt.xml", work / "virt-install.sh"
    overlay = f"qemu-img create -f qcow2 -F qcow2 -b {base} {disk} {size}G"
    xml.write_text(f"<!-- Before `virsh define`: {copy}; {overlay} -->\n{libvirt.domain(profile, disk)}")
    script.write_text(
        f"#!/bin/sh\n# The virtual twin of {profile.id} under libvirt. Run it as root, in the folder of image.qcow2.\n"
        f"set -eu\n{copy}\n{libvirt.virt_install(profile, base)}"
    )
    script.chmod(0o755)
    return xml, script


def _converted(raw: Path, target: Path, driver: str, options: str, size_gib: int, tools: Tools) -> Path:
    """The image on a disk of that size, in a format of QEMU's."""
    grown = target.with_name("grown.qcow2")
    backing = ("-F", "raw", "-b", raw.absolute())
    tools.run("qemu-img", "create", "-q", "-f", "qcow2", *backing, grown, f"{size_gib}G")
    tools.run("qemu-img", "convert", "-f", "qcow2", "-O", driver, "-o", options, grown, target)
    grown.unlink()
    return target
