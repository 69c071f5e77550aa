"""A profile's virtual twin for libvirt: a domain as `virsh define` takes it, and the same as a line of virt-install.

Pure, and made from the record that `twin.py` makes QEMU's arguments from: firmware, disk bus, ports and their places,
memory, serial lines and DMI texts are the model's. What differs: libvirt does not emulate NVMe, so such a disk is on
the chipset's own bus; port1 is in the network `default`, and the cables of the other ports are unplugged.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from xml.etree import ElementTree as Xml

from hardware.parts import Binding, Bus, Console, Firmware, Machine
from hardware.profile import HardwareProfile
from hardware.twin import DISK_SLOT, SCREEN_SLOT, mac_address, root_port_slot

NETWORK = "default"  # what a fresh libvirt has: NAT with DHCP
# Names of disks by bus, and of card models where libvirt has its own.
_LETTERS = {Bus.VIRTIO: "vd", Bus.IDE: "hd", Bus.SATA: "sd"}
_MODELS = {"virtio-net-pci": "virtio"}


def name(profile: HardwareProfile) -> str:
    """What the virtual machine is called."""
    return f"postern-{profile.id}"


def domain(profile: HardwareProfile, disk: str) -> str:
    """The domain's XML. `disk` is the absolute path of its qcow2 file on the machine that will run it."""
    twin = profile.twin
    top = Xml.Element("domain", type="kvm")
    _add(top, "name", name(profile))
    _add(top, "memory", str(twin.memory_mib), unit="MiB")
    _add(top, "vcpu", str(twin.cpus))
    system = _add(top, "os", **({"firmware": "efi"} if twin.firmware is Firmware.UEFI else {}))
    _add(system, "type", "hvm", arch="x86_64", machine=twin.machine)
    if twin.firmware is Firmware.UEFI:  # our boot loader is not signed
        _add(_add(system, "firmware"), "feature", enabled="no", name="secure-boot")
    _add(system, "boot", dev="hd")
    _add(system, "smbios", mode="sysinfo")
    texts = _add(top, "sysinfo", type="smbios")
    for table, product in (("system", twin.dmi.product), ("baseBoard", twin.dmi.board)):
        entries = _add(texts, table)
        _add(entries, "entry", twin.dmi.manufacturer, name="manufacturer")
        _add(entries, "entry", product, name="product")
    features = _add(top, "features")
    _add(features, "acpi")
    _add(features, "apic")
    _add(top, "cpu", mode="host-passthrough")
    _devices(_add(top, "devices"), profile, disk)
    Xml.indent(top)
    return Xml.tostring(top, encoding="unicode") + "\n"


def virt_install(profile: HardwareProfile, image: str) -> str:
    """The command line, a line an option: a machine like `domain`, its disk laid over `image` (an absolute path)."""
    twin = profile.twin
    firmware = "firmware=efi,firmware.feature0.name=secure-boot,firmware.feature0.enabled=no,hd"
    size = f"size={twin.disk.size_gib}"
    words = [
        ("virt-install", "--import", "--noautoconsole", "--osinfo", "detect=off,require=off"),
        ("--name", name(profile)),
        ("--memory", str(twin.memory_mib)),
        ("--vcpus", str(twin.cpus)),
        ("--machine", twin.machine.value),
        ("--boot", firmware if twin.firmware is Firmware.UEFI else "hd"),
        ("--sysinfo", _dmi_words(profile)),
        ("--disk", f"{size},backing_store={image},backing_format=qcow2,bus={_bus(profile)}{_disk_words(profile)}"),
        ("--controller", "usb,model=none"),
        ("--memballoon", "none"),
        *(("--controller", f"pci,model=pcie-root-port,index={bus},{_words(slot)}") for bus, slot in _roots(profile)),
        *(("--network", port) for port in _port_words(profile)),
        *(("--serial", f"{kind},target.port={line.unit}") for kind, line in _lines(profile)),
        *((("--graphics", "vnc"), ("--video", f"vga,{_words(SCREEN_SLOT)}")) if profile.has_screen else ()),
        *(() if profile.has_screen else (("--graphics", "none"),)),
    ]
    return " \\\n  ".join(shlex.join(row) for row in words) + "\n"


