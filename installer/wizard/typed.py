"""What is typed on pages of several fields, as text, and the settings that it makes, right or wrong."""

from __future__ import annotations

import re
from typing import Any

from hardware.host.documents import Frozen

NONE = "none"


def number(text: str) -> int | str:
    """A number where it is one; what else was typed is for the model to refuse."""
    return int(text) if text.isdecimal() else text


class Filter(Frozen):
    """What is done with spam and viruses of one direction."""

    antispam: str
    antivirus: str
    spam: str

    def document(self) -> dict[str, Any]:
        return {"antispam": self.antispam, "antivirus": self.antivirus, "spam": self.spam}


def filter_of(tree: dict[str, Any]) -> Filter:
    """What somebody would have typed for settings of one direction."""
    return Filter(antispam=tree["antispam"], antivirus="on" if tree["antivirus"] else "off", spam=tree["spam"])


class Login(Frozen):
    """How a domain's server is asked for a user's password."""

    protocol: str = NONE
    port: str = ""
    tls: str = "tls"
    verify: str = "yes"

    def document(self) -> dict[str, Any] | None:
        if self.protocol == NONE:
            return None
        port = number(self.port) if self.port else None
        return {"protocol": self.protocol, "port": port, "tls": self.tls, "verify": self.verify}


def login_of(tree: dict[str, Any] | None) -> Login:
    if tree is None:
        return Login()
    port = str(tree["port"] or "")
    return Login(protocol=tree["protocol"], port=port, tls=tree["tls"], verify="yes" if tree["verify"] else "no")


class Link(Frozen):
    """A VLAN, or with ports a bond of them; ports, addresses and allowed services are separated by spaces."""

    name: str = ""
    ports: str = ""
    mode: str = "active-backup"
    addresses: str = ""
    allow: str = "ping smtp"

    @property
    def is_vlan(self) -> bool:
        return "." in self.name and not self.ports

    def bond(self) -> dict[str, Any]:
        return {"ports": self.ports.split(), "mode": self.mode}

    def __str__(self) -> str:
        of = f"{self.ports} by {self.mode}: " if self.ports else ""
        return f"{of}{self.addresses or 'no address'} ({self.allow or 'nothing allowed'})"


class Rule(Frozen):
    """One access rule. A pattern between slashes is a regular expression; clients are separated by spaces."""

    sender: str = ""
    recipient: str = ""
    client: str = ""
    reverse_dns: str = ""
    authentication: str = "any"
    tls: str = "any"
    action: str = "relay"
    open_relay: str = "no"

    def document(self) -> dict[str, Any]:
        asked: dict[str, Any] = {name: _pattern(getattr(self, name)) for name in _PATTERNS if getattr(self, name)}
        asked |= {"client": self.client.split()} if self.client else {}
        chosen = {"authentication": self.authentication, "tls": self.tls, "action": self.action}
        return asked | chosen | {"open_relay": self.open_relay}

    def __str__(self) -> str:
        asked = {"from": self.sender, "to": self.recipient, "client": self.client, "named": self.reverse_dns}
        words = [f"{word} {text}" for word, text in asked.items() if text]
        words += [f"login {self.authentication}"] * (self.authentication != "any")
        words += [f"encrypted {self.tls}"] * (self.tls != "any")
        return f"{self.action} {', '.join(words)}"


_PATTERNS = ("sender", "recipient", "reverse_dns")


def rule_of(tree: dict[str, Any]) -> Rule:
    patterns = {name: _typed_pattern(tree[name]) for name in _PATTERNS if tree[name] is not None}
    chosen = {name: tree[name] for name in ("authentication", "tls", "action")}
    return Rule(**patterns, **chosen, client=" ".join(tree["client"]), open_relay="yes" if tree["open_relay"] else "no")


def _pattern(text: str) -> str | dict[str, Any]:
    inside = re.fullmatch("/(.*)/", text)
    return {"pattern": inside[1], "regex": True} if inside else text


def _typed_pattern(tree: str | dict[str, Any]) -> str:
    return tree if isinstance(tree, str) else f"/{tree['pattern']}/"


class Smtp(Frozen):
    """What becomes of SMTP connections that begin at one port of the bridge."""

    incoming: str = "proxy"
    outgoing: str = "pass"
    local: str = "yes"

    def document(self) -> dict[str, Any]:
        return {"incoming": self.incoming, "outgoing": self.outgoing, "local": self.local}


def smtp_of(tree: dict[str, Any]) -> Smtp:
    return Smtp(incoming=tree["incoming"], outgoing=tree["outgoing"], local="yes" if tree["local"] else "no")


class Acme(Frozen):
    """Who gives the box its certificate; without a directory, nobody does."""

    directory: str = ""
    contact: str = ""

    def document(self) -> dict[str, Any]:
        return {"directory": self.directory, "contact": self.contact or None}


def acme_of(tree: dict[str, Any] | None) -> Acme:
    return Acme(directory=tree["directory"], contact=tree["contact"] or "") if tree else Acme()


class LogServer(Frozen):
    """Who gets a copy of the records; without a host, nobody does. The types are separated by spaces."""

    host: str = ""
    transport: str = "tls"
    port: str = ""
    name: str = ""
    types: str = "history event antispam antivirus"
    level: str = "information"

    def document(self) -> dict[str, Any]:
        port = number(self.port) if self.port else None
        words = {"host": self.host, "transport": self.transport, "port": port, "name": self.name or None}
        return words | {"types": self.types.split(), "level": self.level}


def log_server_of(tree: dict[str, Any] | None) -> LogServer:
    if tree is None:
        return LogServer()
    texts = {name: str(tree[name] or "") for name in ("host", "transport", "port", "name", "level")}
    return LogServer(**texts, types=" ".join(tree["types"]))


class SmartHost(Frozen):
    """Who takes mail to the world; without a host, nobody does."""

    host: str = ""
    port: str = "25"
    mx: str = "no"
    tls: str = "verify"
    name: str = ""
    user: str = ""

    def document(self) -> dict[str, Any]:
        texts = {"host": self.host, "port": number(self.port), "mx": self.mx, "tls": self.tls}
        return texts | {"name": self.name or None, "user": self.user or None}


def smarthost_of(tree: dict[str, Any] | None) -> SmartHost:
    if tree is None:
        return SmartHost()
    texts = {name: str(tree[name]) for name in ("host", "port", "tls", "name", "user") if tree[name] is not None}
    return SmartHost(**texts, mx="yes" if tree["mx"] else "no")
