"""Logs: which of the box's records a log server gets, and how. The journal on the box is the store; nothing else keeps
any."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from hardware.host.documents import Frozen
from overlays.pem import AUTHORITIES_OF_THE_WORLD, Authorities
from overlays.values import DomainName, Host, Reason


class LogType(StrEnum):
    """The kinds of records."""

    HISTORY = "history"  # of messages: one for each recipient
    EVENT = "event"  # what the system and its administrators did
    ANTISPAM = "antispam"
    ANTIVIRUS = "antivirus"


class Level(StrEnum):
    """How much a record matters, the gravest first; its place is the number that syslog has for it."""

    EMERGENCY = "emergency"
    ALERT = "alert"
    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    NOTIFICATION = "notification"
    INFORMATION = "information"

    @property
    def number(self) -> int:
        return list(Level).index(self)


class Transport(StrEnum):
    """How records travel."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


AUTHORITIES = "/etc/rsyslog/authorities.pem"
USUAL_PORTS = {Transport.UDP: 514, Transport.TCP: 514, Transport.TLS: 6514}


class LogServer(Frozen):
    """Who gets the records, by syslog (RFC 5424)."""

    host: Host
    transport: Transport = Field(Transport.TLS, description="udp and tcp can be read and forged on their way")
    port: int | None = Field(None, ge=1, le=65535, description="default 6514 for tls, 514 for udp and tcp")
    name: DomainName | None = Field(None, description="the name in its certificate, where `host` is not that (tls)")
    authorities: Authorities | None = Field(
        None, description="who may sign its certificate, in PEM (default: the authorities that browsers know; tls)"
    )
    types: tuple[LogType, ...] = Field(tuple(LogType), description="which records")
    level: Level = Field(Level.INFORMATION, description="records that matter less are not sent")

    @property
    def usual_port(self) -> int:
        return self.port or USUAL_PORTS[self.transport]

    def __str__(self) -> str:
        return f"{self.host} port {self.usual_port}, {self.transport}: {', '.join(self.types)} from {self.level} up"

    @property
    def certified_name(self) -> str:
        """The name that its certificate must have."""
        return self.name or str(self.host)


class LogsSettings(Frozen):
    """What becomes of the box's logs beside being kept on the box."""

    server: LogServer | None = Field(None, description="without it nothing leaves the box")

    @property
    def authority_lines(self) -> list[str]:
        return (self.server.authorities or "").splitlines() if self.server else []

    @property
    def types(self) -> str:
        """The types that are sent, as YAML has them."""
        return f"[{', '.join(self.server.types)}]" if self.server else "[]"

    @property
    def level(self) -> Level:
        return self.server.level if self.server else Level.INFORMATION

    @property
    def forward(self) -> tuple[str, ...]:
        """Where to and how, as rsyslog's action has it; a box that sends nothing has one that does nothing."""
        server = self.server
        if server is None:
            return ('type="omfile"', 'file="/dev/null"')
        words = {"type": "omfwd", "target": server.host, "port": server.usual_port}
        if server.transport is Transport.UDP:
            words |= {"protocol": "udp"}
        else:
            words |= {"protocol": "tcp", "TCP_Framing": "octet-counted"}
        if server.transport is Transport.TLS:
            words |= {"streamDriver": "ossl", "streamDriverMode": 1, "streamDriverAuthMode": "x509/name"}
            words |= {"streamDriverPermittedPeers": server.certified_name}
            words |= {"streamDriver.CAFile": AUTHORITIES if server.authorities else AUTHORITIES_OF_THE_WORLD}
        return tuple(f'{name}="{value}"' for name, value in words.items())

    def problems(self) -> Iterator[Reason]:
        server = self.server
        if server is None:
            return
        if not server.types:
            yield Reason("logs.server.types", "nothing would be sent", "such as [history, event], or leave it out")
        if server.transport is not Transport.TLS:
            for name in ("name", "authorities"):
                if getattr(server, name) is not None:
                    yield Reason(
                        f"logs.server.{name}", f"{server.transport} has no certificate", "choose transport: tls"
                    )
        elif not isinstance(server.host, str) and server.name is None:
            hint = "such as name: log.example.com, or write the name as host"
            yield Reason("logs.server.name", "is missing: the certificate is checked for a name", hint)
