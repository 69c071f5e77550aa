"""What was typed so far, right or wrong, as text; settings are made of it only when every concern is right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hardware.host import files
from hardware.host.documents import Frozen, parse
from hardware.host.errors import Problem, Refused
from hardware.parts import OperationMode
from hardware.profile import HardwareProfile
from installer.wizard import FACTORY_ADDRESS
from installer.wizard.typed import (
    Acme,
    Filter,
    Link,
    Login,
    LogServer,
    Rule,
    SmartHost,
    Smtp,
    acme_of,
    filter_of,
    log_server_of,
    login_of,
    number,
    rule_of,
    smarthost_of,
    smtp_of,
)
from overlays.keyboard.settings import DEFAULT, LayoutCode
from overlays.network.links import carrier
from overlays.problems import problems
from overlays.settings import Secrets, Settings, parse_answers, parse_secrets

SOURCE = "setup"
# Stands in for what later pages ask, so that an earlier page can be checked together with what is there.
_NOT_YET: dict[str, dict[str, str]] = {"mailhost": {"host_name": "not-set", "local_domain": "not-set.invalid"}}


class Port(Frozen):
    """One port, as typed: addresses and allowed services, each separated by spaces."""

    addresses: str = ""
    allow: str = "ping smtp"


class Domain(Frozen):
    """One protected domain, as typed."""

    name: str = ""
    server: str = ""
    port: str = "25"
    verify: str = "smtp"
    login: Login = Login()

    @property
    def way(self) -> str:
        """Where its mail goes, for a list."""
        return f"to {self.server} port {self.port}, verify {self.verify}"


class User(Frozen):
    """One user of server mode, as typed: aliases separated by spaces."""

    address: str = ""
    name: str = ""
    aliases: str = ""
    quota_mib: str = ""


class Draft(Frozen):
    """Every page's text. `before` are the settings that the setup started from, for what no page asks.

    Passwords and the secrets of a box in service are kept in memory alone: they are never stored nor shown.
    """

    format: Literal[1] = 1
    screen: str = ""  # where the person is
    before: Settings | None = None
    mode: str = ""
    keyboard: LayoutCode = DEFAULT
    keys: tuple[str, ...] = ()
    bridge: Port = Port()  # transparent mode: the bridge's own addresses and services
    ports: dict[str, Port] = Field({})
    links: tuple[Link, ...] = ()  # VLANs and bonds
    new_link: Link = Link()  # typed and not added yet
    gateways: str = ""
    dns: str = ""
    timezone: str = "UTC"
    ntp: str = ""
    host_name: str = ""
    local_domain: str = ""
    domains: tuple[Domain, ...] = ()
    new_domain: Domain = Domain()  # typed and not added yet
    users: tuple[User, ...] = ()  # those to be made; `postern users` looks after the ones that are there
    new_user: User = User()
    fail: str = "closed"  # transparent mode: what the proxy does
    starttls: str = "terminate"
    smtp: dict[str, Smtp] = Field({})  # at the ports of the bridge; one that is not here has the defaults
    filters: dict[str, Filter] = Field(  # by direction
        {
            "incoming": Filter(antispam="medium", antivirus="on", spam="quarantine"),
            "outgoing": Filter(antispam="off", antivirus="on", spam="quarantine"),
        }
    )
    rules: tuple[Rule, ...] = ()
    new_rule: Rule = Rule()  # typed and not added yet
    smarthost: SmartHost = SmartHost()
    acme: Acme = Acme()
    log_server: LogServer = LogServer()
    password: str = Field("", exclude=True, repr=False)
    user_passwords: dict[str, str] = Field({}, exclude=True, repr=False)
    smarthost_password: str = Field("", exclude=True, repr=False)
    secrets: Secrets | None = Field(None, exclude=True, repr=False)

    def but(self, **changes: Any) -> Draft:
        """The same draft with some fields changed."""
        return self.model_copy(update=changes)

    @property
    def keeps_mailboxes(self) -> bool:
        """Whether the box is to be the domains' server itself."""
        return self.mode == OperationMode.SERVER

    @property
    def bridges(self) -> bool:
        """Whether the box is to stand in the wire, its ports without addresses a bridge."""
        return self.mode == OperationMode.TRANSPARENT

    def in_mode(self, mode: str) -> Draft:
        """The draft in another mode: what the first port has is the bridge's in transparent mode, and is given back."""
        changed = self.but(mode=mode)
        name, first = next(iter(self.ports.items()))
        if changed.bridges and not self.bridge.addresses:
            return changed.but(bridge=first, ports=self.ports | {name: Port()})
        if not changed.bridges and self.bridge.addresses and not first.addresses:
            return changed.but(bridge=Port(), ports=self.ports | {name: self.bridge})
        return changed

    def way_of(self, domain: Domain) -> str:
        """Where a domain's mail goes, for a list."""
        if self.keeps_mailboxes:
            return "kept here"
        return f"read along to {domain.server}" if self.bridges else domain.way

    def document(self) -> dict[str, Any]:
        """The draft as the tree of an answer file."""
        before = self.before.model_dump(mode="json", exclude_defaults=True) if self.before else {}
        ports = {name: _port(port) for name, port in self.ports.items() if port.addresses}
        if self.bridges:
            ports |= {name: {"smtp": typed.document()} for name, typed in self.smtp.items()} | ports
        ports |= {one.name: _port(one) for one in self.links if one.addresses or one.is_vlan}
        bridge = _port(self.bridge) if self.bridges else None
        directions = self.filters.items()
        asked: dict[str, dict[str, Any]] = {
            "admin": {"keys": list(self.keys)},
            "network": {
                "ports": ports,
                "bonds": {one.name: one.bond() for one in self.links if not one.is_vlan},
                "bridge": bridge,
                "gateways": self.gateways.split(),
                "dns": self.dns.split(),
            },
            "clock": {"timezone": self.timezone, "ntp": self.ntp.split()},
            "keyboard": {"layout": self.keyboard},
            "mailhost": {"host_name": self.host_name, "local_domain": self.local_domain},
            "filtering": {
                way: before.get("filtering", {}).get(way, {}) | typed.document() for way, typed in directions
            },
        }
        if self.smarthost.host:
            asked["smarthost"] = self.smarthost.document()
        before = before if self.smarthost.host else before | {"smarthost": None}
        web, logs = before.get("web", {}), before.get("logs", {})
        acme, server = web.get("acme") or {}, logs.get("server") or {}
        asked["web"] = {"acme": acme | self.acme.document() if self.acme.directory else None}
        asked["logs"] = {"server": server | self.log_server.document() if self.log_server.host else None}
        merged = {concern: (before.get(concern) or {}) | values for concern, values in asked.items()}
        known = {domain["name"]: domain for domain in before.get("domains", [])}
        rows: dict[str, Any] = {"domains": [known.get(domain.name, {}) | _domain(domain) for domain in self.domains]}
        rows["access"] = [rule.document() for rule in self.rules]
        if self.keeps_mailboxes:
            for domain in rows["domains"]:
                for name in ("server", "port", "verify", "login"):
                    domain.pop(name, None)
            rows["users"] = [_user(user) for user in self.users]
        if self.bridges:
            for domain in rows["domains"]:
                domain.pop("port", None)
            merged["transparent"] = before.get("transparent", {}) | {"fail": self.fail, "starttls": self.starttls}
        return before | {"format": 1, "mode": self.mode} | merged | rows

    def settings(self) -> Settings:
        """The settings that the draft describes. Raises `Refused` with every problem inside one concern."""
        return parse_answers(json.dumps(self.document()), SOURCE)

    def finished_secrets(self) -> Secrets:
        """The secrets, with the passwords that were typed. Raises `Refused` when the administrator has none."""
        kept = json.loads(self.secrets.model_dump_json(exclude_defaults=True)) if self.secrets else {}
        typed = {"admin": {"password": self.password}} if self.password or self.secrets is None else {}
        passwords = {user.address: self.user_passwords.get(user.address) for user in self.users if self.keeps_mailboxes}
        users = {"users": {address: {"password": password} for address, password in passwords.items() if password}}
        relay = {"smarthost": {"password": self.smarthost_password}} if self.smarthost_password else {}
        return parse_secrets(json.dumps({"format": 1} | kept | typed | users | relay), SOURCE)

    def has_password(self) -> bool:
        """Whether the box will have an administrator's password."""
        return bool(self.password) or (self.secrets is not None and self.secrets.has_password)

    def has_smarthost_password(self) -> bool:
        """Whether the box could log in at the smart host."""
        return bool(self.smarthost_password or (self.secrets and self.secrets.smarthost.password))

    def may_keep_password(self) -> bool:
        """Whether an empty answer keeps what is there: a password, or on a box with keys alone the lack of one."""
        return bool(self.password) or self.secrets is not None

    def problems(self, profile: HardwareProfile, concern: str = "") -> list[Problem]:
        """Why the draft cannot work, or with `concern` what of that lies in it; other concerns may be unanswered."""
        document = self.document()
        for name, stand_in in _NOT_YET.items():
            if concern and concern != name and not any(document[name].get(key) for key in stand_in):
                document[name] = document[name] | stand_in
        try:
            found = problems(parse_answers(json.dumps(document), SOURCE), profile, SOURCE)
        except Refused as refused:
            found = list(refused.problems)
        return [problem for problem in found if not concern or problem.path.split(".")[0] == concern]


