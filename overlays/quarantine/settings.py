"""The quarantine: how much and how long it keeps, how people hear of it, and who knows their passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hardware.host.documents import Frozen
from overlays.values import DomainName, Reason

_LOCAL_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_TAKEN = ("postmaster", "abuse", "root")


def _off(value: Any) -> Any:
    """YAML reads an unquoted `off` as false."""
    return "off" if value is False else value


def _clock_time(value: Any) -> str:
    """Hours and minutes; YAML reads an unquoted 17:30 as a number of minutes."""
    text = f"{value // 60:02}:{value % 60:02}" if type(value) is int and 0 <= value < 24 * 60 else str(value).strip()
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a time of day: such as 09:00 is right")
    return f"{int(match[1]):02}:{match[2]}"


def _local_part(value: Any) -> str:
    text = str(value).strip().lower()
    if not _LOCAL_PART.fullmatch(text):
        raise ValueError(f"{text!r} cannot stand before the @: letters, digits, dots and hyphens can")
    return text


ClockTime = Annotated[str, BeforeValidator(_clock_time), Field(examples=["09:00"])]
LocalPart = Annotated[str, BeforeValidator(_local_part), Field(examples=["release-ctrl"])]


class LoginProtocol(StrEnum):
    """How a domain's server is asked whether a password is right."""

    IMAP = "imap"
    POP3 = "pop3"
    SMTP = "smtp"


class LoginTls(StrEnum):
    """How the way to that server is encrypted."""

    TLS = "tls"
    STARTTLS = "starttls"
    OFF = "off"


_PORTS = {
    (LoginProtocol.IMAP, True): 993,
    (LoginProtocol.IMAP, False): 143,
    (LoginProtocol.POP3, True): 995,
    (LoginProtocol.POP3, False): 110,
    (LoginProtocol.SMTP, True): 465,
    (LoginProtocol.SMTP, False): 587,
}


class Login(Frozen):
    """How a domain's server says whether a user's password is right; without a port it is asked at the usual one."""

    protocol: LoginProtocol = LoginProtocol.IMAP
    port: int | None = Field(None, ge=1, le=65535, description="where it listens (default: the usual port)")
    tls: Annotated[LoginTls, BeforeValidator(_off, json_schema_input_type=LoginTls)] = LoginTls.TLS
    verify: bool = Field(True, description="the server's certificate must be valid for its name or address")

    @property
    def usual_port(self) -> int:
        return self.port or _PORTS[self.protocol, self.tls is LoginTls.TLS]


class QuarantineSettings(Frozen):
    """What the quarantine keeps, and what it tells. What is spam to whom is decided by `filtering`."""

    retention_days: int = Field(14, ge=1, le=365, description="messages that are older are deleted")
    quota_mib: int = Field(
        100, ge=1, le=100_000, description="the most that is kept for one person; the oldest go first"
    )
    reports: bool = Field(True, description="tell each recipient by mail what is new, once a day")
    report_time: ClockTime = Field("09:00", description="when, by the box's clock")
    web_host: DomainName | None = Field(
        None, description="the box's name in the links of reports, which users' browsers must find (default: its own)"
    )
    release: LocalPart = Field("release-ctrl", description="mail to this local part of the box releases a message")
    delete: LocalPart = Field("delete-ctrl", description="mail to this local part of the box deletes a message")

    def problems(self) -> Iterator[Reason]:
        for name, part in (("release", self.release), ("delete", self.delete)):
            if part in _TAKEN:
                yield Reason(f"quarantine.{name}", f"{part} is the postmaster's", "such as release-ctrl is right")
        if self.release == self.delete:
            yield Reason("quarantine.delete", f"{self.delete} cannot mean both", "name two different local parts")
