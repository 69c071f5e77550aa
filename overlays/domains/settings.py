"""Protected domains: which domains the box stands in front of, and where their mail goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hardware.host.documents import Frozen
from overlays.values import DomainName, Host, Reason, unicode_form


class Verify(StrEnum):
    """How the box learns whether a recipient exists before it takes the message."""

    SMTP = "smtp"
    OFF = "off"

    @property
    def postfix(self) -> str:
        """The restriction as access(5) writes it."""
        return {Verify.SMTP: "reject_unverified_recipient", Verify.OFF: "DUNNO"}[self]


def _off(value: Any) -> Any:
    """YAML reads an unquoted `off` as false."""
    return Verify.OFF if value is False else value


class ProtectedDomain(Frozen):
    """A mail domain with its server. Its subdomains are not part of it."""

    name: DomainName
    server: Host | None = Field(
        None, description="the domain's mail server, by address or by name; none in server mode: it is the box itself"
    )
    port: int = Field(25, ge=1, le=65535)
    verify: Annotated[Verify, BeforeValidator(_off, json_schema_input_type=Verify)] = Field(
        Verify.SMTP, description="smtp asks the server for each recipient; off takes them all (for servers that do too)"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The name in every form that a client may write."""
        return tuple(dict.fromkeys((self.name, unicode_form(self.name))))

    @property
    def next_hop(self) -> str:
        """The server as Postfix writes it; brackets forbid an MX look-up."""
        return f"[{self.server}]:{self.port}"


@dataclass(frozen=True)
class Row:
    """One line of the tables that Postfix reads."""

    name: str
    domain: ProtectedDomain


def rows(domains: tuple[ProtectedDomain, ...]) -> tuple[Row, ...]:
    """The domains as Postfix's tables: a line for every form of every name."""
    return tuple(Row(name, domain) for domain in domains for name in domain.names)


def problems(domains: tuple[ProtectedDomain, ...]) -> Iterator[Reason]:
    for index, domain in enumerate(domains):
        if domain.name in [earlier.name for earlier in domains[:index]]:
            yield Reason(f"domains.{index}.name", f"{domain.name} stands here twice", "a domain has one server")