def factory(ports: Sequence[str]) -> Draft:
    """What a box with these ports starts from before anyone set it up."""
    return Draft(
        ports={name: Port() for name in ports} | {ports[0]: Port(addresses=FACTORY_ADDRESS, allow="ping ssh smtp")}
    )


def draft_of(settings: Settings, secrets: Secrets | None, ports: Sequence[str]) -> Draft:
    """The draft that makes these settings again, on a box with these ports."""
    tree = settings.model_dump(mode="json")
    network, clock, mailhost = tree["network"], tree["clock"], tree["mailhost"]
    bonds = network["bonds"]
    named = {name: _typed_port(port) for name, port in network["ports"].items()}
    made = [*bonds, *(name for name in named if carrier(name))]
    set_up = {name: port for name, port in named.items() if name not in made}
    return Draft(
        before=settings,
        mode=tree["mode"],
        keyboard=tree["keyboard"]["layout"],
        keys=tree["admin"]["keys"],
        bridge=_typed_port(network["bridge"]) if network["bridge"] else Port(),
        ports={name: Port() for name in ports} | set_up,
        links=tuple(_typed_link(name, named.get(name, Port(allow="")), bonds.get(name)) for name in made),
        gateways=" ".join(network["gateways"]),
        dns=" ".join(network["dns"]),
        timezone=clock["timezone"],
        ntp=" ".join(clock["ntp"]),
        host_name=mailhost["host_name"],
        local_domain=mailhost["local_domain"],
        domains=tuple(_typed(domain) for domain in tree["domains"]),
        fail=tree["transparent"]["fail"],
        starttls=tree["transparent"]["starttls"],
        smtp={name: smtp_of(port["smtp"]) for name, port in network["ports"].items() if port["smtp"]},
        filters={direction: filter_of(tree["filtering"][direction]) for direction in ("incoming", "outgoing")},
        rules=tuple(rule_of(rule) for rule in tree["access"]),
        smarthost=smarthost_of(tree["smarthost"]),
        acme=acme_of(tree["web"]["acme"]),
        log_server=log_server_of(tree["logs"]["server"]),
        secrets=secrets,
    )


