"""A profile's virtual twin: the arguments of QEMU that build the machine which stands in for the model.

Pure: nothing is started here and no file is looked at. The command line works with QEMU 7.2 (Debian 12) and 10.0
(Debian 13). Device addresses are fixed, so that a box finds its ports and disks where it found them before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from itertools import chain
from pathlib import Path

from hardware.parts import Binding, Bus, Console, Dmi, Firmware, Machine
from hardware.profile import HardwareProfile

# Slots of PCI bus 00. Ports have 03 to 0f; QEMU's own devices are at 00, 01 (pc) and 1f (q35).
SCREEN_SLOT, DISK_SLOT, _USB, _FIRST_DRIVE, _FIRST_ROOT_PORT = "02.0", "10.0", "11.0", 0x12, 0x18

# Emulated is x86-64 level 1, whatever the profile has: Debian needs no more, and a program that does is found here.
# What came later is slow to emulate, and Rspamd would compile for it, for minutes. It is QEMU's own model, cut down:
# the one of that level, qemu64, was seen to stand still while it booted. erms announces "fast" strings: slow ones here.
# la57 has a fifth level of page tables, which are walked in software: 4 % of a start; smap and pku ask at each access.
_EMULATED = (
    "max,-la57,-smap,-smep,-umip,-pku,-erms,-ssse3,-sse4.1,-sse4.2,-avx,-avx2,-aes,-pclmulqdq,-vaes,-vpclmulqdq,"
    "-sha-ni,-gfni"
)


class Accelerator(StrEnum):
    TCG = "tcg"  # emulation: works everywhere, and is what a host without a usable KVM has
    KVM = "kvm"


class Cache(StrEnum):
    """What the host does with the guest's writes; see `cache.direct` and `cache.no-flush` of QEMU's blockdev."""

    WRITEBACK = "writeback"  # in the host's cache until the guest flushes: as a disk with a write cache
    DIRECT = "direct"
    UNSAFE = "unsafe"  # flushes are ignored: fast, and a host that stops loses the disk


class DriveBus(StrEnum):
    OWN = "own"  # the bus of the twin's own disk
    CDROM = "cdrom"  # 2048-byte sectors: ISO 9660 only
    USB = "usb"
    VIRTIO = "virtio"


@dataclass(frozen=True)
class ImageFile:
    path: Path
    format: str = "raw"  # or qcow2
    locking: bool = True  # False lets a second QEMU open it


@dataclass(frozen=True)
class NbdServer:
    """A disk served by an NBD server, such as nbdkit, on a Unix socket."""

    socket: Path
    export: str = ""


@dataclass(frozen=True)
class Drive:
    """A drive beside the twin's own. On an IDE or SATA bus a hard disk cannot be read-only: QEMU refuses it.

    The firmware starts from the twin's own disk, unless a drive is `first`.
    """

    source: ImageFile | NbdServer
    bus: DriveBus
    read_only: bool = True
    first: bool = False


@dataclass(frozen=True)
class Forward:
    """A TCP port of 127.0.0.1 that leads to a port of the guest."""

    host_port: int
    guest_port: int


@dataclass(frozen=True)
class UserNet:
    """A network inside QEMU. `host` is the host's address in it, with its prefix length; the guest's packets to that
    address go to the host's 127.0.0.1, unless `restricted`. Forwards always work. Its DHCP server names `bootfile`,
    an address or a file of the folder `tftp`, which that host serves."""

    host: IPv4Interface
    guest: IPv4Address
    forwards: tuple[Forward, ...] = ()
    restricted: bool = False
    tftp: Path | None = None
    bootfile: str = ""


@dataclass(frozen=True)
class Datagrams:
    """A cable whose other end is a Unix datagram socket: one Ethernet frame a datagram, both ways.

    `local` is made by QEMU; `remote` must be bound before QEMU sends, and receives what the guest sends.
    """

    local: Path
    remote: Path


@dataclass(frozen=True)
class Stream:
    """A cable whose other end is a Unix stream socket: each frame after its length, 4 bytes big-endian.

    Two twins are joined by one that listens and one that does not, started in that order.
    """

    path: Path
    listen: bool = True


@dataclass(frozen=True)
class Tap:
    """A cable whose other end is a network interface of the host, made before (`ip tuntap add ... mode tap`)."""

    interface: str


PortLink = UserNet | Datagrams | Stream | Tap

FACTORY_NET = UserNet(IPv4Interface("192.168.1.1/24"), IPv4Address("192.168.1.99"))
"""Where a box before set-up is reached; it answers an ICMP echo there and nothing else."""


@dataclass(frozen=True)
class Terminal:
    """The serial line is this terminal. Ctrl-A X ends the twin, Ctrl-A H shows what else there is."""


@dataclass(frozen=True)
class SerialSocket:
    """The serial line is a Unix socket made by QEMU. With `wait` the machine starts when somebody has connected;
    without it, what the box says before is only in `log`."""

    path: Path
    wait: bool = False
    log: Path | None = None


@dataclass(frozen=True)
class SerialLog:
    """The serial line goes into a file, and nobody types."""

    path: Path


@dataclass(frozen=True)
class Ovmf:
    """OVMF's code, and this twin's own copy of its variables. A snapshot needs the copy as qcow2."""

    code: Path
    variables: Path
    variables_format: str = "raw"


@dataclass(frozen=True)
class TwinOptions:
    """What differs from one start of a twin to the next. `ports` are the cables of port1, port2, ...; a port without
    one has a restricted network of its own. `dmi`, `memory_mib` and `cpus` are for tests that want them otherwise."""

    disk: ImageFile | NbdServer
    ovmf: Ovmf | None = None
    cache: Cache = Cache.WRITEBACK
    drives: tuple[Drive, ...] = ()
    ports: tuple[PortLink, ...] = (FACTORY_NET,)
    serial: Terminal | SerialSocket | SerialLog = Terminal()
    qmp: Path | None = None
    credentials: tuple[tuple[str, Path], ...] = ()  # systemd credentials: name, file
    accelerator: Accelerator = Accelerator.TCG
    from_network: bool = False  # port1 starts the box: by OVMF's own PXE, or by the iPXE that is in a card's ROM
    dmi: Dmi | None = None
    memory_mib: int | None = None
    cpus: int | None = None
    unit: int = 0  # tells two twins of one profile on one cable apart: 0 to 255, a part of the MAC addresses
    load_snapshot: str = ""
    paused: bool = False  # wait for `cont` over QMP
    restart: bool = True  # False: QEMU ends where the box would restart
    extra: tuple[str, ...] = ()


def arguments(profile: HardwareProfile, options: TwinOptions) -> list[str]:
    """QEMU's arguments, without the program's name. Raises ValueError for what cannot be built."""
    twin = profile.twin
    if (twin.firmware is Firmware.UEFI) != (options.ovmf is not None):
        raise ValueError(f"{profile.id}: OVMF's files go with UEFI and with nothing else; this is {twin.firmware}")
    if len(options.ports) > len(twin.nics.addresses):
        raise ValueError(
            f"{profile.id}: {len(options.ports)} cables, and the twin has {len(twin.nics.addresses)} ports"
        )
    return [
        *_machine(profile, options),
        *_dmi(options.dmi or twin.dmi),
        *_serial(profile, options.serial),
        *_disks(profile, options),
        *_ports(profile, options),
        *chain.from_iterable(
            ("-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={_text(path)}")
            for name, path in options.credentials
        ),
        *(("-qmp", f"unix:{_text(options.qmp)},server=on,wait=off") if options.qmp else ()),
        *(("-loadvm", options.load_snapshot) if options.load_snapshot else ()),
        *(("-S",) if options.paused else ()),
        *(() if options.restart else ("-no-reboot",)),
        *options.extra,
    ]


def mac_address(profile: HardwareProfile, port: int, unit: int = 0) -> str:
    """The twin's MAC address of portN: the profile's own where it binds by MAC."""
    if profile.nics.bind is Binding.MAC:
        return profile.nics.addresses[port - 1]
    return f"52:54:00:50:{unit:02x}:{port:02x}"


def root_port_slot(bus: int) -> str:
    """The slot on bus 00 of the root port that leads to a bus: the firmware numbers buses in the order of these."""
    return f"{_FIRST_ROOT_PORT + bus - 1:02x}.0"


def _text(value: object) -> str:
    """A value inside a comma-separated QEMU option."""
    return str(value).replace(",", ",,")


def _machine(profile: HardwareProfile, options: TwinOptions) -> Iterator[str]:
    twin, ovmf = profile.twin, options.ovmf
    machine = str(twin.machine)
    if ovmf:
        yield from _blockdev("ovmf-code", ImageFile(ovmf.code), read_only=True)
        yield from _blockdev("ovmf-variables", ImageFile(ovmf.variables, ovmf.variables_format))
        machine += ",pflash0=ovmf-code,pflash1=ovmf-variables"
    yield from ("-name", profile.id, "-nodefaults", "-no-user-config", "-display", "none", "-machine", machine)
    if options.accelerator is Accelerator.KVM:
        yield from ("-accel", "kvm", "-cpu", "host")
    else:
        yield from ("-accel", "tcg,thread=multi", "-cpu", _EMULATED)
    yield from ("-smp", str(options.cpus or twin.cpus), "-m", f"{options.memory_mib or twin.memory_mib}M")
    if profile.has_screen:
        yield from ("-device", f"VGA,{_at(twin.machine, SCREEN_SLOT)}")


def _dmi(dmi: Dmi) -> Iterator[str]:
    maker, product, board = _text(dmi.manufacturer), _text(dmi.product), _text(dmi.board)
    yield from ("-smbios", f"type=1,manufacturer={maker},product={product}")
    yield from ("-smbios", f"type=2,manufacturer={maker},product={board}")


def _serial(profile: HardwareProfile, serial: Terminal | SerialSocket | SerialLog) -> Iterator[str]:
    """The profile's serial line at its port number; other serial consoles of the profile lead nowhere."""
    match serial:
        case Terminal():
            yield from ("-chardev", "stdio,id=console,mux=on,signal=off", "-mon", "chardev=console,mode=readline")
        case SerialSocket(path, wait, log):
            backend = f"socket,id=console,path={_text(path)},server=on,wait={'on' if wait else 'off'}"
            yield from ("-chardev", backend + (f",logfile={_text(log)}" if log else ""))
        case SerialLog(path):
            yield from ("-chardev", f"file,id=console,path={_text(path)}")
    line = profile.serial_console
    yield from ("-device", f"isa-serial,index={line.unit},chardev=console")
    for other in (console for console in profile.consoles if _is_other_line(console, line)):
        yield from ("-chardev", f"null,id={other.tty}", "-device", f"isa-serial,index={other.unit},chardev={other.tty}")


