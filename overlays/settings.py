"""Settings: the sum of all concerns, the answer file they are read from, and the checks that span two concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface
from typing import Any, Literal, NamedTuple

from pydantic import Field

from hardware.host import documents
from hardware.host.documents import Frozen, nearest
from hardware.host.errors import Problem, Refused
from hardware.parts import OperationMode
from hardware.profile import HardwareProfile
from overlays.access import settings as access_concern
from overlays.admin.settings import AdminSecrets, AdminSettings
from overlays.clock.settings import ClockSettings
from overlays.domains import settings as domains_concern
from overlays.mailhost.settings import MailhostSettings
from overlays.network.settings import BRIDGE, NetworkSettings, Port, PortPlan, PortService
from overlays.transparent import settings as transparent_concern
from overlays.values import AnyAddress, Reason
from overlays.web import settings as web_concern

WORKING_MODES = (OperationMode.GATEWAY, OperationMode.TRANSPARENT)


class PickedUp(NamedTuple):
    """What connections that were picked up may be meant for, as networkd writes it."""

    family: str
    everywhere: str


class Settings(Frozen):
    """Every decision about a box, secrets apart. An answer file is one of these written down."""

    format: Literal[1] = Field(description="the number of this format")
    mode: OperationMode
    admin: AdminSettings = AdminSettings()
    network: NetworkSettings
    clock: ClockSettings = ClockSettings()
    mailhost: MailhostSettings
    domains: tuple[domains_concern.ProtectedDomain, ...] = ()
    access: tuple[access_concern.AccessRule, ...] = ()
    web: web_concern.WebSettings = web_concern.WebSettings()
    transparent: transparent_concern.TransparentSettings = transparent_concern.TransparentSettings()

    @property
    def own_domains(self) -> tuple[str, ...]:
        """The mail domains of the box itself. A local domain that is protected belongs to its server."""
        protected = {domain.name for domain in self.domains}
        candidates = (self.mailhost.fqdn, self.mailhost.local_domain)
        return tuple(name for name in candidates if name not in protected)

    @property
    def smtp_hosts(self) -> tuple[str, ...]:
        """The addresses that take mail, as Postfix's master.cf writes them."""
        return self.hosts(PortService.SMTP)

    def hosts(self, service: PortService | str) -> tuple[str, ...]:
        """The addresses of the ports that let a service in, as they stand before a colon and a number."""
        addresses = self.network.allowing(service)
        return tuple(f"[{address}]" if address.version == 6 else str(address) for address in addresses)

    def smtp_share(self, whole: int) -> int:
        """One address's part of what all of them may use together: Postfix counts for each by itself."""
        return max(4, whole // max(1, len(self.smtp_hosts)))

    @property
    def aliases(self) -> tuple[str, ...]:
        """The addresses of the box itself that the postmaster reads; none without one."""
        if not self.mailhost.postmaster:
            return ()
        return tuple(f"{name}@{domain}" for domain in self.own_domains for name in ("postmaster", "abuse", "root"))

    @property
    def home_page(self) -> str:
        """Where the web server leads whoever names no page."""
        return web_concern.home(self.mode)

    @property
    def bridge_plan(self) -> PortPlan:
        """Transparent mode's bridge as networkd is told of it."""
        return self.network.plan(BRIDGE)

    @property
    def picked_up(self) -> tuple[PickedUp, ...]:
        """For each IP family of the bridge."""
        families = {address.version for address in self.bridge_plan.addresses}
        return tuple(PickedUp(f"ipv{one}", "0.0.0.0/0" if one == 4 else "::/0") for one in sorted(families))

    @property
    def protected_servers(self) -> tuple[transparent_concern.ProtectedServer, ...]:
        """What transparent mode watches for."""
        return transparent_concern.servers(self.transparent, self._known_servers)

    @property
    def _known_servers(self) -> transparent_concern.Servers:
        return [(domain.name, domain.server, domain.port) for domain in self.domains]

    @property
    def domain_rows(self) -> tuple[domains_concern.Row, ...]:
        return domains_concern.rows(self.domains)

    @property
    def access_rows(self) -> tuple[access_concern.Row, ...]:
        return access_concern.rows(self.access)


class Secrets(Frozen):
    """What must not be seen, in a file of its own."""

    format: Literal[1] = Field(description="the number of this format")
    admin: AdminSecrets | None = Field(None, description="without it only an SSH key gets in")
    web: web_concern.WebSecrets = web_concern.WebSecrets()

    @property
    def shadow_field(self) -> str:
        """The password field of `admin` in /etc/shadow: a hash, or an asterisk that no password matches."""
        if self.admin is None:
            return "*"
        if self.admin.password_hash is None:
            raise ValueError("the password was not hashed before rendering")
        return self.admin.password_hash.get_secret_value()

    @property
    def has_password(self) -> bool:
        return self.admin is not None

    def hashed(self, make_hash: Callable[[str], str]) -> Secrets:
        """The same secrets with hashes in place of plain passwords."""
        if self.admin is None or self.admin.password is None:
            return self
        made = make_hash(self.admin.password.get_secret_value())
        return self.model_copy(update={"admin": AdminSecrets.model_validate({"password_hash": made})})


def parse_answers(text: str, source: str) -> Settings:
    """An answer file's settings. Raises `Refused` with every problem of form; `problems` finds those of meaning."""
    return documents.parse(text, source, Settings)


def parse_secrets(text: str, source: str) -> Secrets:
    return documents.parse(text, source, Secrets)


def dump_answers(settings: Settings) -> str:
    """The answer file that repeats these settings."""
    return documents.dump(settings)


def dump_secrets(secrets: Secrets) -> str:
    """The secrets file, readable: for a file of mode 0600 and nothing else."""
    return documents.dump(secrets)


def schema() -> dict[str, Any]:
    """The answer file's JSON Schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema()


def secrets_schema() -> dict[str, Any]:
    """The secrets file's JSON Schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Secrets.model_json_schema()


def factory(profile: HardwareProfile) -> Settings:
    """What a box is before anybody decided anything: the first port answers to ping, and that is all."""
    first = Port(addresses=(IPv4Interface("192.168.1.99/24"),), allow=(PortService.PING,))
    return Settings(
        format=1,
        mode=OperationMode.GATEWAY,
        network=NetworkSettings(ports={profile.port_names[0]: first}),
        mailhost=MailhostSettings(host_name="postern", local_domain="postern.invalid"),
    )


def check(settings: Settings, profile: HardwareProfile, source: str, secrets: Secrets | None = None) -> None:
    """Raise `Refused` with everything that keeps these settings from working on that hardware."""
    found = problems(settings, profile, source, secrets)
    if found:
        raise Refused(found)


def problems(
    settings: Settings, profile: HardwareProfile, source: str = "settings", secrets: Secrets | None = None
) -> list[Problem]:
    """Every reason why these settings cannot work on that hardware; `source` is the file they come from."""
    return [
        Problem(source, reason.path, reason.message, reason.hint) for reason in _reasons(settings, profile, secrets)
    ]


def _reasons(settings: Settings, profile: HardwareProfile, secrets: Secrets | None) -> Iterator[Reason]:
    if settings.mode not in WORKING_MODES:
        yield Reason("mode", f"{settings.mode} mode does not work yet", f"{', '.join(WORKING_MODES)} would be right")
    elif settings.mode not in profile.op_modes:
        yield Reason("mode", f"{settings.mode} mode does not work on {profile.id}", f"it has {_list(profile.op_modes)}")
    for name in settings.network.ports:
        if name not in profile.port_names:
            yield Reason(f"network.ports.{name}", f"{profile.id} has no such port", nearest(name, profile.port_names))
    yield from settings.admin.problems()
    yield from settings.network.problems()
    yield from settings.clock.problems()
    yield from settings.mailhost.problems()
    yield from domains_concern.problems(settings.domains)
    yield from access_concern.problems(settings.access)
    yield from web_concern.problems(settings.web, secrets.web if secrets else None)
    yield from _who_gets_in(settings, secrets)
    yield from _transparent(settings, profile)
    yield from _own_names(settings)
    yield from _servers(settings)
    yield from _names_need_dns(settings)


def _transparent(settings: Settings, profile: HardwareProfile) -> Iterator[Reason]:
    network = settings.network
    if settings.mode is not OperationMode.TRANSPARENT:
        if network.bridge:
            yield Reason("network.bridge", f"{settings.mode} mode has no bridge", "give the ports addresses")
        return
    if network.bridge is None:
        yield Reason("network.bridge", "is missing", "such as bridge: {addresses: [192.0.2.10/24], allow: [ping, ssh]}")
    elif len(network.bridged(profile.port_names)) < 2:
        yield Reason("network.ports", "a bridge needs two ports without addresses", "take addresses from the ports")
    yield from transparent_concern.problems(settings.transparent, settings._known_servers)


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _who_gets_in(settings: Settings, secrets: Secrets | None) -> Iterator[Reason]:
    if settings.mode is not OperationMode.TRANSPARENT and not settings.network.allowing(PortService.SMTP):
        yield Reason("network.ports", "no port lets in smtp, so no mail can arrive", "such as allow: [ping, ssh, smtp]")
    if secrets is not None and not secrets.has_password and not settings.admin.keys:
        yield Reason("admin", "nobody could log in: no password and no key", "set admin.password in the secrets file")


def _own_names(settings: Settings) -> Iterator[Reason]:
    fqdn, postmaster = settings.mailhost.fqdn, settings.mailhost.postmaster
    for index, domain in enumerate(settings.domains):
        if domain.name == fqdn:
            hint = "protect the domain, or give the box another host_name"
            yield Reason(f"domains.{index}.name", f"{fqdn} is the box's own name", hint)
    if postmaster and postmaster.rpartition("@")[2] in settings.own_domains:
        yield Reason("mailhost.postmaster", f"{postmaster} is on the box, which keeps no mail", "name another mailbox")


def _servers(settings: Settings) -> Iterator[Reason]:
    network, fqdn = settings.network, settings.mailhost.fqdn
    for index, domain in enumerate(settings.domains):
        path = f"domains.{index}.server"
        if domain.server in network.addresses or domain.server == fqdn:
            yield Reason(
                path, f"{domain.server} is the box itself: its mail would go in circles", "name the mail server"
            )
        elif not isinstance(domain.server, str) and not network.leads_to(domain.server):
            yield _unreachable(path, domain.server)
    for index, server in enumerate(settings.clock.ntp):
        path = f"clock.ntp.{index}"
        if server in network.addresses or server == fqdn:
            yield Reason(path, f"{server} is the box itself", "name a time server, or none")
        elif not isinstance(server, str) and not network.leads_to(server):
            yield _unreachable(path, server)


def _unreachable(path: str, address: AnyAddress) -> Reason:
    return Reason(path, f"no port, route or gateway leads to {address}", f"add a gateway for IPv{address.version}")


def _names_need_dns(settings: Settings) -> Iterator[Reason]:
    if settings.network.dns:
        return
    hint = "set network.dns, or write the address"
    for index, domain in enumerate(settings.domains):
        if isinstance(domain.server, str):
            yield Reason(f"domains.{index}.server", f"{domain.server} is a name, and there is no name server", hint)
    for index, server in enumerate(settings.clock.ntp):
        if isinstance(server, str):
            yield Reason(f"clock.ntp.{index}", f"{server} is a name, and there is no name server", hint)
    for index, rule in enumerate(settings.access):
        if rule.action is access_concern.Action.RELAY:
            yield Reason(f"access.{index}", "relays to the world, which needs a name server", "set network.dns")
    postmaster = settings.mailhost.postmaster
    if postmaster and postmaster.rpartition("@")[2] not in {domain.name for domain in settings.domains}:
        yield Reason("mailhost.postmaster", f"{postmaster} is outside, which needs a name server", "set network.dns")
