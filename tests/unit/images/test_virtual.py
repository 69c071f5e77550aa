"""Which forms a profile's image may have, and the package for VMware. The disks themselves are for the machine lane."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

import build
from hardware import profile as profiles
from hardware.host.errors import Refused
from hardware.profile import HardwareProfile
from images import commands
from images.steps import virtual
from images.steps.virtual import Format
from images.tools import Tools
from overlays.ovf import PROPERTIES

OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"


@pytest.fixture
def vmware() -> HardwareProfile:
    return profiles.load("vmware")


@pytest.fixture
def package(tmp_path: Path, vmware: HardwareProfile) -> tarfile.TarFile:
    vmdk = tmp_path / "image.vmdk"
    vmdk.write_bytes(b"a disk")
    return tarfile.open(virtual.ova(tmp_path / "image.ova", vmware, "1.2.3", vmdk))


def content(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(name)
    assert member
    return member.read()


def descriptor(package: tarfile.TarFile) -> Xml.Element:
    return Xml.fromstring(content(package, "postern-vmware.ovf"))  # noqa: S314 - our own text


def test_every_problem_with_the_formats_at_once() -> None:
    arguments = build.parser().parse_args(["build", "vm-uefi", "--formats", "vmdk, ovf,ova,vhd"])
    with pytest.raises(Refused) as refused:
        commands.build(arguments)
    refuses, general = "the image of vm-uefi refuses to run under", "generic-x86-64 runs everywhere"
    assert str(refused.value).splitlines() == [
        "--formats: ovf: is no format (did you mean ova?)",
        f"--formats: ova: {refuses} VMware ({general}, and vmware is made for it)",
        f"--formats: vhd: {refuses} Hyper-V ({general})",
    ]


def test_every_profile_has_those_that_its_image_would_run_from() -> None:
    useless = {
        profile.id: sorted(problem.path for problem in virtual.problems(profile, tuple(Format)))
        for profile in profiles.load_all()
    }
    assert useless["generic-x86-64"] == []
    assert useless["vmware"] == ["vhd", "vhdx"]
    assert all(useless[name] == ["ova", "vhd", "vhdx"] for name in ("fortimail-100", "pcengines-apu2", "vm-bios"))


def test_the_descriptor_comes_first_and_the_digests_after_it(package: tarfile.TarFile) -> None:
    names = package.getnames()
    assert names == ["postern-vmware.ovf", "postern-vmware.mf", "postern-vmware-disk1.vmdk"]
    sums = content(package, names[1]).decode().splitlines()
    assert sums == [
        f"SHA256({name})= {hashlib.sha256(content(package, name)).hexdigest()}" for name in (names[0], names[2])
    ]
    assert {member.mtime for member in package.getmembers()} == {0}


def test_what_the_descriptor_refers_to_is_there(package: tarfile.TarFile) -> None:
    top = descriptor(package)
    (file,) = top.iter(f"{OVF}File")
    member = package.getmember(file.get(f"{OVF}href", ""))
    assert file.get(f"{OVF}size") == str(member.size)
    (disk,) = top.iter(f"{OVF}Disk")
    assert disk.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    items = {item.findtext(f"{RASD}InstanceID"): item for item in top.iter(f"{OVF}Item")}
    assert len(items) == len(list(top.iter(f"{OVF}Item")))
    assert f"ovf:/disk/{disk.get(f'{OVF}diskId')}" in [item.findtext(f"{RASD}HostResource") for item in items.values()]
    for item in items.values():
        assert item.findtext(f"{RASD}Parent") in {None, *items}
        tags = [child.tag for child in item]
        assert tags == sorted(tags)


def test_the_ports_are_the_profiles_in_their_order(package: tarfile.TarFile, vmware: HardwareProfile) -> None:
    top = descriptor(package)
    cards = [item for item in top.iter(f"{OVF}Item") if item.findtext(f"{RASD}ResourceType") == "10"]
    assert [card.findtext(f"{RASD}Connection") for card in cards] == list(vmware.port_names)
    assert [network.get(f"{OVF}name") for network in top.iter(f"{OVF}Network")] == list(vmware.port_names)
    assert {card.findtext(f"{RASD}ResourceSubType") for card in cards} == {"VmxNet3"}


def test_the_settings_may_be_typed_before_the_start_and_secrets_are_not_shown(package: tarfile.TarFile) -> None:
    top = descriptor(package)
    (hardware,) = top.iter(f"{OVF}VirtualHardwareSection")
    assert hardware.get(f"{OVF}transport") == "iso"
    assert any(item.findtext(f"{RASD}ResourceType") == "15" for item in hardware.iter(f"{OVF}Item")), (
        "no CD to carry it"
    )
    typed = {one.get(f"{OVF}key", ""): one for one in top.iter(f"{OVF}Property")}
    assert list(typed) == [one.key for one in PROPERTIES]
    assert not any(sign in key for key in typed for sign in ".:"), "the standard keeps these for the class"
    hidden = {key for key, one in typed.items() if one.get(f"{OVF}password") == "true"}
    assert hidden == {"password_hash", "secrets"}


def test_nothing_is_made_that_nobody_asked_for(
    tmp_path: Path, vmware: HardwareProfile, tools: Tools, program: Callable[[str, str], None]
) -> None:
    writes = 'for word; do case $word in */*.vmdk | */grown.qcow2) echo disk > "$word" ;; esac; done'
    program("qemu-img", f'echo "$*" >> {tmp_path}/calls; {writes}')
    raw = tmp_path / "image.raw"
    assert virtual.forms(raw, tmp_path, vmware, "1.2.3", (), tools) == ()
    assert not (tmp_path / "calls").exists()
    made = virtual.forms(raw, tmp_path, vmware, "1.2.3", (Format.OVA, Format.LIBVIRT), tools)
    assert [path.name for path in made] == ["image.ova", "libvirt.xml", "virt-install.sh"]