def _is_other_line(console: Console, line: Console) -> bool:
    return console.serial and console.tty != line.tty


def _disks(profile: HardwareProfile, options: TwinOptions) -> Iterator[str]:
    machine, bus = profile.twin.machine, profile.twin.disk.bus
    channels = _channels(machine)
    yield from _blockdev("disk", options.disk, options.cache)
    place = int(options.from_network or any(drive.first for drive in options.drives))
    yield from ("-device", f"{_disk_device(machine, bus, 'disk', DISK_SLOT, channels)},bootindex={place}")
    if any(drive.bus is DriveBus.USB for drive in options.drives):
        yield from ("-device", f"qemu-xhci,id=usb,{_at(machine, _USB)}")
    for number, drive in enumerate(options.drives):
        node, slot = f"drive{number}", f"{_FIRST_DRIVE + number:02x}.0"
        yield from _blockdev(node, drive.source, options.cache, read_only=drive.read_only)
        match drive.bus:
            case DriveBus.OWN if drive.read_only and bus in (Bus.IDE, Bus.SATA):
                raise ValueError(f"{profile.id}: a hard disk on {bus} cannot be read-only; use another DriveBus")
            case DriveBus.OWN:
                device = _disk_device(machine, bus, node, slot, channels)
            case DriveBus.CDROM:
                device = f"ide-cd,drive={node},{next(channels)}"
            case DriveBus.USB:
                device = f"usb-storage,bus=usb.0,drive={node}"
            case DriveBus.VIRTIO:
                device = _disk_device(machine, Bus.VIRTIO, node, slot, channels)
        yield from ("-device", device + (",bootindex=0" if drive.first else ""))


