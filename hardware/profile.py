"""Hardware profiles: one file a model in profiles/, read into frozen, validated values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hardware.host import documents
from hardware.host.documents import Frozen, nearest
from hardware.host.errors import Problem, Refused, refuse
from hardware.parts import (
    UNKNOWN,
    Binding,
    Console,
    Count,
    Cpu,
    Disk,
    Firmware,
    Line,
    Match,
    Nics,
    OperationMode,
    Some,
    Status,
    Twin,
)

PROFILES = Path(__file__).parent / "profiles"
DEFAULT = "vm-uefi"

_KNOWN_SOURCE = re.compile(r"(memory|choice|measured|unknown)(: \S.*)?|https?://\S+( \S.*)?")


def _source(value: str) -> str:
    if not _KNOWN_SOURCE.fullmatch(value):
        raise ValueError("starts with an address, or with memory, choice, measured or unknown and `: ` and a remark")
    return value


class HardwareProfile(Frozen):
    """The facts of one model. `unknown` is a value; sizes are in the units that the names carry.

    `ram_mib` and `disks` are those of the smallest unit: services are sized from them. The last of `consoles` is
    /dev/console. `sources` says where a field's value comes from, by its path; a path covers all that is below it.
    """

    format: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    vendor: Line
    model: Line
    status: Status
    remarks: tuple[Line, ...] = ()
    match: Some[Match]
    cpu: Cpu
    ram_mib: Count
    firmware: Some[Firmware]
    consoles: Some[Console]
    nics: Nics
    disks: Some[Disk]
    op_modes: Some[OperationMode]
    sources: dict[str, Annotated[Line, AfterValidator(_source)]] = Field(default_factory=dict)
    twin: Twin

    @property
    def port_names(self) -> tuple[str, ...]:
        return self.nics.names

    @property
    def serial_console(self) -> Console:
        """The serial line that counts: the last one. Every profile has one, or `load` refuses it."""
        return [console for console in self.consoles if console.serial][-1]

    @property
    def has_screen(self) -> bool:
        return any(not console.serial for console in self.consoles)

    @property
    def least_disk_gib(self) -> int:
        """The disks of the smallest unit together; what is not known counts nothing."""
        return sum(disk.size_gib for disk in self.disks if disk.size_gib != UNKNOWN)

    @property
    def grub_terminal(self) -> str:
        """The lines of grub.cfg that put its menu on the serial line, and on the screen where there is one."""
        terminals = "serial console" if self.has_screen else "serial"
        line = self.serial_console
        status = f"set line_status={line.status_port:#x}"
        return f"{line.grub_serial}\n{status}\nterminal_input {terminals}\nterminal_output {terminals}\n"

    @property
    def kernel_consoles(self) -> str:
        """The kernel's console= arguments, in order: the last one is /dev/console."""
        return " ".join(console.kernel_argument for console in self.consoles)


def names(folder: Path = PROFILES) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load(name: str, folder: Path = PROFILES) -> HardwareProfile:
    """A profile by its name. Raises `Refused`: no such name, or everything that is wrong with the file."""
    if name not in names(folder):
        raise refuse(f"there is no hardware profile {name!r}", nearest(name, names(folder)))
    where = f"hardware/profiles/{name}.yaml" if folder == PROFILES else str(folder / f"{name}.yaml")
    profile = documents.read(folder / f"{name}.yaml", HardwareProfile, where)
    found = list(problems(profile, where))
    if profile.id != name:
        found.insert(0, Problem(where, "id", f"is {profile.id!r}, and the file is {name}.yaml", "they are the same"))
    if found:
        raise Refused(found)
    return profile


def load_all(folder: Path = PROFILES) -> tuple[HardwareProfile, ...]:
    """Every profile. Raises `Refused` with the problems of all files."""
    profiles: list[HardwareProfile] = []
    found: list[Problem] = []
    for name in names(folder):
        try:
            profiles.append(load(name, folder))
        except Refused as refused:
            found += refused.problems
    if found:
        raise Refused(found)
    return tuple(profiles)


