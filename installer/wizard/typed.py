"""What is typed on pages of several fields, as text, and the settings that it makes, right or wrong."""

from __future__ import annotations

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


class Smtp(Frozen):
    """What becomes of SMTP connections that begin at one port of the bridge."""

    incoming: str = "proxy"
    outgoing: str = "pass"
    local: str = "yes"

    def document(self) -> dict[str, Any]:
        return {"incoming": self.incoming, "outgoing": self.outgoing, "local": self.local}


def smtp_of(tree: dict[str, Any]) -> Smtp:
    return Smtp(incoming=tree["incoming"], outgoing=tree["outgoing"], local="yes" if tree["local"] else "no")


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
