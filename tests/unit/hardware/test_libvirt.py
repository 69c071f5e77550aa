"""A profile's twin for libvirt. That libvirt and virt-install take it is for the machine lane."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import pytest

from hardware import libvirt
from hardware import profile as profiles
from hardware.parts import Firmware
from hardware.profile import HardwareProfile


def domain(profile: HardwareProfile) -> Xml.Element:
    return Xml.fromstring(libvirt.domain(profile, "/images/disk.qcow2"))  # noqa: S314 - our own text


def place(device: Xml.Element) -> str:
    """The PCI address of a device, as a profile writes it."""
    where = device.find("address")
    assert where is not None
    bus, slot, function = (where.get(part, "")[2:] for part in ("bus", "slot", "function"))
    return f"0000:{bus}:{slot}.{function}"


@pytest.mark.parametrize("profile", profiles.load_all(), ids=lambda profile: str(profile.id))
def test_the_machine_is_the_twin(profile: HardwareProfile) -> None:
    twin, made = profile.twin, domain(profile)
    assert made.findtext("memory") == str(twin.memory_mib)
    assert made.find("os/type[@machine]").get("machine") == twin.machine  # type: ignore[union-attr]  # it is there
    assert (made.find("os[@firmware='efi']") is not None) == (twin.firmware is Firmware.UEFI)
    assert [place(port) for port in made.iter("interface")] == list(twin.nics.addresses)
    assert [port.find("link") is None for port in made.iter("interface")] == [
        True,
        *[False] * (len(twin.nics.addresses) - 1),
    ]
    lines = [line.get("port") for line in made.findall("devices/serial/target")]
    assert lines[0] == str(profile.serial_console.unit)
    assert len(lines) == sum(console.serial for console in profile.consoles)
    assert (made.find("devices/video") is not None) == profile.has_screen
    texts = {entry.text for entry in made.iter("entry")}
    assert texts == {twin.dmi.manufacturer, twin.dmi.product, twin.dmi.board}


def test_a_bus_above_00_hangs_on_the_root_port_that_the_firmware_numbers_so() -> None:
    made = domain(profiles.load("pcengines-apu2"))
    roots = [(port.get("index"), place(port)) for port in made.findall("devices/controller[@model='pcie-root-port']")]
    assert roots == [("1", "0000:00:18.0"), ("2", "0000:00:19.0"), ("3", "0000:00:1a.0")]


@pytest.mark.parametrize(
    ("name", "bus"),
    [("fortimail-100", "ide"), ("pcengines-apu2", "sata"), ("vm-uefi", "virtio"), ("generic-x86-64", "sata")],
)
def test_the_disk_is_on_the_models_bus_but_for_nvme(name: str, bus: str) -> None:
    target = domain(profiles.load(name)).find("devices/disk/target")
    assert target is not None
    assert target.get("bus") == bus
    assert f",bus={bus}" in libvirt.virt_install(profiles.load(name), "/images/image.qcow2")


def test_a_comma_in_a_text_does_not_end_an_option() -> None:
    line = libvirt.virt_install(profiles.load("vm-bios"), "/images/image.qcow2")
    assert 'system.product="Standard PC (i440FX + PIIX, 1996)"' in line
