"""The kinds of value that settings are made of: names, addresses and networks, checked and in one normal form.

Every text that an operator may write has one of these types, so that none can carry a line break into a file. What is
wrong with a value is a `ValueError` in the operator's words; `hardware.host.documents` adds file and path.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    SecretStr,
)
from pydantic_core import CoreSchema, core_schema

AnyAddress = IPv4Address | IPv6Address
AnyInterface = IPv4Interface | IPv6Interface
AnyNetwork = IPv4Network | IPv6Network

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL_PART = re.compile(r"[A-Za-z0-9_+=-]+(\.[A-Za-z0-9_+=-]+)*")


class Reason(NamedTuple):
    """Why settings cannot work: the setting's path, what is wrong with it, and what to do about it."""

    path: str
    message: str
    hint: str = ""


def one_line(text: str) -> str:
    """The text, unless it holds a line break or another control character: those never get into settings or files."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            raise ValueError(f"holds the control character U+{ord(character):04X}: one line of plain text is right")
    return text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("is not a text: put it in quotes")
    return one_line(value.strip())


def read_label(value: Any) -> str:
    """One label of a host name, in lower case."""
    text = _text(value).lower()
    if not _LABEL.fullmatch(text):
        hint = "; the domain goes into local_domain" if "." in text else ""
        raise ValueError(f"{text!r} is not a host name: letters, digits and inner hyphens are right, such as mx1{hint}")
    return text


def read_domain(value: Any) -> str:
    """A domain name in its ASCII form (xn--...), in lower case, without a final dot."""
    text = _text(value)
    name = _ascii_form(text).lower().removesuffix(".")
    labels = name.split(".")
    wrong = f"{text!r} is not a domain name"
    if len(labels) < 2:
        raise ValueError(f"{wrong}: at least two parts are right, such as example.com")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{wrong}: letters, digits and inner hyphens between dots are right, such as example.com")
    if labels[-1].isdigit():
        raise ValueError(f"{wrong}: its last part is a number")
    return name


def _ascii_form(text: str) -> str:
    """A name as DNS has it. What Python's IDNA 2003 would silently change into another name is refused."""
    if text.isascii():
        return text
    normal = unicodedata.normalize("NFC", text).lower()
    try:
        encoded = normal.encode("idna").decode("ascii")
        same = encoded.encode("ascii").decode("idna") == normal
    except UnicodeError:
        same = False
    if not same:
        raise ValueError(f"{text!r} has more than one reading as a domain name: write it in its xn-- form")
    return encoded


def unicode_form(domain: str) -> str:
    """A domain name in the form that SMTPUTF8 clients write; most often the same."""
    if "xn--" not in domain:
        return domain
    try:
        labels = [
            label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
            for label in domain.split(".")
        ]
        return (
            one_line(".".join(labels)) if all(label.isprintable() and " " not in label for label in labels) else domain
        )
    except (UnicodeError, ValueError):
        return domain


def domain_forms(domain: str) -> tuple[str, ...]:
    """A domain as a stranger wrote it, whatever it is, with its ASCII and its Unicode form where it has them."""
    try:
        name = read_domain(domain)
    except ValueError:
        return (domain,)
    return tuple(dict.fromkeys((domain, name, unicode_form(name))))


def read_address(value: Any) -> AnyAddress:
    """The address of one host."""
    text = str(value) if isinstance(value, IPv4Address | IPv6Address) else _text(value)
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address: such as 192.0.2.1 or 2001:db8::1 is right") from None
    _usable(address, text)
    return address


def read_interface(value: Any) -> AnyInterface:
    """An address of a port with the length of its network."""
    text = str(value) if isinstance(value, IPv4Interface | IPv6Interface) else _text(value)
    try:
        interface = ip_interface(text)
    except ValueError:
        interface = None
    if interface is None or "/" not in text:
        raise ValueError(f"{text!r} is not an address with its network: such as 192.0.2.10/24 is right")
    _usable(interface.ip, text)
    network = interface.network
    if network.prefixlen == 0:
        raise ValueError(f"{text} would make every address a neighbour: such as {interface.ip}/24 is right")
    if network.num_addresses > 2 and interface.ip == network.network_address:
        raise ValueError(f"{text} is the network itself, not an address in it")
    if network.version == 4 and network.num_addresses > 2 and interface.ip == network.broadcast_address:
        raise ValueError(f"{text} is the broadcast address of its network")
    return interface


