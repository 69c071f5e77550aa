"""`postern status`: what this box is and does, for a person or a program."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hardware import detect
from hardware.host.errors import Refused
from hardware.host.run import Failed, run
from installer.apply import services, space
from installer.apply.places import Places, Stage
from installer.apply.space import Space
from installer.apply.store import Generation, Store, Verdict
from installer.box import definitions, queue
from installer.box.certificate import Shown, shown
from installer.box.definitions import Definitions
from installer.update import slots
from overlays import render
from overlays.settings import Settings

_KEPT = (".Quarantine/cur", ".Quarantine/new", ".Bulk/cur", ".Bulk/new")
ACME = ("postern-acme.service", "postern-acme-taken.service")
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")


@dataclass(frozen=True)
class PortStatus:
    """One port of the box."""

    name: str
    link: str  # up, down, or missing: the kernel has no such interface
    speed_mbit: int | None
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """What is in everybody's quarantine. `oldest` is a time (ISO 8601), or None when there is nothing."""

    messages: int
    size_bytes: int
    oldest: str | None


@dataclass(frozen=True)
class Status:
    """What `postern status` says."""

    stage: str
    mode: str | None
    name: str | None
    profile: str | None
    version: str
    slot: str | None
    generation: int | None
    generation_time: str | None
    on_trial: bool
    ports: tuple[PortStatus, ...]
    services: dict[str, str]
    queue: dict[str, int]
    quarantine: Kept
    definitions: tuple[Definitions, ...]
    definitions_days: int | None  # how old the youngest is
    log_server: str | None
    waiting: dict[str, int]  # why recipients wait, and how many do
    certificate: Shown | None
    disk_mib: int
    disk_free_mib: int
    spaces: tuple[Space, ...]  # none: all share what is free
    problems: tuple[str, ...]


def look(places: Places) -> Status:
    """Gather it; what cannot be found out is None or empty, never an error: a box in trouble is what one looks at."""
    problems: list[str] = []
    profile = settings = None
    try:
        profile = detect.check_box(places.root)
    except Refused as refused:
        problems += map(str, refused.problems)
    store = Store(places)
    generation = store.current()
    settings = _settings(store, generation, problems)
    stage = places.stage()
    for path in (places.health_problems, places.answers_problems, places.refused):
        problems += path.read_text().splitlines() if path.is_file() else []
    certificate = _certificate(places)
    if certificate and certificate.ending:
        problems.append(certificate.ending)
    installed = tuple(definitions.installed(places))
    if settings and settings.uses_acme:
        problems.append(_acme_problem())
    if settings and settings.scans_viruses:
        problems.append(definitions.problem(list(installed)))
    if settings and settings.filters:
        problems.append(definitions.dns_problem(places))
    disk = shutil.disk_usage(places.root / "var")
    spaces = space.look(places)
    slot = slots.booted(places.root)
    problems += [space.problem(one) for one in spaces]
    if slot and not spaces:
        problems.append(space.SHARED)
    return Status(
        stage=stage.value if stage else "starting",
        mode=settings.mode.value if settings else None,
        name=settings.mailhost.fqdn if settings else None,
        profile=profile.id if profile else None,
        version=places.release.get("IMAGE_VERSION", "unknown"),
        slot=slot.value if slot else None,
        generation=generation.number if generation else None,
        generation_time=generation.about.time if generation else None,
        on_trial=generation is not None and generation.about.verdict is Verdict.TRIAL,
        ports=_ports(
            places.root,
            (*(profile.port_names if profile else ()), *(settings.network.made if settings else ())),
        ),
        services=_services(settings),
        queue=_queue(places.root),
        quarantine=_quarantine(places.root),
        definitions=installed,
        definitions_days=min((one.age.days for one in installed), default=None),
        log_server=str(settings.logs.server) if settings and settings.logs.server else None,
        waiting=queue.waiting(),
        certificate=certificate,
        disk_mib=disk.total >> 20,
        disk_free_mib=disk.free >> 20,
        spaces=spaces,
        problems=tuple(dict.fromkeys(filter(None, problems))),
    )


def report(places: Places, *, as_json: bool) -> str:
    """The text for whoever asked."""
    status = look(places)
    if as_json:
        return json.dumps(asdict(status), indent=1)
    return "\n".join(_lines(status))


