"""The forms for virtual machines, each read by its format's own tool. That one boots is seen in `test_setup.py`."""

from __future__ import annotations

import json
import os
import struct
import tarfile
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from hardware import libvirt
from hardware import profile as profiles
from hardware.host import run
from hardware.profile import HardwareProfile
from images.steps import virtual
from images.steps.virtual import Format
from images.tools import Tools
from tests.peers import Peers, inside

MIB, GIB = 1 << 20, 1 << 30
# What virt-install asks of the machine that it runs on; libvirt's test driver has neither KVM nor these machines.
CAPABILITIES = """<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest><os_type>hvm</os_type>
<arch name="x86_64"><wordsize>64</wordsize><emulator>/usr/bin/qemu-system-x86_64</emulator>
<machine>pc</machine><machine>q35</machine><domain type="qemu"/><domain type="kvm"/></arch></guest></capabilities>
"""
# Where the two descriptions of a machine must say the same.
SAME = (
    *("vcpu", "os/type", "os/boot", "os/smbios", "os/firmware/feature", "sysinfo/system/entry"),
    *("sysinfo/baseBoard/entry", "devices/disk/target", "devices/interface/model", "devices/interface/link"),
    *("devices/interface/address", "devices/memballoon"),
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk image with holes."""
    target = tmp_path_factory.mktemp("raw") / "image.raw"
    with target.open("wb") as file:
        file.truncate(2 * GIB)
        for place in (0, 300 * MIB, 2 * GIB - 8 * MIB):
            file.seek(place)
            file.write(os.urandom(8 * MIB))
    return target


@pytest.fixture(scope="module")
def made(raw: Path, toolbox: Tools, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every form of it, by its ending."""
    work = tmp_path_factory.mktemp("formats")
    forms = virtual.forms(raw, work, profiles.load("vmware"), "1.2.3", tuple(Format), toolbox)
    return {path.suffix[1:]: path for path in forms}


@pytest.mark.parametrize(
    ("ending", "driver", "size_gib"), [("vmdk", "vmdk", 16), ("vhdx", "vhdx", 16), ("vhd", "vpc", 8)]
)
def test_a_disk_holds_the_image_and_room_beyond_it(
    made: dict[str, Path], raw: Path, toolbox: Tools, ending: str, driver: str, size_gib: int
) -> None:
    disk = made[ending]
    told = json.loads(toolbox.run("qemu-img", "info", "--output", "json", "-f", driver, disk))
    assert told["virtual-size"] == size_gib * GIB
    toolbox.run("qemu-img", "compare", "-f", driver, "-F", "raw", disk, raw)  # what is beyond the image must be zeros
    if driver != "vpc":  # a fixed VHD has no structure to check but its footer
        toolbox.run("qemu-img", "check", "-f", driver, disk)


def test_the_vmdk_is_one_that_can_be_streamed(made: dict[str, Path], toolbox: Tools) -> None:
    told = json.loads(toolbox.run("qemu-img", "info", "--output", "json", made["vmdk"]))
    assert told["format-specific"]["data"]["create-type"] == "streamOptimized"


def test_a_flipped_bit_is_seen(made: dict[str, Path], raw: Path, toolbox: Tools) -> None:
    """What the comparison is worth."""
    with made["vhd"].open("r+b") as file:
        file.seek(300 * MIB)
        before = file.read(1)
        file.seek(300 * MIB)
        file.write(bytes([before[0] ^ 1]))
        file.flush()
        with pytest.raises(run.Failed, match="Content mismatch at offset 314572800"):
            toolbox.run("qemu-img", "compare", "-f", "vpc", "-F", "raw", made["vhd"], raw)
        file.seek(300 * MIB)
        file.write(before)


def test_the_footer_of_the_vhd_is_as_its_format_says(made: dict[str, Path]) -> None:
    """Microsoft's Virtual Hard Disk Image Format Specification 1.0: what Hyper-V and Azure refuse when it is wrong."""
    size = made["vhd"].stat().st_size - 512
    assert size % MIB == 0
    with made["vhd"].open("rb") as file:
        file.seek(size)
        footer = file.read()
    cookie, _, version, offset = struct.unpack(">8sIIQ", footer[:24])
    assert (cookie, version, offset) == (b"conectix", 0x10000, 0xFFFFFFFFFFFFFFFF)
    _, current, _, kind, checksum = struct.unpack(">QQIII", footer[40:68])
    assert (current, kind) == (size, 2)
    assert checksum == ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF


def test_the_package_holds_that_vmdk(made: dict[str, Path]) -> None:
    with tarfile.open(made["ova"]) as package:
        disk = package.extractfile(package.getnames()[-1])
        assert disk
        assert disk.read() == made["vmdk"].read_bytes()


@pytest.mark.parametrize("profile", profiles.load_all(), ids=lambda profile: str(profile.id))
def test_libvirt_takes_both_descriptions_and_they_agree(
    profile: HardwareProfile, virtinst: Peers, toolbox: Tools, tmp_path: Path
) -> None:
    ours = tmp_path / "libvirt.xml"
    ours.write_text(libvirt.domain(profile, f"/var/lib/libvirt/images/postern-{profile.id}.qcow2"))
    run.run(virtinst.command("virt-xml-validate", inside(ours), "domain"))
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(ours.read_text().replace('bus="', 'buss="'))
    assert run.run(virtinst.command("virt-xml-validate", inside(wrong), "domain"), check=False).status

    (tmp_path / "capabilities.xml").write_text(CAPABILITIES)
    toolbox.run("qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "image.qcow2", "2G")
    host = f"test:///default,fakeuri=qemu:///system,caps={inside(tmp_path / 'capabilities.xml')}"
    only = f"virt-install --connect __virtinst_test__{host} --print-xml --check disk_size=off"
    script = tmp_path / "virt-install.sh"
    line = libvirt.virt_install(profile, str(inside(tmp_path / "image.qcow2")))
    script.write_text(line.replace("virt-install", only, 1))
    theirs = run.run(virtinst.command("sh", inside(script))).stdout
    assert seen(theirs) == seen(ours.read_text())


def seen(text: str) -> dict[str, list[tuple[str, dict[str, object]]]]:
    """The parts of a domain that must agree; numbers as numbers, whatever their base."""
    domain = Xml.fromstring(text)  # noqa: S314 - our own, and virt-install's
    found = {path: [_plain(element) for element in domain.findall(path)] for path in SAME}
    ports = domain.findall("devices/serial/target")
    return found | {"serial": [("", {"port": int(port.get("port", ""))}) for port in ports]}


def _plain(element: Xml.Element) -> tuple[str, dict[str, object]]:
    values = {key: int(value, 0) if value[:1].isdigit() else value for key, value in element.attrib.items()}
    return (element.text or "").strip(), dict(sorted(values.items()))
