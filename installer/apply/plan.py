"""What is to be true on the box, as a value: files, units, checks. The bridge from `overlays` to the verbs here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hardware.host import log
from hardware.host.run import run
from hardware.profile import HardwareProfile
from installer.apply import certificate
from installer.apply.certificate import Pair
from overlays import render
from overlays.overlay import Check, Service, overlays
from overlays.render import RenderedFile
from overlays.settings import Secrets, Settings


@dataclass(frozen=True)
class Plan:
    """Everything that apply makes true. `services` start with what the others stand on."""

    files: Mapping[str, RenderedFile]
    services: tuple[Service, ...]
    checks: tuple[Check, ...] = ()
    name: str = ""  # the box's FQDN, once it has one
    certificate: Pair | None = None  # None: the one that the box made
    acme: bool = False  # an authority gives it one, if the settings do not
    dkim: tuple[str, ...] = ()  # the files of the keys that sign
    fence: bool = False  # nothing was applied yet: the init fence holds

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(service.unit for service in self.services)

    @property
    def unneeded(self) -> tuple[str, ...]:
        """Units that other settings need."""
        return tuple(unit for unit in render.all_units() if unit not in self.units)


def of(settings: Settings, secrets: Secrets, profile: HardwareProfile) -> Plan:
    """The plan of settings without problems, and of secrets that were hashed."""
    return Plan(
        files=render.render_boot(settings, secrets, profile),
        services=render.services(settings),
        checks=render.checks(settings),
        name=settings.mailhost.fqdn,
        certificate=certificate.pair_of(settings, secrets),
        acme=settings.uses_acme,
        dkim=tuple(signature.file for signature in settings.signs),
    )


def of_factory(profile: HardwareProfile) -> Plan:
    """The plan before set-up: it runs the services that find everything they read among the few files of that state."""
    files = render.render_boot(None, None, profile)

    def complete(service: Service) -> bool:
        return all(any(path.startswith(start) for path in files) for start in service.reads)

    every = (service for overlay in overlays().values() for service in overlay.services)
    return Plan(files, tuple(service for service in every if complete(service)), fence=True)


def reads(service: Service, paths: Iterable[str]) -> bool:
    """Does the service read one of these files?"""
    return any(path.startswith(service.reads) for path in paths)


def hashed(secrets: Secrets) -> Secrets:
    """The secrets as they may be stored: no plain password. It goes to openssl by stdin, never by argv."""

    def make_hash(password: str) -> str:
        log.redact(password)
        return run(["openssl", "passwd", "-6", "-stdin"], stdin=f"{password}\n", timeout=60).stdout.strip()

    return secrets.hashed(make_hash)