def read_network(value: Any) -> AnyNetwork:
    """A network; a single address is a network of one."""
    text = str(value) if isinstance(value, IPv4Network | IPv6Network) else _text(value)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network: such as 10.0.0.0/24 is right") from None
    if "/" in text and ip_interface(text).ip != network.network_address:
        raise ValueError(f"{text} has bits beyond its length: {network} is right for the network")
    return network


def _usable(address: AnyAddress, text: str) -> None:
    """Refuse what is no address of a host, or of none but this one."""
    kinds = {
        "the unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "a multicast address": address.is_multicast,
        "a broadcast address": address == IPv4Address("255.255.255.255"),
        "a link-local address": address.is_link_local,
        "an IPv4 address in IPv6 form": isinstance(address, IPv6Address) and address.ipv4_mapped is not None,
    }
    for kind, found in kinds.items():
        if found:
            raise ValueError(f"{text} is {kind}: the address of a host on one of the networks is right")


def read_host(value: Any) -> AnyAddress | str:
    """A host by its address or by its domain name."""
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    text = _text(value)
    if re.fullmatch(r"[0-9.]+|[0-9a-fA-F:.%]*:[0-9a-fA-F:.%]*|\[.*\]", text):
        return read_address(text.removeprefix("[").removesuffix("]"))
    return read_domain(text)


def read_mail_address(value: Any) -> str:
    """A plain mail address. Quoted local parts are refused: nobody needs one here, and maps read them badly."""
    text = _text(value)
    local, at, domain = text.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local):
        raise ValueError(f"{text!r} is not a mail address: such as postmaster@example.com is right")
    return f"{local}@{read_domain(domain)}"


def read_sender(value: Any) -> str:
    """A sender on a list: a mail address, a domain, or the network of a client; in lower case."""
    text = _text(value)
    try:
        if "@" in text:
            return read_mail_address(text).lower()
        if re.fullmatch(r"[0-9.]+(/[0-9]+)?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/[0-9]+)?", text):
            return str(read_network(text))
        return read_domain(text)
    except ValueError as error:
        example = "someone@example.com, example.com or 192.0.2.0/24"
        raise ValueError(f"{error}; a sender is such as {example}") from None


def sender_kinds(senders: tuple[str, ...]) -> dict[str, list[str]]:
    """A list of senders as programs look one up: by address, by domain (in every form), by network."""
    addresses = [sender for sender in senders if "@" in sender]
    networks = [sender for sender in senders if "/" in sender]
    domains = [sender for sender in senders if sender not in addresses and sender not in networks]
    both = [form for domain in domains for form in dict.fromkeys((domain, unicode_form(domain)))]
    return {"addresses": addresses, "domains": both, "networks": networks}


def read_mailbox(value: Any) -> str:
    """The address of a mailbox that is kept here: in lower case, and without what the box uses as a separator."""
    address = read_mail_address(value).lower()
    if "+" in address:
        raise ValueError(f"{address!r} holds a plus sign: what follows one is for the user to choose")
    return address


class _OneOrMore:
    """Marks a list in whose place one may write the one text that would be in it; the JSON Schema says so too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: (value,) if isinstance(value, str) else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


def _as_text(reader: Any, example: str) -> tuple[Any, ...]:
    return (
        PlainValidator(reader, json_schema_input_type=str),
        PlainSerializer(str, return_type=str),
        Field(examples=[example]),
    )


def text_of(secret: SecretStr | None) -> str | None:
    """A secret as it is, for the secrets file."""
    return secret.get_secret_value() if secret else None


OneOrMore = _OneOrMore()
# Hidden in repr and str; written out only where JSON or YAML is made of it, which is the secrets file.
Secret = Annotated[SecretStr, PlainSerializer(text_of, return_type=str, when_used="json")]
Line = Annotated[str, AfterValidator(one_line)]
HostLabel = Annotated[str, *_as_text(read_label, "mx1")]
DomainName = Annotated[str, *_as_text(read_domain, "example.com")]
MailAddress = Annotated[str, *_as_text(read_mail_address, "postmaster@example.com")]
Sender = Annotated[str, *_as_text(read_sender, "someone@example.com")]
Mailbox = Annotated[str, *_as_text(read_mailbox, "ann@example.com")]
Address = Annotated[AnyAddress, *_as_text(read_address, "192.0.2.1")]
Interface = Annotated[AnyInterface, *_as_text(read_interface, "192.0.2.10/24")]
Network = Annotated[AnyNetwork, *_as_text(read_network, "10.0.0.0/24")]
Host = Annotated[AnyAddress | str, *_as_text(read_host, "10.0.0.25")]
