"""What a hardware profile is made of: how a box is recognized, its consoles, ports and disks, and its virtual twin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from hardware.host.documents import Frozen

UNKNOWN: Literal["unknown"] = "unknown"


def _count(value: object) -> int | str:
    if value == UNKNOWN or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError(f"is {value!r}; a whole number above 0 would be right, or `unknown`")


Count: TypeAlias = Annotated[
    int | Literal["unknown"], PlainValidator(_count, json_schema_input_type=int | Literal["unknown"])
]
"""A number that nobody may have found out yet. What needs it refuses an unknown one instead of guessing."""

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_MAC_ADDRESS = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def _address(value: object) -> object:
    # YAML reads 0000:00:03.0 as a number of base 60, so the mistake is common and its symptom odd.
    if not isinstance(value, str):
        raise ValueError("is not a text: write the address in quotes")
    return value.lower()


Address: TypeAlias = Annotated[str, BeforeValidator(_address)]
PciAddress: TypeAlias = Annotated[str, BeforeValidator(_address), Field(pattern=f"^{_PCI_ADDRESS.pattern}$")]
Line: TypeAlias = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]+$")]

Item = TypeVar("Item")


def _not_empty(value: tuple[Item, ...]) -> tuple[Item, ...]:
    if not value:
        raise ValueError("is empty, and one is the least")
    return value


# Not pydantic's min_length: it counts an item that is wrong as one that is not there, and says so too.
Some: TypeAlias = Annotated[tuple[Item, ...], AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1})]
"""A list of at least one."""


class Status(StrEnum):
    """How far a profile is to be trusted."""

    VERIFIED = "verified"  # facts read on a unit, and mail relayed by it
    BOOTED = "booted"  # came up on a unit (for a virtual model: on its hypervisor)
    PAPER = "paper"  # nobody here has one: every field names its source
    WIP = "wip"


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class OperationMode(StrEnum):
    GATEWAY = "gateway"
    TRANSPARENT = "transparent"
    SERVER = "server"


class IsaLevel(StrEnum):
    """The x86-64 micro-architecture level that every unit of the model has."""

    V1 = "x86-64-v1"
    V2 = "x86-64-v2"
    V3 = "x86-64-v3"
    V4 = "x86-64-v4"
    UNKNOWN = "unknown"


class Bus(StrEnum):
    IDE = "ide"
    SATA = "sata"
    NVME = "nvme"
    VIRTIO = "virtio"
    USB = "usb"
    SD = "sd"
    ANY = "any"
    UNKNOWN = "unknown"


class Binding(StrEnum):
    """What makes a network port port1: its place in the machine, its MAC address, or its rank among PCI addresses."""

    PCI = "pci"
    MAC = "mac"
    ORDER = "order"


class Baud(IntEnum):
    B9600 = 9600
    B19200 = 19200
    B38400 = 38400
    B57600 = 57600
    B115200 = 115200


@dataclass(frozen=True)
class Facts:
    """What a box says of itself. The names are those of /sys/class/dmi/id; a text that is not there is empty."""

    sys_vendor: str
    product_name: str
    board_name: str
    firmware: Firmware

    def __str__(self) -> str:
        return (
            f'sys_vendor "{self.sys_vendor}", product_name "{self.product_name}", '
            f'board_name "{self.board_name}", {self.firmware} firmware'
        )


class Match(Frozen):
    """One way to recognize a model: globs over DMI texts, and the firmware that started the box. All must hold."""

    sys_vendor: Line | None = None
    product_name: Line | None = None
    board_name: Line | None = None
    firmware: Firmware | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Match:
        if not self._globs and not self.firmware:
            raise ValueError('is empty; sys_vendor: "*" says that any box will do')
        return self

    @property
    def _globs(self) -> dict[str, str]:
        texts = {"sys_vendor": self.sys_vendor, "product_name": self.product_name, "board_name": self.board_name}
        return {name: glob for name, glob in texts.items() if glob is not None}

    def accepts(self, facts: Facts) -> bool:
        return self.firmware in (None, facts.firmware) and all(
            fnmatchcase(getattr(facts, name), glob) for name, glob in self._globs.items()
        )

    @property
    def names_a_model(self) -> bool:
        """Whether it asks for more than a maker: what any other machine of his does not have."""
        return bool(self.product_name or self.board_name)

    @property
    def specificity(self) -> tuple[int, int]:
        """How much it asks for: the texts that it does not leave open, then the letters that it fixes."""
        fixed = [len(glob.translate({ord("*"): None, ord("?"): None})) for glob in self._globs.values()]
        return sum(1 for letters in fixed if letters) + (self.firmware is not None), sum(fixed)

    def __str__(self) -> str:
        asked = [f'{name} "{glob}"' for name, glob in self._globs.items()]
        return " and ".join(asked + ([f"{self.firmware} firmware"] if self.firmware else []))


class Cpu(Frozen):
    isa_level: IsaLevel
    cores: Count


@dataclass(frozen=True)
class Getty:
    """The login line of a console: its unit, and the arguments of agetty (tty, speed, terminal type)."""

    unit: str
    tty: str
    arguments: tuple[str, ...]


class Console(Frozen):
    """One console, for boot loader, kernel and login alike: the screen (tty0) or a serial line (ttyS0 to ttyS3)."""

    tty: Annotated[str, Field(pattern=r"^(tty0|ttyS[0-3])$")]
    baud: Baud | None = None
    bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop: Literal[1] = 1  # neither console= nor agetty can say 2
    flow: Literal["none", "rtscts"] = "none"

    @model_validator(mode="after")
    def _a_line_has_a_speed(self) -> Console:
        if self.serial and self.baud is None:
            raise ValueError(f"{self.tty} is a serial line and needs its baud")
        if not self.serial and self.model_fields_set != {"tty"}:
            raise ValueError("tty0 is the screen, and a screen has no line settings")
        return self

    @property
    def serial(self) -> bool:
        return self.tty.startswith("ttyS")

    @property
    def unit(self) -> int:
        """The serial port's number, which GRUB and QEMU count as the kernel does."""
        return int(self.tty.removeprefix("ttyS")) if self.serial else 0

    @property
    def grub_serial(self) -> str:
        """GRUB's command that opens the line; empty for the screen."""
        if not self.serial:
            return ""
        parity = {"none": "no", "even": "even", "odd": "odd"}[self.parity]
        flow = " --rtscts=on" if self.flow == "rtscts" else ""
        speed = f"--unit={self.unit} --speed={self.baud} --word={self.bits} --parity={parity} --stop={self.stop}"
        return f"serial {speed}{flow}"

    @property
    def status_port(self) -> int:
        """The I/O port of a serial line's status register, where every PC has it: bit 0 says that something came."""
        return (0x3F8, 0x2F8, 0x3E8, 0x2E8)[self.unit] + 5

    @property
    def kernel_argument(self) -> str:
        if not self.serial:
            return f"console={self.tty}"
        flow = "r" if self.flow == "rtscts" else ""
        return f"console={self.tty},{self.baud}{self.parity[0]}{self.bits}{flow}"

    @property
    def getty(self) -> Getty:
        if not self.serial:  # tty0 is whichever screen is in front; a login wants one of its own
            return Getty("getty@tty1.service", "tty1", ("tty1", "linux"))
        flow = ("--flow-control",) if self.flow == "rtscts" else ()
        return Getty(f"serial-getty@{self.tty}.service", self.tty, (*flow, self.tty, str(self.baud), "vt220"))

    def __str__(self) -> str:
        line = f"{self.baud} {self.bits}{self.parity[0].upper()}{self.stop}"
        flow = "no flow control" if self.flow == "none" else "RTS/CTS"
        return f"{self.tty} at {line}, {flow}" if self.serial else f"{self.tty} (screen)"