def schema() -> dict[str, Any]:
    """The JSON Schema of a profile."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | HardwareProfile.model_json_schema()


def bindings_json(profiles: Iterable[HardwareProfile]) -> str:
    """What `hardware.ports` needs of each profile; it runs before anything that could read YAML."""
    bindings = {
        profile.id: {"bind": profile.nics.bind, "count": profile.nics.count, "addresses": profile.nics.addresses}
        for profile in profiles
    }
    return json.dumps(bindings, indent=1, sort_keys=True) + "\n"


def problems(profile: HardwareProfile, where: str) -> Iterable[Problem]:
    """What no single field can know: fields without a source, and a twin that would not stand in for the model."""
    facts = profile.model_dump(mode="json", exclude_unset=True, exclude=_OURS)
    paths = set(_paths(facts))
    if profile.status is Status.PAPER:
        for path in _unsourced(facts, "", profile.sources):
            hint = f"add {path}: to sources, with an address, or memory, choice, measured or unknown"
            yield Problem(where, path, "has no source, and a paper profile says where each field comes from", hint)
    for path in profile.sources:
        if path not in paths:
            yield Problem(where, f"sources.{path}", "names no field of this profile", nearest(path, paths))
    ttys = [console.tty for console in profile.consoles]
    for tty in sorted({tty for tty in ttys if ttys.count(tty) > 1}):
        yield Problem(where, "consoles", f"{tty} stands here twice")
    if not any(console.serial for console in profile.consoles):
        yield Problem(where, "consoles", "has no serial line", "add a record such as {tty: ttyS0, baud: 115200}")
    yield from _twin_problems(profile, where)


def _twin_problems(profile: HardwareProfile, where: str) -> Iterable[Problem]:
    twin, nics = profile.twin, profile.nics
    if twin.firmware not in profile.firmware:
        yield Problem(where, "twin.firmware", f"is {twin.firmware}, which the model does not have")
    if not any(match.accepts(twin.facts) for match in profile.match):
        yield Problem(where, "twin.dmi", "is not what `match` recognizes", f"the twin says {twin.facts}")
    if not (nics.least or nics.count) <= len(twin.nics.addresses) <= nics.count:
        yield Problem(where, "twin.nics.addresses", f"are {len(twin.nics.addresses)}, and the model has {nics.count}")
    if nics.bind is Binding.PCI and twin.nics.addresses != nics.addresses:
        yield Problem(where, "twin.nics.addresses", "are not where nics.addresses binds the ports")
    if profile.ram_mib != UNKNOWN and twin.memory_mib < profile.ram_mib:
        yield Problem(where, "twin.memory_mib", f"is less than ram_mib, which is {profile.ram_mib}")
    if twin.disk.size_gib < profile.least_disk_gib:
        yield Problem(where, "twin.disk.size_gib", f"is less than disks, which are {profile.least_disk_gib} GiB")


_OURS = {"format", "id", "status", "remarks", "sources"}  # not facts about the model


def _children(value: object) -> dict[str, object]:
    """The fields below a value; a list of plain values is one field, not many."""
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return {str(index): item for index, item in enumerate(value)}
    return value if isinstance(value, dict) else {}


def _paths(value: object, path: str = "") -> Iterable[str]:
    for name, child in _children(value).items():
        yield f"{path}{name}"
        yield from _paths(child, f"{path}{name}.")


def _unsourced(value: object, path: str, sources: Mapping[str, str]) -> Iterable[str]:
    """The paths that neither a source nor one above it covers; a part without any source counts as one path."""
    for name, child in _children(value).items():
        here = f"{path}{name}"
        if here in sources:
            continue
        if any(source.startswith(f"{here}.") for source in sources):
            yield from _unsourced(child, f"{here}.", sources)
        else:
            yield here


@dataclass(frozen=True)
class Summary:
    """One row of the list of profiles."""

    id: str
    status: str
    model: str
    ports: int
    ram_mib: int | str
    firmware: str
    console: str


def summary(profile: HardwareProfile) -> Summary:
    return Summary(
        id=profile.id,
        status=profile.status,
        model=f"{profile.vendor} {profile.model}",
        ports=profile.nics.count,
        ram_mib=profile.ram_mib,
        firmware="+".join(profile.firmware),
        console=f"{profile.serial_console.tty} {profile.serial_console.baud}",
    )


def describe(profile: HardwareProfile) -> str:
    """A profile for people, ten lines and its remarks and sources."""
    nics, twin = profile.nics, profile.twin
    bound = f"bound by {nics.bind}" + (f" ({', '.join(nics.addresses)})" if nics.addresses else "")
    at_least = f", at least {nics.least}" if nics.least else ""
    stand_in = (
        f"{twin.machine}, {'SeaBIOS' if twin.firmware is Firmware.BIOS else 'OVMF'}, {twin.cpus} CPUs, "
        f"{twin.memory_mib} MiB, {twin.disk.size_gib} GiB on {twin.disk.bus}, "
        f"{len(twin.nics.addresses)} x {twin.nics.model}"
    )
    rows = [
        ("recognized by", " or ".join(str(match) for match in profile.match)),
        ("processor", f"level {profile.cpu.isa_level}, cores {profile.cpu.cores}"),
        ("memory", f"{profile.ram_mib} MiB"),
        ("firmware", " or ".join(profile.firmware)),
        ("consoles", "; ".join(str(console) for console in profile.consoles)),
        ("ports", f"{nics.names[0]} to {nics.names[-1]}{at_least}, {bound}; {nics.driver}, {nics.speed_mbit} Mbit/s"),
        ("disks", "; ".join(f"{disk.role} on {disk.bus}, {disk.size_gib} GiB" for disk in profile.disks)),
        ("operation modes", ", ".join(profile.op_modes)),
        ("virtual twin", stand_in),
        *(("remark", remark) for remark in profile.remarks),
        *(("source", f"{path}: {source}") for path, source in profile.sources.items()),
    ]
    title = f"{profile.id}: {profile.vendor} {profile.model} ({profile.status})"
    return "\n".join([title, *(f"  {name:<16}{text}" for name, text in rows)]) + "\n"
