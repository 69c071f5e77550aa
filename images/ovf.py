"""The descriptor of an OVF package: the profile's virtual twin in VMware's words, and what may be set before the start.

As DMTF's DSP0243 1.1 has it, with the few additions that VMware reads. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from xml.etree import ElementTree as Xml

from hardware.libvirt import name
from hardware.parts import Bus, Firmware
from hardware.profile import HardwareProfile
from overlays.ovf import CLASS, PROPERTIES, Property

_OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
_RASD, _VSSD = f"{_CIM}CIM_ResourceAllocationSettingData", f"{_CIM}CIM_VirtualSystemSettingData"
_VMW = "http://www.vmware.com/schema/ovf"
_STREAM = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_HARDWARE = "vmx-13"  # ESXi 6.5: the first with NVMe
_DEBIAN_64 = ("96", "debian10_64Guest")  # the newest that hardware version knows

# CIM's numbers of kinds of devices, and VMware's names of what it can stand in with.
_CPU, _MEMORY, _IDE, _CARD, _CDROM, _DISK, _OTHER_STORAGE = "3", "4", "5", "10", "15", "17", "20"
_CONTROLLERS = {
    Bus.IDE: (_IDE, "PIIX4"),
    Bus.SATA: (_OTHER_STORAGE, "vmware.sata.ahci"),
    Bus.NVME: (_OTHER_STORAGE, "vmware.nvme.controller"),
}
_CARDS = {"e1000": "E1000", "e1000e": "E1000e", "vmxnet3": "VmxNet3"}

for _prefix, _address in (("ovf", _OVF), ("rasd", _RASD), ("vssd", _VSSD), ("vmw", _VMW)):
    Xml.register_namespace(_prefix, _address)


def objections(profile: HardwareProfile) -> Iterator[str]:
    """What of the profile's twin a VMware machine cannot have."""
    if profile.twin.disk.bus not in _CONTROLLERS:
        yield f"it has no disk on {profile.twin.disk.bus}"
    if profile.twin.nics.model not in _CARDS:
        yield f"it has no {profile.twin.nics.model}"


def descriptor(profile: HardwareProfile, version: str, vmdk: str, vmdk_bytes: int) -> str:
    """The text of the .ovf file. The disk has the size of the twin's."""
    top = Xml.Element(_ovf("Envelope"))
    files = _add(top, _ovf("References"))
    _add(files, _ovf("File"), id="disk", href=vmdk, size=str(vmdk_bytes))
    disks = _section(top, "DiskSection", "The disk")
    size = {"capacity": str(profile.twin.disk.size_gib), "capacityAllocationUnits": "byte * 2^30"}
    _add(disks, _ovf("Disk"), diskId="disk", fileRef="disk", format=_STREAM, **size)
    networks = _section(top, "NetworkSection", "A network for each port; ports of one cable may have the same")
    for port in _ports(profile):
        _add(_add(networks, _ovf("Network"), name=port), _ovf("Description"), f"where {port} leads")
    system = _section(top, "VirtualSystem", f"Postern {version}, secure mail appliance", id=name(profile))
    _add(system, _ovf("Name"), name(profile))
    number, guest = _DEBIAN_64
    kind = _section(system, "OperatingSystemSection", "Debian, 64 bits", id=number)
    kind.set(f"{{{_VMW}}}osType", guest)
    product = _section(system, "ProductSection", "Settings for the first start; all may stay empty")
    product.set(_ovf("class"), CLASS)
    for tag, text in (("Product", "Postern"), ("Version", version), ("FullVersion", version)):
        _add(product, _ovf(tag), text)
    for one in PROPERTIES:
        _property(product, one)
    _hardware(_section(system, "VirtualHardwareSection", "The machine", transport="iso"), profile)
    Xml.indent(top)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(top, encoding="unicode")}\n'


def _property(product: Xml.Element, one: Property) -> None:
    hidden = {"password": "true"} if one.secret else {}
    made = _add(product, _ovf("Property"), key=one.key, type="string", userConfigurable="true", value="", **hidden)
    _add(made, _ovf("Label"), one.label)
    _add(made, _ovf("Description"), one.description)


def _hardware(hardware: Xml.Element, profile: HardwareProfile) -> None:
    twin = profile.twin
    system = _add(hardware, _ovf("System"))
    for tag, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", name(profile)),
        ("VirtualSystemType", _HARDWARE),
    ):
        _add(system, f"{{{_VSSD}}}{tag}", text)
    ids = count(1)
    kind, model = _CONTROLLERS[twin.disk.bus]
    _item(hardware, ids, f"{twin.cpus} processors", _CPU, AllocationUnits="hertz * 10^6", VirtualQuantity=twin.cpus)
    _item(
        hardware, ids, f"{twin.memory_mib} MiB", _MEMORY, AllocationUnits="byte * 2^20", VirtualQuantity=twin.memory_mib
    )
    bus = _item(hardware, ids, "disk controller", kind, ResourceSubType=model, Address=0)
    _item(hardware, ids, "disk", _DISK, AddressOnParent=0, HostResource="ovf:/disk/disk", Parent=bus)
    # The settings come on a CD that the hypervisor makes; NVMe carries none.
    shared = twin.disk.bus is not Bus.NVME
    holder = bus if shared else _item(hardware, ids, "CD controller", _IDE, ResourceSubType="PIIX4", Address=0)
    _item(hardware, ids, "CD", _CDROM, AddressOnParent=int(shared), AutomaticAllocation="false", Parent=holder)
    for number, port in enumerate(_ports(profile)):
        card = _CARDS[twin.nics.model]
        place = {"AddressOnParent": number, "AutomaticAllocation": "true"}
        _item(hardware, ids, port, _CARD, Connection=port, ResourceSubType=card, **place)
    firmware = "efi" if twin.firmware is Firmware.UEFI else "bios"
    config = _add(hardware, f"{{{_VMW}}}Config")
    config.attrib |= {_ovf("required"): "false", f"{{{_VMW}}}key": "firmware", f"{{{_VMW}}}value": firmware}


def _ports(profile: HardwareProfile) -> tuple[str, ...]:
    return profile.port_names[: len(profile.twin.nics.addresses)]


def _item(hardware: Xml.Element, ids: Iterator[int], title: str, kind: str, **fields: object) -> int:
    """A device; its number. The schema wants the fields in the order of their names."""
    number = next(ids)
    made = _add(hardware, _ovf("Item"))
    for tag, value in sorted((fields | {"ElementName": title, "InstanceID": number, "ResourceType": kind}).items()):
        _add(made, f"{{{_RASD}}}{tag}", str(value))
    return number


def _section(parent: Xml.Element, tag: str, info: str, **attributes: str) -> Xml.Element:
    made = _add(parent, _ovf(tag), **attributes)
    _add(made, _ovf("Info"), info)
    return made


def _add(parent: Xml.Element, tag: str, text: str | None = None, **attributes: str) -> Xml.Element:
    made = Xml.SubElement(parent, tag, {_ovf(key): value for key, value in attributes.items()})
    made.text = text
    return made


def _ovf(word: str) -> str:
    return f"{{{_OVF}}}{word}"