def _devices(devices: Xml.Element, profile: HardwareProfile, path: str) -> None:
    """Every device with its place, and none beside them: what libvirt adds by itself would take a port's bus."""
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2")
    _add(disk, "source", file=path)
    bus = _bus(profile)
    _add(disk, "target", dev=f"{_LETTERS[bus]}a", bus=bus)
    if bus is Bus.VIRTIO:
        _place(disk, DISK_SLOT)
    _add(devices, "controller", type="usb", model="none")
    for number, slot in _roots(profile):
        _place(_add(devices, "controller", type="pci", model="pcie-root-port", index=str(number)), slot)
    for number, address in enumerate(profile.twin.nics.addresses, start=1):
        port = _add(devices, "interface", type="network")
        if profile.nics.bind is Binding.MAC:
            _add(port, "mac", address=mac_address(profile, number))
        _add(port, "source", network=NETWORK)
        _add(port, "model", type=_model(profile))
        if number > 1:
            _add(port, "link", state="down")
        _place(port, address.removeprefix("0000:"))
    for kind, line in _lines(profile):
        _add(_add(devices, "serial", type=kind), "target", type="isa-serial", port=str(line.unit))
    if profile.has_screen:
        _add(devices, "graphics", type="vnc", autoport="yes")
        screen = _add(devices, "video")
        _add(screen, "model", type="vga")
        _place(screen, SCREEN_SLOT)
    _add(devices, "memballoon", model="none")


def _add(parent: Xml.Element, tag: str, text: str | None = None, **attributes: str) -> Xml.Element:
    made = Xml.SubElement(parent, tag, attributes)
    made.text = text
    return made


def _place(parent: Xml.Element, address: str) -> None:
    bus, slot, function = _parts(address)
    _add(parent, "address", type="pci", domain="0x0000", bus=f"0x{bus}", slot=f"0x{slot}", function=f"0x{function}")


def _parts(address: str) -> tuple[str, str, str]:
    """Bus, slot and function of `01:00.0`, or of `10.0`, which is on bus 00."""
    bus, _, place = address.rpartition(":")
    slot, function = place.split(".")
    return bus or "00", slot, function


def _words(address: str) -> str:
    bus, slot, function = _parts(address)
    place = f"address.bus=0x{bus},address.slot=0x{slot},address.function=0x{function}"
    return f"address.type=pci,address.domain=0x0000,{place}"


def _bus(profile: HardwareProfile) -> Bus:
    bus: Bus = profile.twin.disk.bus
    if bus is not Bus.NVME:
        return bus
    return Bus.IDE if profile.twin.machine is Machine.PC else Bus.SATA


def _disk_words(profile: HardwareProfile) -> str:
    return f",{_words(DISK_SLOT)}" if _bus(profile) is Bus.VIRTIO else ""


def _model(profile: HardwareProfile) -> str:
    return _MODELS.get(profile.twin.nics.model, profile.twin.nics.model)


def _roots(profile: HardwareProfile) -> Iterator[tuple[int, str]]:
    """The root ports: the number of the bus behind each, and its slot on bus 00."""
    for address in profile.twin.nics.addresses:
        bus = int(address.split(":")[1], 16)
        if bus:
            yield bus, root_port_slot(bus)


def _lines(profile: HardwareProfile) -> Iterator[tuple[str, Console]]:
    """The serial lines, that of the console first: it is the one that `virsh console` opens."""
    yield "pty", profile.serial_console
    for other in profile.consoles:
        if other.serial and other.tty != profile.serial_console.tty:
            yield "null", other


def _port_words(profile: HardwareProfile) -> Iterator[str]:
    for number, address in enumerate(profile.twin.nics.addresses, start=1):
        cable = "" if number == 1 else ",link.state=down"
        own = f",mac={mac_address(profile, number)}" if profile.nics.bind is Binding.MAC else ""
        card = f"model={_model(profile)}{own}{cable}"
        yield f"network={NETWORK},{card},{_words(address.removeprefix('0000:'))}"


def _dmi_words(profile: HardwareProfile) -> str:
    dmi = profile.twin.dmi
    rows = {
        "system.manufacturer": dmi.manufacturer,
        "system.product": dmi.product,
        "baseBoard.manufacturer": dmi.manufacturer,
        "baseBoard.product": dmi.board,
    }
    return ",".join(["smbios", *(f'{key}="{text}"' for key, text in rows.items())])