def _disk_device(machine: Machine, bus: Bus, node: str, slot: str, channels: Iterator[str]) -> str:
    match bus:
        case Bus.VIRTIO:
            return f"virtio-blk-pci,drive={node},{_at(machine, slot)}"
        case Bus.NVME:
            return f"nvme,drive={node},serial={node},{_at(machine, slot)}"
        case _:
            return f"ide-hd,drive={node},serial={node},{next(channels)}"


def _channels(machine: Machine) -> Iterator[str]:
    """The places for drives on the chipset's own controller: two IDE cables of two drives, or six SATA ports."""
    if machine is Machine.PC:
        return (f"bus=ide.{cable},unit={unit}" for cable in (0, 1) for unit in (0, 1))
    return (f"bus=ide.{port}" for port in range(6))


def _blockdev(
    node: str, source: ImageFile | NbdServer, cache: Cache = Cache.WRITEBACK, *, read_only: bool = False
) -> Iterator[str]:
    protocol: dict[str, object]
    match source:
        case ImageFile(path, form, locking):
            protocol = {"driver": "file", "filename": str(path), "locking": "auto" if locking else "off"}
        case NbdServer(socket, export):
            form = "raw"
            protocol = {"driver": "nbd", "server": {"type": "unix", "path": str(socket)}, "export": export}
    handling = {"direct": cache is Cache.DIRECT, "no-flush": cache is Cache.UNSAFE}
    yield "-blockdev"
    yield json.dumps(
        {
            "driver": form,
            "node-name": node,
            "read-only": read_only,
            "cache": handling,
            "file": protocol | {"read-only": read_only, "cache": handling},
        }
    )


