"""A change of the operation mode: which settings the new mode has as well, and which it has not. Pure.

Host name, addresses, routes, name servers, time and administrators stay. What only the old mode has goes. What only the
new one has comes from `earlier`, the settings with which the box was in that mode before, if it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hardware.parts import OperationMode
from overlays.network.settings import MAILBOX_SERVICES, Bridge, NetworkSettings, Port, PortService
from overlays.settings import Domain, Settings
from overlays.transparent.settings import TransparentSettings
from overlays.values import Host


@dataclass(frozen=True)
class Difference:
    """What two sets of settings do not share, by path, as an answer file writes it."""

    gone: dict[str, object]
    come: dict[str, object]


def changed(
    now: Settings,
    mode: OperationMode,
    ports: tuple[str, ...],
    earlier: Settings | None = None,
    servers: Mapping[str, Host] | None = None,
) -> Settings:
    """The settings in another mode. `ports` are the box's; `servers` are those of protected domains, by domain.

    They may have problems: what nobody decided is missing.
    """
    if now.mode is mode:
        return now
    before = {domain.name: domain for domain in earlier.domains} if earlier else {}
    named = servers or {}
    transparent = earlier.transparent if earlier and earlier.reads_along else TransparentSettings()
    protected = {domain.name for domain in now.domains}
    kept = {name: choice for name, choice in transparent.domains.items() if name in protected}
    return now.model_copy(
        update={
            "mode": mode,
            "network": _network(now.network, mode, ports, earlier.network if earlier else None),
            "domains": tuple(
                _domain(domain, mode, before.get(domain.name), named.get(domain.name)) for domain in now.domains
            ),
            "transparent": transparent.model_copy(update={"domains": kept}),
        }
    )


def difference(old: Settings, new: Settings) -> Difference:
    """What is lost on the way from the old to the new settings, and what is added, the mode itself apart."""
    was, becomes = (dict(_leaves(one.model_dump(mode="json", exclude_defaults=True))) for one in (old, new))
    return Difference(
        gone={path: value for path, value in was.items() if path != "mode" and becomes.get(path) != value},
        come={path: value for path, value in becomes.items() if path != "mode" and was.get(path) != value},
    )


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every setting with its path. A list of plain values is one setting."""
    if isinstance(value, dict) and value:
        children: list[tuple[str, object]] = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        children = [(str(index), item) for index, item in enumerate(value)]
    else:
        yield path, value
        return
    for name, child in children:
        yield from _leaves(child, f"{path}.{name}" if path else name)


def _domain(domain: Domain, mode: OperationMode, before: Domain | None, server: Host | None) -> Domain:
    if mode is OperationMode.SERVER:
        return domain.model_copy(update={"server": None, "port": Domain.model_fields["port"].default, "login": None})
    update: dict[str, object] = {}
    if server is not None:
        update["server"] = server
    elif domain.server is None and before:
        update |= {"server": before.server, "port": before.port, "login": before.login}
    dkim = domain.filtering.dkim or (before.filtering.dkim if before else None)
    if mode is OperationMode.TRANSPARENT:
        dkim = None
    return domain.model_copy(update=update | {"filtering": domain.filtering.model_copy(update={"dkim": dkim})})


def _network(
    now: NetworkSettings, mode: OperationMode, names: tuple[str, ...], earlier: NetworkSettings | None
) -> NetworkSettings:
    ports, bridge = dict(now.ports), now.bridge
    if mode is OperationMode.TRANSPARENT:
        first = next((name for name in names if ports.get(name, Port()).addresses), None)
        if first is not None:
            joins = ports.pop(first)
            bridge = Bridge(addresses=joins.addresses, allow=joins.allow)
        for name, port in (earlier.ports if earlier else {}).items():
            if port.smtp and not ports.get(name, Port()).addresses:
                ports[name] = Port(smtp=port.smtp)
    elif bridge is not None:
        first = next(iter(now.bridged(names)), None)
        ports = {name: port.model_copy(update={"smtp": None}) for name, port in ports.items()}
        if first is not None:
            ports[first] = Port(addresses=bridge.addresses, allow=bridge.allow)
        bridge = None
    ports = {name: _served(name, port, mode, earlier) for name, port in ports.items()}
    if bridge is not None:
        bridge = bridge.model_copy(update={"allow": _without_mailboxes(bridge.allow)})
    elif not any(PortService.SMTP in port.allow for port in ports.values()):
        door = next((name for name in names if ports.get(name, Port()).addresses), None)
        if door is not None:
            ports[door] = ports[door].model_copy(update={"allow": (*ports[door].allow, PortService.SMTP)})
    used = {name: ports[name] for name in sorted(ports) if ports[name] != Port()}
    return now.model_copy(update={"ports": used, "bridge": bridge})


def _served(name: str, port: Port, mode: OperationMode, earlier: NetworkSettings | None) -> Port:
    """A port that lets in what the mode has; users of mailboxes where they were let in before."""
    if mode is not OperationMode.SERVER:
        return port.model_copy(update={"allow": _without_mailboxes(port.allow)})
    before = earlier.ports.get(name, Port()).allow if earlier and port.addresses else ()
    again = tuple(service for service in before if service in MAILBOX_SERVICES and service not in port.allow)
    return port.model_copy(update={"allow": (*port.allow, *again)})


def _without_mailboxes(allow: tuple[PortService, ...]) -> tuple[PortService, ...]:
    return tuple(service for service in allow if service not in MAILBOX_SERVICES)
