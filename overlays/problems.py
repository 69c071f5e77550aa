"""Why settings cannot work: what each concern says of its own part, and what two of them say of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hardware import sizing
from hardware.host.documents import nearest
from hardware.host.errors import Problem, Refused
from hardware.profile import HardwareProfile
from overlays.access import settings as access_concern
from overlays.domains import settings as domains_concern
from overlays.filtering import settings as filtering_concern
from overlays.network.links import carrier
from overlays.network.settings import MAILBOX_SERVICES, PortService, path_of
from overlays.settings import Secrets, Settings
from overlays.smarthost import settings as smarthost_concern
from overlays.transparent import settings as transparent_concern
from overlays.users import settings as users_concern
from overlays.values import AnyAddress, Host, Reason, read_host
from overlays.web import settings as web_concern


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
    if settings.mode not in profile.op_modes:
        yield Reason("mode", f"{settings.mode} mode does not work on {profile.id}", f"it has {_list(profile.op_modes)}")
    yield from _ports(settings, profile)
    yield from settings.admin.problems()
    yield from settings.network.problems()
    yield from settings.clock.problems()
    yield from settings.mailhost.problems()
    yield from _queue(settings, profile)
    yield from domains_concern.problems(settings.domains)
    yield from access_concern.problems(settings.access)
    yield from smarthost_concern.problems(settings.smarthost, secrets.smarthost if secrets else None)
    yield from web_concern.problems(settings.web, secrets.web if secrets else None)
    yield from settings.filtering.problems(profile)
    yield from settings.quarantine.problems()
    yield from settings.logs.problems()
    for index, domain in enumerate(settings.domains):
        yield from filtering_concern.domain_problems(index, domain.filtering)
    yield from _whose_mailboxes(settings)
    yield from _users(settings, secrets)
    yield from _who_gets_in(settings, secrets)
    yield from _transparent(settings, profile)
    yield from _own_names(settings)
    yield from _servers(settings)
    yield from _names_need_dns(settings)
    if settings.web.acme and not settings.network.allowing(PortService.HTTP):
        yield Reason(
            "web.acme", "no port lets in http, by which the authority looks", "such as allow: [smtp, https, http]"
        )


def _ports(settings: Settings, profile: HardwareProfile) -> Iterator[Reason]:
    """What the settings name and the hardware does not have."""
    network = settings.network
    known = (*profile.port_names, *network.bonds)
    named = [(path_of(name), carrier(name) or name, known) for name in network.ports]
    for name, bond in network.bonds.items():
        named += [(f"network.bonds.{name}.ports", port, profile.port_names) for port in bond.ports]
    for path, name, allowed in named:
        if name not in allowed:
            yield Reason(path, f"{profile.id} has no such port", nearest(name, allowed))


def _queue(settings: Settings, profile: HardwareProfile) -> Iterator[Reason]:
    """One of the largest messages in the queue, and still the room that a next one asks for."""
    shares, largest = sizing.shares_of(profile), settings.mailhost.message_size_mib
    if shares and (settings.mailhost.queue_free_bytes >> 20) + largest > shares.queue:
        hint = f"at most {shares.queue // 3}, or a larger model"
        yield Reason("mailhost.message_size_mib", f"the queue of {profile.id} has {shares.queue} MiB", hint)


def _transparent(settings: Settings, profile: HardwareProfile) -> Iterator[Reason]:
    network = settings.network
    if not settings.reads_along:
        if network.bridge:
            yield Reason("network.bridge", f"{settings.mode} mode has no bridge", "give the ports addresses")
        return
    if network.bridge is None:
        yield Reason("network.bridge", "is missing", "such as bridge: {addresses: [192.0.2.10/24], allow: [ping, ssh]}")
    elif len(network.bridged(profile.port_names)) < 2:
        yield Reason("network.ports", "a bridge needs two ports without addresses", "take addresses from the ports")
    for index, domain in enumerate(settings.domains):
        if domain.filtering.dkim is not None:
            hint = "leave it to the domain's server"
            yield Reason(f"domains.{index}.filtering.dkim", "transparent mode signs nothing", hint)
    yield from transparent_concern.problems(settings.transparent, settings.known_servers)


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _who_gets_in(settings: Settings, secrets: Secrets | None) -> Iterator[Reason]:
    if not settings.reads_along and not settings.network.allowing(PortService.SMTP):
        yield Reason("network.ports", "no port lets in smtp, so no mail can arrive", "such as allow: [ping, ssh, smtp]")
    if secrets is not None and not secrets.has_password and not settings.admin.keys:
        yield Reason("admin", "nobody could log in: no password and no key", "set admin.password in the secrets file")


def _whose_mailboxes(settings: Settings) -> Iterator[Reason]:
    """In server mode the box itself is the domains' server, and only then it lets users in."""
    for index, domain in enumerate(settings.domains):
        if settings.keeps_mailboxes and domain.server is not None:
            hint = "leave it out, or choose gateway mode"
            yield Reason(f"domains.{index}.server", "in server mode the box itself keeps the mailboxes", hint)
        elif not settings.keeps_mailboxes and domain.server is None:
            yield Reason(f"domains.{index}.server", "is missing", f"the server that {domain.name} is handed to")
        if settings.keeps_mailboxes and domain.login is not None:
            yield Reason(f"domains.{index}.login", "in server mode the box itself knows the passwords", "leave it out")
    for name, port in settings.network.interfaces.items():
        for service in MAILBOX_SERVICES:
            if service in port.allow and not settings.keeps_mailboxes:
                hint = "take it out, or choose server mode"
                yield Reason(f"{path_of(name)}.allow", f"{settings.mode} mode has no {service}", hint)


