"""A profile's twin as QEMU arguments. That QEMU takes them, and boots, is for the machine tests."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hardware import profile as profiles
from hardware.parts import Binding, Dmi, Firmware
from hardware.profile import HardwareProfile
from hardware.twin import (
    FACTORY_NET,
    Accelerator,
    Cache,
    Datagrams,
    Drive,
    DriveBus,
    Forward,
    ImageFile,
    NbdServer,
    Ovmf,
    SerialLog,
    SerialSocket,
    Stream,
    Tap,
    TwinOptions,
    UserNet,
    arguments,
    mac_address,
)

PLAIN = TwinOptions(ImageFile(Path("disk.qcow2"), "qcow2"))
OVMF = Ovmf(Path("code.fd"), Path("vars.fd"))


def options_for(profile: HardwareProfile) -> TwinOptions:
    return replace(PLAIN, ovmf=OVMF if profile.twin.firmware is Firmware.UEFI else None)


def values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == option]


def device(arguments: list[str], driver: str) -> list[str]:
    return [value for value in values(arguments, "-device") if value.startswith(f"{driver},")]


def nodes(arguments: list[str]) -> dict[str, Any]:
    return {node["node-name"]: node for node in map(json.loads, values(arguments, "-blockdev"))}


@pytest.mark.parametrize("profile", profiles.load_all(), ids=lambda profile: str(profile.id))
def test_every_twin_is_the_machine_that_its_profile_says(profile: HardwareProfile) -> None:
    built = arguments(profile, options_for(profile))
    twin = profile.twin
    assert values(built, "-machine")[0].split(",")[0] == twin.machine
    assert values(built, "-m") == [f"{twin.memory_mib}M"]
    assert values(built, "-accel") == ["tcg,thread=multi"]
    model, *without = values(built, "-cpu")[0].split(",")
    assert model == "max"
    assert {"-erms", "-ssse3", "-sse4.1", "-sse4.2", "-avx", "-avx2"} <= set(without)
    assert len(device(built, twin.nics.model)) == len(twin.nics.addresses)
    assert bool(device(built, "VGA")) is profile.has_screen
    assert ("ovmf-code" in nodes(built)) is (twin.firmware is Firmware.UEFI)
    assert len(device(built, "isa-serial")) == 1


def test_the_fortimail_twin() -> None:
    built = arguments(profiles.load("fortimail-100"), PLAIN)
    assert device(built, "ide-hd") == ["ide-hd,drive=disk,serial=disk,bus=ide.0,unit=0,bootindex=0"]
    assert device(built, "rtl8139")[3] == "rtl8139,netdev=port4,mac=52:54:00:50:00:04,bus=pci.0,addr=06.0,romfile="
    assert values(built, "-smbios")[0] == "type=1,manufacturer=Fortinet,product=FortiMail-100"


def test_ports_sit_behind_the_buses_of_the_board() -> None:
    built = arguments(profiles.load("pcengines-apu2"), PLAIN)
    assert [port.split(",")[1] for port in device(built, "pcie-root-port")] == ["id=bus01", "id=bus02", "id=bus03"]
    assert [",bus=bus0" in nic and "addr=00.0" in nic for nic in device(built, "e1000e")] == [True] * 3


def test_ports_reach_this_machine_on_the_loopback_alone() -> None:
    net = UserNet(IPv4Interface("192.0.2.1/28"), IPv4Address("192.0.2.10"), (Forward(2525, 25), Forward(2222, 22)))
    built = arguments(profiles.load("vm-bios"), replace(PLAIN, ports=(net,)))
    port1, *others = values(built, "-netdev")
    assert port1 == (
        "user,id=port1,ipv6=off,net=192.0.2.0/28,host=192.0.2.1,dns=192.0.2.2,dhcpstart=192.0.2.10,restrict=off,"
        "hostfwd=tcp:127.0.0.1:2525-192.0.2.10:25,hostfwd=tcp:127.0.0.1:2222-192.0.2.10:22"
    )
    assert all("hostfwd" not in net and net.endswith(",restrict=on") for net in others)
    assert [net.split(",")[3] for net in others] == [f"net=10.255.{number}.0/24" for number in (2, 3, 4)]


def test_cables_to_sockets_and_interfaces() -> None:
    cables = (Datagrams(Path("a,b"), Path("c")), Stream(Path("s")), Stream(Path("s"), listen=False), Tap("t1"))
    built = arguments(profiles.load("vm-bios"), replace(PLAIN, ports=cables))
    assert values(built, "-netdev") == [
        "dgram,id=port1,local.type=unix,local.path=a,,b,remote.type=unix,remote.path=c",
        "stream,id=port2,server=on,addr.type=unix,addr.path=s",
        "stream,id=port3,server=off,addr.type=unix,addr.path=s",
        "tap,id=port4,ifname=t1,script=no,downscript=no",
    ]


def test_more_cables_than_ports() -> None:
    with pytest.raises(ValueError, match="5 cables, and the twin has 4 ports"):
        arguments(profiles.load("vm-bios"), replace(PLAIN, ports=PLAIN.ports * 5))


def test_macs_differ_between_twins_and_follow_a_binding_by_mac() -> None:
    profile = profiles.load("pcengines-apu2")
    assert mac_address(profile, 3, unit=255) == "52:54:00:50:ff:03"
    own = tuple(f"00:0d:b9:00:00:0{number}" for number in (3, 2, 1))
    bound = profile.nics.model_copy(update={"bind": Binding.MAC, "addresses": own})
    assert mac_address(profile.model_copy(update={"nics": bound}), 1) == "00:0d:b9:00:00:03"


def test_the_disk_and_how_its_writes_are_kept() -> None:
    served = replace(PLAIN, disk=NbdServer(Path("nbd.sock"), "box"), cache=Cache.DIRECT)
    disk = nodes(arguments(profiles.load("vm-bios"), served))["disk"]
    assert disk["driver"] == "raw"
    assert disk["file"]["server"] == {"type": "unix", "path": "nbd.sock"}
    assert disk["cache"] == {"direct": True, "no-flush": False}
    plain = nodes(arguments(profiles.load("vm-bios"), replace(PLAIN, disk=ImageFile(Path("d"), locking=False))))["disk"]
    assert plain["file"]["locking"] == "off"
    assert plain["cache"] == {"direct": False, "no-flush": False}


def test_drives_beside_the_disk() -> None:
    volume = ImageFile(Path("answers.img"))
    drives = (Drive(volume, DriveBus.USB), Drive(volume, DriveBus.VIRTIO), Drive(volume, DriveBus.CDROM))
    built = arguments(profiles.load("fortimail-100"), replace(PLAIN, drives=drives))
    assert device(built, "usb-storage") == ["usb-storage,bus=usb.0,drive=drive0"]
    assert device(built, "virtio-blk-pci") == ["virtio-blk-pci,drive=drive1,bus=pci.0,addr=13.0"]
    assert device(built, "ide-cd") == ["ide-cd,drive=drive2,bus=ide.0,unit=1"]
    assert all(node["read-only"] for name, node in nodes(built).items() if name != "disk")


def test_a_second_disk_on_the_same_bus_is_writable_or_refused() -> None:
    second = Drive(ImageFile(Path("two")), DriveBus.OWN, read_only=False)
    built = arguments(profiles.load("pcengines-apu2"), replace(PLAIN, drives=(second,)))
    assert device(built, "ide-hd")[1] == "ide-hd,drive=drive0,serial=drive0,bus=ide.1"
    with pytest.raises(ValueError, match="cannot be read-only"):
        arguments(profiles.load("pcengines-apu2"), replace(PLAIN, drives=(replace(second, read_only=True),)))


def test_the_serial_line() -> None:
    profile = profiles.load("fortimail-100")
    assert values(arguments(profile, PLAIN), "-chardev") == ["stdio,id=console,mux=on,signal=off"]
    socket = SerialSocket(Path("tty"), wait=True, log=Path("log"))
    built = arguments(profile, replace(PLAIN, serial=socket))
    assert values(built, "-chardev") == ["socket,id=console,path=tty,server=on,wait=on,logfile=log"]
    built = arguments(profile, replace(PLAIN, serial=SerialLog(Path("log"))))
    assert values(built, "-chardev") == ["file,id=console,path=log"]


def test_the_second_serial_port() -> None:
    profile = profiles.load("fortimail-100")
    lines = tuple(profile.consoles[0].model_copy(update={"tty": tty}) for tty in ("ttyS0", "ttyS1"))
    built = arguments(profile.model_copy(update={"consoles": lines}), PLAIN)
    assert device(built, "isa-serial") == ["isa-serial,index=1,chardev=console", "isa-serial,index=0,chardev=ttyS0"]


def test_what_tests_want_wrong_or_else() -> None:
    built = arguments(
        profiles.load("vm-bios"),
        replace(
            PLAIN,
            dmi=Dmi(manufacturer="VMware, Inc.", product="Virtual", board="Board"),
            memory_mib=512,
            cpus=1,
            accelerator=Accelerator.KVM,
            qmp=Path("qmp"),
            credentials=(("postern.answers", Path("answers.yaml")),),
            load_snapshot="service",
            paused=True,
            restart=False,
        ),
    )
    assert values(built, "-smbios")[0] == "type=1,manufacturer=VMware,, Inc.,product=Virtual"
    assert (values(built, "-m"), values(built, "-smp"), values(built, "-cpu")) == (["512M"], ["1"], ["host"])
    assert values(built, "-fw_cfg") == ["name=opt/io.systemd.credentials/postern.answers,file=answers.yaml"]
    assert values(built, "-qmp") == ["unix:qmp,server=on,wait=off"]
    assert values(built, "-loadvm") == ["service"]
    assert built[-2:] == ["-S", "-no-reboot"]


@pytest.mark.parametrize(("name", "ovmf"), [("vm-uefi", None), ("vm-bios", OVMF)])
def test_ovmf_goes_with_uefi(name: str, ovmf: Ovmf | None) -> None:
    with pytest.raises(ValueError, match="OVMF's files go with UEFI"):
        arguments(profiles.load(name), replace(PLAIN, ovmf=ovmf))


def test_a_medium_or_the_network_starts_the_box_before_its_disk() -> None:
    stick = Drive(ImageFile(Path("medium.iso")), DriveBus.USB, first=True)
    built = arguments(profiles.load("vm-bios"), replace(PLAIN, drives=(stick,)))
    assert device(built, "virtio-blk-pci")[0].endswith(",bootindex=1")
    assert device(built, "usb-storage")[0].endswith(",bootindex=0")

    net = replace(FACTORY_NET, tftp=Path("/srv/a,b"), bootfile="boot.ipxe")
    built = arguments(profiles.load("vm-bios"), replace(PLAIN, ports=(net,), from_network=True))
    assert values(built, "-netdev")[0].endswith(",tftp=/srv/a,,b,bootfile=boot.ipxe")
    port1, *others = device(built, "virtio-net-pci")
    assert port1.endswith(",bootindex=0")
    assert "romfile" not in port1
    uefi = arguments(profiles.load("vm-uefi"), replace(PLAIN, ovmf=OVMF, ports=(net,), from_network=True))
    assert device(uefi, "virtio-net-pci")[0].endswith(",bootindex=0,romfile=")  # the firmware's own
    assert all(nic.endswith(",romfile=") for nic in others)
    assert device(built, "virtio-blk-pci")[0].endswith(",bootindex=1")
