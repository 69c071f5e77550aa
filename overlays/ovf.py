"""What may be set for a virtual machine before its first start: the properties of its OVF package, and what they make.

A hypervisor shows the properties as a form, and hands over what was typed as an OVF environment (`ovf-env.xml`). The
box makes an answer file of it. All properties may stay empty: then somebody sets the box up on its console.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Xml

import yaml

from hardware.host.documents import nearest
from hardware.host.errors import Problem, Refused, refuse

CLASS = "postern"
FILE = "ovf-env.xml"
_ENVIRONMENT = "{http://schemas.dmtf.org/ovf/environment/1}"
# What port1 lets in when only its address is given: what the wizard offers.
_ALLOWED = ["ping", "ssh", "smtp"]


@dataclass(frozen=True)
class Property:
    """A line of the form. `path` leads to the setting in the answer file; numbers are places in a list.

    `many` values are parted by spaces or commas. `secret`: in the secrets file instead, and not shown while typed.
    """

    key: str
    label: str
    description: str
    path: str = ""
    many: bool = False
    secret: bool = False


PROPERTIES = (
    Property("mode", "Operation mode", "gateway (if this stays empty) or server", "mode"),
    Property("host_name", "Host name", "its first word, such as mx1", "mailhost.host_name"),
    Property("local_domain", "Local domain", "the rest, such as mail.example.org", "mailhost.local_domain"),
    Property("address", "Address of port1", "such as 192.0.2.10/24", "network.ports.port1.addresses.0"),
    Property("gateways", "Gateways", "one for each IP family, such as 192.0.2.1", "network.gateways", many=True),
    Property("dns", "Name servers", "such as 192.0.2.53 192.0.2.54", "network.dns", many=True),
    Property("timezone", "Time zone", "such as Europe/Zurich", "clock.timezone"),
    Property("domain", "Protected domain", "such as example.com", "domains.0.name"),
    Property("server", "Its mail server", "name or address; in server mode nothing", "domains.0.server"),
    Property("key", "SSH key of admin", "the line of a .pub file", "admin.keys.0"),
    Property(
        "password_hash",
        "Password of admin",
        "its hash, as `openssl passwd -6` prints it",
        "admin.password_hash",
        secret=True,
    ),
    Property("answers", "Answer file", "in base64; in place of all of the above but the password"),
    Property(
        "secrets",
        "Secrets file",
        "in base64, encrypted by age or not; in place of the password",
        secret=True,
    ),
)


@dataclass(frozen=True)
class Typed:
    """What somebody typed, as documents: an answer file's text, and a secrets file's bytes."""

    answers: str
    secrets: bytes


def read(text: str, where: str) -> Typed | None:
    """What an OVF environment asks for; None when nothing was typed. Raises `Refused` with every problem."""
    try:
        top = Xml.fromstring(text)  # noqa: S314 - expat limits what entities grow to, and the hypervisor wrote it
    except Xml.ParseError as error:
        raise refuse(f"is not XML: {error}", where=where) from error
    rows = top.findall(f"./{_ENVIRONMENT}PropertySection/{_ENVIRONMENT}Property")
    pairs = [(row.get(f"{_ENVIRONMENT}key", ""), row.get(f"{_ENVIRONMENT}value", "")) for row in rows]
    # A deployment may carry properties of others, such as a management agent's.
    ours = {key.removeprefix(f"{CLASS}."): value.strip() for key, value in pairs if key.startswith(f"{CLASS}.")}
    values = {key: value for key, value in ours.items() if value}
    found = list(_problems(values, where))
    files = {key: _decoded(values[key], found, where, key) for key in ("answers", "secrets") if key in values}
    if found:
        raise Refused(found)
    if not values:
        return None
    answers = files.get("answers") or _document(values, secret=False)
    return Typed(answers.decode("utf-8-sig"), files.get("secrets") or _document(values, secret=True))


def _problems(values: Mapping[str, str], where: str) -> Iterator[Problem]:
    known = {one.key: one for one in PROPERTIES}
    for key in values:
        if key not in known:
            yield Problem(where, f"{CLASS}.{key}", "is not a property", nearest(key, known))
    for whole, secret in (("answers", False), ("secrets", True)):
        singles = [key for key in values if key in known and known[key].path and known[key].secret is secret]
        if whole in values and singles:
            also = ", ".join(singles)
            yield Problem(where, f"{CLASS}.{whole}", f"stands in place of what is set too: {also}", "one or the other")
    if not values.keys() <= {"password_hash", "secrets"}:
        return
    for key in values:
        yield Problem(where, f"{CLASS}.{key}", "alone sets nothing up", "the settings are missing, or an answer file")


def _decoded(value: str, found: list[Problem], where: str, key: str) -> bytes:
    try:
        raw = base64.b64decode("".join(value.split()), validate=True)
        if key == "answers":
            raw.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        found.append(Problem(where, f"{CLASS}.{key}", "is not a file in base64", f"`base64 -w0 {key}.yaml` makes it"))
        return b""
    return raw


def _document(values: Mapping[str, str], *, secret: bool) -> bytes:
    """The answer file, or the secrets file, that the single properties make; empty without secrets."""
    ours = [one for one in PROPERTIES if one.path and one.secret is secret and one.key in values]
    if secret and not ours:
        return b""
    document: dict[str, Any] = {"format": 1} if secret else {"format": 1, "mode": "gateway"}
    for one in ours:
        value = values[one.key]
        _put(document, one.path.split("."), value.replace(",", " ").split() if one.many else value)
    if "address" in values and not secret:
        document["network"]["ports"]["port1"]["allow"] = _ALLOWED
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


def _put(node: Any, path: list[str], value: object) -> None:
    """Put a value where the path leads; the only list items there are, are first ones."""
    head, *rest = path
    if not rest:
        node[head] = value
    elif rest[0] == "0":
        items = node.setdefault(head, [{}])
        if rest[1:]:
            _put(items[0], rest[1:], value)
        else:
            items[0] = value
    else:
        _put(node.setdefault(head, {}), rest, value)