def _users(settings: Settings, secrets: Secrets | None) -> Iterator[Reason]:
    if settings.users and not settings.keeps_mailboxes:
        yield Reason("users", f"{settings.mode} mode has no users", "take them out, or choose server mode")
        return
    yield from users_concern.problems(settings.users, [domain.name for domain in settings.domains])
    known = {user.address for user in settings.users}
    for address in secrets.users if secrets else ():
        if address not in known:
            hint = "the answer file lists the users; `postern users password` changes one later"
            yield Reason("users", f"{address} has a password and is no user", hint)


def _own_names(settings: Settings) -> Iterator[Reason]:
    fqdn, postmaster = settings.mailhost.fqdn, settings.mailhost.postmaster
    for index, domain in enumerate(settings.domains):
        if domain.name == fqdn:
            hint = "protect the domain, or give the box another host_name"
            yield Reason(f"domains.{index}.name", f"{fqdn} is the box's own name", hint)
    if postmaster and postmaster.rpartition("@")[2] in settings.own_domains:
        yield Reason("mailhost.postmaster", f"{postmaster} is on the box, which keeps no mail", "name another mailbox")


class _Server(NamedTuple):
    """Another machine that the settings name, and what to say when it is the box."""

    path: str
    host: Host
    why: str
    hint: str


def _named(settings: Settings) -> Iterator[_Server]:
    circles = ": its mail would go in circles"
    for index, domain in _elsewhere(settings):
        if domain.server is not None:
            yield _Server(f"domains.{index}.server", domain.server, circles, "name the mail server")
    if settings.smarthost:
        yield _Server("smarthost.host", settings.smarthost.host, circles, "name another")
    for index, server in enumerate(settings.clock.ntp):
        yield _Server(f"clock.ntp.{index}", server, "", "name a time server, or none")
    if settings.logs.server:
        yield _Server("logs.server.host", settings.logs.server.host, "", "name another machine, or none")


def _servers(settings: Settings) -> Iterator[Reason]:
    for path, host, why, hint in _named(settings):
        if host in settings.network.addresses or host == settings.mailhost.fqdn:
            yield Reason(path, f"{host} is the box itself{why}", hint)
        elif not isinstance(host, str) and not settings.network.leads_to(host):
            yield _unreachable(path, host)


def _elsewhere(settings: Settings) -> Iterator[tuple[int, domains_concern.ProtectedDomain]]:
    """The domains whose servers are others than the box."""
    return iter(()) if settings.keeps_mailboxes else iter(enumerate(settings.domains))


def _unreachable(path: str, address: AnyAddress) -> Reason:
    return Reason(path, f"no port, route or gateway leads to {address}", f"add a gateway for IPv{address.version}")


def _names_need_dns(settings: Settings) -> Iterator[Reason]:
    if settings.network.dns:
        return
    hint = "set network.dns, or write the address"
    named = [(server.path, server.host) for server in _named(settings)]
    if settings.web.acme:
        named.append(("web.acme.directory", read_host(settings.web.acme.host)))
    for path, host in named:
        if isinstance(host, str):
            yield Reason(path, f"{host} is a name, and there is no name server", hint)
    for index, rule in enumerate(settings.access):
        if rule.action is access_concern.Action.RELAY and settings.asks_the_world:
            yield Reason(f"access.{index}", "relays to the world, which needs a name server", "set network.dns")
    if settings.updates_definitions:
        yield Reason("filtering.definitions.source", "is a name on the net, and there is no name server", hint)
    for service in (PortService.SUBMISSION, PortService.SUBMISSIONS):
        if settings.network.allowing(service) and settings.asks_the_world:
            yield Reason("network.dns", f"{service} sends to the world, which needs a name server", "set network.dns")
    postmaster = settings.mailhost.postmaster
    outside = postmaster and postmaster.rpartition("@")[2] not in {domain.name for domain in settings.domains}
    if outside and settings.asks_the_world:
        yield Reason("mailhost.postmaster", f"{postmaster} is outside, which needs a name server", "set network.dns")