def _typed(domain: dict[str, Any]) -> Domain:
    """A domain as somebody would have typed it; one that the box serves itself names no server."""
    texts = {name: str(domain[name]) for name in ("name", "server", "port", "verify") if domain[name] is not None}
    return Domain(**texts, login=login_of(domain["login"]))


def _typed_port(port: dict[str, Any]) -> Port:
    return Port(addresses=" ".join(port["addresses"]), allow=" ".join(port["allow"]))


def _typed_link(name: str, port: Port, bond: dict[str, Any] | None) -> Link:
    link = Link(name=name, addresses=port.addresses, allow=port.allow)
    return link.model_copy(update={"ports": " ".join(bond["ports"]), "mode": bond["mode"]}) if bond else link


def keep(draft: Draft, path: Path) -> None:
    """Store a draft, without its secrets, so that another console or a later session goes on from it."""
    files.write(path, draft.model_dump_json(exclude_defaults=True), mode=0o600)


def kept(path: Path, start: Draft) -> Draft:
    """The draft of an interrupted setup, if it started from the same settings as `start`; otherwise `start`."""
    try:
        found = parse(path.read_text(encoding="utf-8"), str(path), Draft)
    except (OSError, UnicodeDecodeError, Refused):
        return start
    if found.before != start.before:
        return start
    return found.but(secrets=start.secrets)


def _port(port: Port | Link) -> dict[str, Any]:
    return {"addresses": port.addresses.split(), "allow": port.allow.split()}


def _user(user: User) -> dict[str, Any]:
    made: dict[str, Any] = {"address": user.address, "name": user.name, "aliases": user.aliases.split()}
    return made | ({"quota_mib": number(user.quota_mib)} if user.quota_mib else {})


def _domain(domain: Domain) -> dict[str, Any]:
    made = {"name": domain.name, "server": domain.server, "port": number(domain.port), "verify": domain.verify}
    return made | {"login": domain.login.document()}