def _lines(status: Status) -> list[str]:
    state = "not set up" if status.stage == Stage.FACTORY.value else status.stage.replace("-", " ")
    number = f"{status.generation} of {status.generation_time}" if status.generation else "none"
    number += ", on trial until `postern confirm`" if status.on_trial else ""
    rows = [
        ("State", f"{state}{f', {status.mode} mode' if status.mode else ''}"),
        ("Name", status.name or "none yet"),
        ("Hardware", status.profile or "unknown"),
        ("Firmware", f"{status.version}{f', slot {status.slot}' if status.slot else ''}"),
        ("Generation", number),
        *(("Ports" if not index else "", _port(port)) for index, port in enumerate(status.ports)),
        *(
            ("Services" if not index else "", f"{unit:24} {state}")
            for index, (unit, state) in enumerate(status.services.items())
        ),
        (
            "Queue",
            f"{sum(status.queue.values())} ({', '.join(f'{count} {name}' for name, count in status.queue.items())})",
        ),
        *(("Waiting" if not index else "", _wait(*one)) for index, one in enumerate(status.waiting.items())),
        ("Quarantine", _kept(status.quarantine)),
        *(("Definitions" if not index else "", text) for index, text in enumerate(_definitions(status))),
        ("Log server", status.log_server or "none"),
        ("Certificate", _until(status.certificate)),
        ("Data disk", f"{status.disk_free_mib} of {status.disk_mib} MiB free"),
        *(("Spaces" if not index else "", str(one)) for index, one in enumerate(status.spaces)),
        *(("Problems" if not index else "", problem) for index, problem in enumerate(status.problems)),
    ]
    return [f"{label:11} {text}".rstrip() for label, text in rows]


def _kept(kept: Kept) -> str:
    if not kept.oldest:
        return "empty"
    return f"{kept.messages} ({kept.size_bytes / 2**20:.1f} MiB), the oldest of {kept.oldest[:10]}"


def _definitions(status: Status) -> list[str]:
    return definitions.summary(list(status.definitions)).splitlines()


def _wait(reason: str, recipients: int) -> str:
    return f"{recipients} {'recipient' if recipients == 1 else 'recipients'}: {reason}"


def _until(certificate: Shown | None) -> str:
    if certificate is None:
        return "none"
    return f"for {', '.join(certificate.names)} until {certificate.ends[:10]}, {certificate.source}"


def _certificate(places: Places) -> Shown | None:
    try:
        return shown(places)
    except Refused:
        return None


def _acme_problem() -> str:
    """Why the last try to get a certificate failed, in its own last words; empty when it did not."""
    try:
        failed = [unit for unit, state in services.show(ACME).items() if state.result != "success"]
    except Failed:
        return ""
    return f"no certificate by ACME: {services.journal_of(failed[0])}" if failed else ""


def _port(port: PortStatus) -> str:
    speed = f" {port.speed_mbit} Mbit/s" if port.speed_mbit else ""
    return f"{port.name:8} {port.link}{speed}  {' '.join(port.addresses) or 'no address'}"


def _settings(store: Store, generation: Generation | None, problems: list[str]) -> Settings | None:
    try:
        return store.load(generation)[0] if generation else None
    except Refused as refused:
        problems += map(str, refused.problems)
        return None


def _services(settings: Settings | None) -> dict[str, str]:
    try:
        wanted = [service.unit for service in render.services(settings)] if settings else []
        units = dict.fromkeys([*wanted, *render.all_units()])
        states = services.show(units)
    except Failed as failed:
        return {"systemd": str(failed).splitlines()[0]}
    return {
        unit.removesuffix(".service"): state.active if unit in wanted or state.active == "active" else "off"
        for unit, state in states.items()
    }


def _ports(root: Path, names: tuple[str, ...]) -> tuple[PortStatus, ...]:
    addresses = _addresses()
    return tuple(_one_port(root / "sys/class/net" / name, addresses.get(name, ())) for name in names)


def _one_port(folder: Path, addresses: tuple[str, ...]) -> PortStatus:
    if not folder.exists():
        return PortStatus(folder.name, "missing", None, ())
    link = "up" if _text(folder / "carrier") == "1" else "down"
    speed = _text(folder / "speed")
    return PortStatus(folder.name, link, int(speed) if link == "up" and speed.isdigit() else None, addresses)


def _addresses() -> dict[str, tuple[str, ...]]:
    try:
        links = json.loads(run(["ip", "-json", "address", "show"], timeout=20).stdout or "[]")
    except (Failed, ValueError):
        return {}
    return {
        link.get("ifname", ""): tuple(
            f"{one['local']}/{one['prefixlen']}" for one in link.get("addr_info", []) if one.get("scope") == "global"
        )
        for link in links
    }


def _queue(root: Path) -> dict[str, int]:
    """Messages by queue: counted as files, for postqueue needs a running Postfix. `deferred` may have subfolders."""
    spool = root / "var/spool/postfix"
    return {name: sum(1 for path in (spool / name).rglob("*") if path.is_file()) for name in QUEUES}


def _quarantine(root: Path) -> Kept:
    """Counted as files, for doveadm would have to be asked for each owner. A message of now may be gone meanwhile."""
    found = []
    for folder in _KEPT:
        for path in (root / "var/vmail").glob(f"*/*/Maildir/{folder}/*"):
            with suppress(FileNotFoundError):
                found.append(path.stat())
    oldest = min((one.st_mtime for one in found), default=None)
    return Kept(
        messages=len(found),
        size_bytes=sum(one.st_size for one in found),
        oldest=datetime.fromtimestamp(oldest, UTC).isoformat(timespec="seconds") if oldest is not None else None,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
