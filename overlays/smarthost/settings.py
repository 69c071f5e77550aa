"""The smart host: the mail server that takes what goes to the world, in place of the recipients' own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from hardware.host.documents import Frozen
from overlays.pem import AUTHORITIES_OF_THE_WORLD, Authorities
from overlays.values import DomainName, Host, Line, Reason, Secret, one_line

TLS_FROM_THE_START = 465
_USER = re.compile(r"[^\s:#][^\s:]*")
AUTHORITIES = "/etc/postfix/smarthost_authorities.pem"


class Tls(StrEnum):
    """How sure the box is that only the smart host reads the mail."""

    MAY = "may"
    ENCRYPT = "encrypt"
    VERIFY = "verify"

    @property
    def postfix(self) -> str:
        """The level as Postfix calls it: `verify` there believes what DNS says of the name."""
        return {Tls.MAY: "may", Tls.ENCRYPT: "encrypt", Tls.VERIFY: "secure"}[self]


def read_user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise ValueError(f"{text!r} is not a user's name for a login: one word without a colon is right")
    return text


def read_password(text: str) -> str:
    """A password that may be taken. Raises `ValueError` without repeating it."""
    if not one_line(text) or text != text.strip():
        raise ValueError("the password is empty, or has a blank at one of its ends")
    return text


def _checked(secret: SecretStr) -> SecretStr:
    read_password(secret.get_secret_value())
    return secret


class SmartHost(Frozen):
    """Where mail to everybody but the protected domains is handed to."""

    host: Host = Field(description="the smart host, by address or by name")
    port: int = Field(25, ge=1, le=65535, description="587 for most that want a login; 465 is encrypted from the start")
    mx: bool = Field(False, description="`host` is a domain, and its MX records name the smart hosts")
    tls: Tls = Field(
        Tls.VERIFY,
        description="verify: encrypted, and the certificate must be valid for the name; encrypt: encrypted with "
        "whoever answers; may: encrypted if the smart host can",
    )
    name: DomainName | None = Field(None, description="the name in its certificate, where that is not `host`")
    authorities: Authorities | None = Field(
        None, description="who may sign its certificate, in PEM (default: the authorities that browsers know)"
    )
    user: Annotated[Line, AfterValidator(read_user)] | None = Field(
        None, description="the name to log in with; the password is in the secrets file"
    )

    @property
    def next_hop(self) -> str:
        """The smart host as Postfix writes it; brackets forbid an MX look-up."""
        return f"{self.host}:{self.port}" if self.mx else f"[{self.host}]:{self.port}"

    @property
    def from_the_start(self) -> str:
        """Whether encryption comes before the first word, as Postfix says yes and no."""
        return "yes" if self.port == TLS_FROM_THE_START else "no"

    @property
    def match(self) -> str:
        """Which name its certificate must have, as Postfix writes it."""
        return self.name or ("nexthop, dot-nexthop" if self.mx else "nexthop")

    @property
    def authority_file(self) -> str:
        return AUTHORITIES if self.authorities else AUTHORITIES_OF_THE_WORLD

    @property
    def authority_lines(self) -> list[str]:
        return (self.authorities or "").splitlines()

    @property
    def logs_in(self) -> str:
        """Whether the box logs in, as Postfix says yes and no."""
        return "yes" if self.user else "no"


class SmartHostSecrets(Frozen):
    """What the box logs in with."""

    password: Annotated[Secret, AfterValidator(_checked)] | None = Field(
        None, description="the password of smarthost.user"
    )

    @property
    def plain(self) -> str:
        """The password for the file that only root reads; empty when there is none."""
        return self.password.get_secret_value() if self.password else ""


def problems(smarthost: SmartHost | None, secrets: SmartHostSecrets | None) -> Iterator[Reason]:
    if smarthost is None:
        return
    by_address = not isinstance(smarthost.host, str)
    if smarthost.mx and by_address:
        yield Reason("smarthost.mx", f"{smarthost.host} is an address, which has no MX records", "leave mx out")
    if smarthost.tls is Tls.VERIFY and by_address and smarthost.name is None:
        hint = "set smarthost.name, or tls: encrypt, which believes whoever answers"
        yield Reason("smarthost.name", "is missing: an address is no name that a certificate is valid for", hint)
    if smarthost.tls is Tls.MAY and smarthost.from_the_start == "yes":
        yield Reason("smarthost.tls", f"port {TLS_FROM_THE_START} is always encrypted", "encrypt or verify is right")
    if smarthost.tls is Tls.MAY and smarthost.user:
        yield Reason("smarthost.tls", "a password goes over encrypted lines alone", "encrypt or verify is right")
    if smarthost.user and secrets is not None and secrets.password is None:
        yield Reason("smarthost.user", "the password is missing", "set smarthost.password in the secrets file")