class Nics(Frozen):
    """The network ports: port1 to port`count`, and by what they are bound.

    `addresses` are the PCI or MAC addresses of port1, port2, ...; a binding by order has none. `least` is how many
    ports the smallest unit has, for models such as virtual machines whose number differs.
    """

    bind: Binding
    count: Annotated[int, Field(ge=1, le=32)]
    least: Annotated[int, Field(ge=1, le=32)] | None = None
    addresses: tuple[Address, ...] = ()
    driver: Line
    speed_mbit: Count

    @model_validator(mode="after")
    def _addresses_fit(self) -> Nics:
        if self.least is not None and self.least > self.count:
            raise ValueError(f"least is {self.least}, more than count, which is {self.count}")
        if self.bind is Binding.ORDER:
            if self.addresses:
                raise ValueError("a binding by order takes no addresses")
            return self
        if len(self.addresses) != self.count:
            raise ValueError(f"{self.count} ports bound by {self.bind} need {self.count} addresses, one a port")
        if len(set(self.addresses)) != self.count:
            raise ValueError("two ports have the same address")
        pattern, example = {
            Binding.PCI: (_PCI_ADDRESS, "0000:01:00.0"),
            Binding.MAC: (_MAC_ADDRESS, "00:0d:b9:00:00:01"),
        }[self.bind]
        if wrong := [address for address in self.addresses if not pattern.fullmatch(address)]:
            raise ValueError(f"{', '.join(wrong)}: not a {self.bind} address such as {example}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"port{number}" for number in range(1, self.count + 1))


class DiskRole(StrEnum):
    COMBINED = "combined"  # system, mail and log on one disk
    SYSTEM = "system"
    MAIL = "mail"
    LOG = "log"


class Disk(Frozen):
    role: DiskRole
    bus: Bus
    size_gib: Count  # of the smallest unit


class Dmi(Frozen):
    """The texts that the twin's firmware gives itself."""

    manufacturer: Line
    product: Line
    board: Line


class Machine(StrEnum):
    PC = "pc"  # i440FX: IDE
    Q35 = "q35"  # ICH9: SATA, PCI Express


class TwinDisk(Frozen):
    bus: Literal[Bus.IDE, Bus.SATA, Bus.NVME, Bus.VIRTIO]
    size_gib: Annotated[int, Field(ge=1)]


class TwinNics(Frozen):
    """Ports of one emulated model. A PCI bus above 00 is a root port of its own: buses count 01, 02, ..."""

    model: Literal["virtio-net-pci", "e1000", "e1000e", "rtl8139", "vmxnet3"]  # what QEMU 7.2 and 10.0 both have
    addresses: Some[PciAddress]


class Twin(Frozen):
    """The QEMU machine that stands in for the model: `bios` is SeaBIOS there, `uefi` is OVMF."""

    machine: Machine
    firmware: Firmware
    cpus: Annotated[int, Field(ge=1, le=16)]
    memory_mib: Annotated[int, Field(ge=256)]
    disk: TwinDisk
    nics: TwinNics
    dmi: Dmi

    @model_validator(mode="after")
    def _can_be_built(self) -> Twin:
        wanted = {Bus.IDE: Machine.PC, Bus.SATA: Machine.Q35}.get(self.disk.bus, self.machine)
        if wanted is not self.machine:
            raise ValueError(f"a disk on {self.disk.bus} needs machine: {wanted}")
        places = [address.split(":", 1)[1] for address in self.nics.addresses]
        if any(not address.startswith("0000:") for address in self.nics.addresses) or len(set(places)) != len(places):
            raise ValueError("nics: addresses are different places in PCI domain 0000")
        if taken := [place for place in places if place.startswith("00:") and not "00:03" <= place < "00:10"]:
            raise ValueError(f"nics: {', '.join(taken)} is taken; bus 00 has room from 03.0 to 0f.7")
        behind = [place for place in places if not place.startswith("00:")]
        if behind and self.machine is not Machine.Q35:
            raise ValueError("nics: a PCI bus above 00 needs machine: q35")
        if behind != [f"{bus:02x}:00.0" for bus in range(1, len(behind) + 1)]:
            raise ValueError("nics: beyond bus 00, the buses count 01:00.0, 02:00.0, ... in the order of the ports")
        return self

    @property
    def facts(self) -> Facts:
        """What the box in the twin reads about itself."""
        return Facts(self.dmi.manufacturer, self.dmi.product, self.dmi.board, self.firmware)