def _ports(profile: HardwareProfile, options: TwinOptions) -> Iterator[str]:
    nics = profile.twin.nics
    for number, address in enumerate(nics.addresses, start=1):
        link = options.ports[number - 1] if number <= len(options.ports) else _own_net(number)
        bus, slot = address.split(":")[1:]
        place = _at(profile.twin.machine, slot)
        if bus != "00":
            chassis = f"chassis={int(bus, 16)},{_at(profile.twin.machine, root_port_slot(int(bus, 16)))}"
            yield from ("-device", f"pcie-root-port,id=bus{bus},{chassis}")
            place = f"bus=bus{bus},addr={slot}"
        yield from ("-netdev", _netdev(f"port{number}", link))
        mac = mac_address(profile, number, options.unit)
        device = f"{nics.model},netdev=port{number},mac={mac},{place}"
        starts = options.from_network and number == 1
        if starts:
            device += ",bootindex=0"
        if options.ovmf or not starts:
            device += ",romfile="  # no iPXE: UEFI has drivers of its own, and other ports start nothing
        yield from ("-device", device)


def _own_net(number: int) -> UserNet:
    return UserNet(IPv4Interface(f"10.255.{number}.1/24"), IPv4Address(f"10.255.{number}.99"), restricted=True)


def _netdev(name: str, link: PortLink) -> str:
    match link:
        case UserNet(host, guest, forwards, restricted, tftp, bootfile):
            # QEMU's own choices for DHCP and DNS assume a large network and the host at .2.
            spare = next(address for address in host.network.hosts() if address not in (host.ip, guest))
            doors = [f",hostfwd=tcp:127.0.0.1:{door.host_port}-{guest}:{door.guest_port}" for door in forwards]
            return (
                f"user,id={name},ipv6=off,net={host.network},host={host.ip},dns={spare},dhcpstart={guest},"
                f"restrict={'on' if restricted else 'off'}{''.join(doors)}"
                f"{f',tftp={_text(tftp)}' if tftp else ''}{f',bootfile={_text(bootfile)}' if bootfile else ''}"
            )
        case Datagrams(local, remote):
            return (
                f"dgram,id={name},local.type=unix,local.path={_text(local)},"
                f"remote.type=unix,remote.path={_text(remote)}"
            )
        case Stream(path, listen):
            server = "on" if listen else "off"
            return f"stream,id={name},server={server},addr.type=unix,addr.path={_text(path)}"
        case Tap(interface):
            return f"tap,id={name},ifname={interface},script=no,downscript=no"


def _at(machine: Machine, slot: str) -> str:
    return f"bus={'pci.0' if machine is Machine.PC else 'pcie.0'},addr={slot}"
