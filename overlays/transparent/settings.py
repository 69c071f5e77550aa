"""Transparent mode: what holds for the SMTP connections that the proxy reads along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from hardware.host.documents import Frozen, nearest
from overlays.transparent.rules import Starttls
from overlays.values import AnyAddress, DomainName, Reason

_STARTTLS = (
    "terminate: the box decrypts, scans, and encrypts anew with a certificate of its own, which senders that verify "
    "(MTA-STS, DANE) refuse; pass: encrypted mail goes through UNSCANNED; strip: encryption is not offered, and mail "
    "travels in the clear"
)


class Fail(StrEnum):
    """What happens to connections while the proxy does not run."""

    CLOSED = "closed"
    OPEN = "open"


class TransparentSettings(Frozen):
    """What the proxy does, apart from which connections it gets: that is said for each port."""

    fail: Fail = Field(
        Fail.CLOSED,
        description="while the proxy does not run: closed refuses mail until it does, open lets it through UNSCANNED",
    )
    starttls: Starttls = Field(Starttls.TERMINATE, description=f"encryption towards protected servers. {_STARTTLS}")
    starttls_outgoing: Starttls = Field(
        Starttls.TERMINATE, description="encryption of outgoing connections, where they are proxied; the same choices"
    )
    domains: dict[DomainName, Starttls] = Field({}, description="another choice for single protected domains")

    @property
    def fail_open(self) -> bool:
        return self.fail is Fail.OPEN


@dataclass(frozen=True)
class ProtectedServer:
    """A server as the pick-up rules and the proxy know it."""

    address: AnyAddress
    starttls: Starttls

    @property
    def set(self) -> str:
        """The set of the pick-up rules that it is in."""
        return f"protected{self.address.version}"


Servers = Iterable[tuple[str, AnyAddress | str, int]]
"""Of each protected domain its name, server and port."""


def servers(chosen: TransparentSettings, domains: Servers) -> tuple[ProtectedServer, ...]:
    """Each protected server once."""
    found = {
        server: ProtectedServer(server, chosen.domains.get(name, chosen.starttls))
        for name, server, _ in domains
        if not isinstance(server, str)
    }
    return tuple(found.values())


def problems(chosen: TransparentSettings, domains: Servers) -> Iterator[Reason]:
    """Why transparent mode cannot work with these domains."""
    known = list(domains)
    names = [name for name, _, _ in known]
    earlier: dict[AnyAddress | str, tuple[str, Starttls]] = {}
    for index, (name, server, port) in enumerate(known):
        if isinstance(server, str):
            yield Reason(f"domains.{index}.server", f"transparent mode cannot watch for {server}", "write its address")
        if port != 25:
            yield Reason(f"domains.{index}.port", f"transparent mode picks up port 25, not {port}", "25 is right")
        starttls = chosen.domains.get(name, chosen.starttls)
        other, theirs = earlier.setdefault(server, (name, starttls))
        if theirs is not starttls:
            yield Reason(
                f"transparent.domains.{name}",
                f"{name} and {other} have one server, so {starttls} and {theirs} cannot both hold",
                "choose one for both",
            )
    for name in chosen.domains:
        if name not in names:
            yield Reason(f"transparent.domains.{name}", f"{name} is not protected", nearest(name, names))
