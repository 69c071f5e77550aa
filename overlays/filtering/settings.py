"""Filtering: what is done about spam and viruses, for messages to protected domains and for those to the world.

Rspamd scores a message once; each recipient's direction and domain say what the score means. The thresholds below are
data: they go to Rspamd and to the quarantine's agent in one file, /etc/postern/filtering.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from hardware.host.documents import Frozen
from hardware.profile import HardwareProfile
from overlays.values import DomainName, HostLabel, Line, Reason, Sender, sender_kinds

DEFAULT_SCORES = "15, 55 and 80"
OFFICIAL_MIRROR = "database.clamav.net"
OFFICIAL_MEMORY_MIB = 3072  # the official definitions take 1.2 GiB, and as much again while they are tried and loaded


class Antispam(StrEnum):
    """How soon a message counts as spam."""

    OFF = "off"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True)
class Thresholds:
    """The scores from which a message is put off at first, is spam, and is refused; None is never."""

    greylist: float | None = None
    tag: float | None = None
    reject: float | None = None


# Rspamd's rules are weighed for refusing at 15 and marking at 6: that is medium.
THRESHOLDS = {
    Antispam.OFF: Thresholds(),
    Antispam.LOW: Thresholds(tag=8, reject=20),
    Antispam.MEDIUM: Thresholds(greylist=4, tag=6, reject=15),
    Antispam.HIGH: Thresholds(greylist=2, tag=4, reject=10),
}


class SpamAction(StrEnum):
    """What becomes of spam that is not bad enough to be refused."""

    QUARANTINE = "quarantine"
    SUBJECT = "subject"
    HEADER = "header"


class Encrypted(StrEnum):
    """What becomes of messages with encrypted parts, into which no virus scanner can look."""

    DELIVER = "deliver"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Source(StrEnum):
    """Where virus definitions come from."""

    OFFLINE = "offline"
    OFFICIAL = "official"
    MIRROR = "mirror"


def _off(value: Any) -> Any:
    """YAML reads an unquoted `off` as false."""
    return Antispam.OFF if value is False else value


Level = Annotated[Antispam, BeforeValidator(_off, json_schema_input_type=Antispam)]


class Incoming(Frozen):
    """Messages to protected domains."""

    antispam: Level = Field(Antispam.MEDIUM, description="how soon a message counts as spam")
    antivirus: bool = Field(True, description="refuse messages with viruses")
    spam: SpamAction = Field(SpamAction.QUARANTINE, description="what becomes of spam that is not refused")
    reject: bool = Field(True, description="refuse what is spam beyond doubt; false treats it as other spam")


class Outgoing(Incoming):
    """Messages to the world."""

    antispam: Level = Field(Antispam.OFF, description="how soon a message counts as spam")


class DomainFiltering(Frozen):
    """What one protected domain has otherwise than the rest; what is not written is as for all incoming messages."""

    antispam: Level | None = None
    antivirus: bool | None = None
    spam: SpamAction | None = None
    reject: bool | None = None
    welcome: tuple[Sender, ...] = Field((), description="senders whose mail to this domain is never spam")
    block: tuple[Sender, ...] = Field((), description="senders whose mail to this domain is refused")
    dkim: HostLabel | None = Field(
        None, description="the selector under which the domain's mail to the world is signed; without it, it is not"
    )


class Greylisting(Frozen):
    """Suspicious messages of unknown senders are put off once: real mail servers come again."""

    enabled: bool = True
    period_minutes: int = Field(20, ge=1, le=120, description="how long a new sender is put off")
    keep_days: int = Field(10, ge=1, le=60, description="how long one that came again stays known")


class Reputation(Frozen):
    """What a client's own past makes of it: a score from 0 to 100, of what it sent in the last twelve hours.

    Who may relay, or has logged in, has none.
    """

    enabled: bool = False
    throttle: int = Field(15, ge=1, le=100, description="the score from which a client may send less than before")
    tempfail: int = Field(55, ge=1, le=100, description="the score from which it is put off")
    reject: int = Field(80, ge=1, le=100, description="the score from which it is refused")
    throttle_percent: int = Field(
        10, ge=1, le=100, description="how much of its messages of the hour before it may send; one at least"
    )

    @property
    def limits_json(self) -> str:
        return self.model_dump_json(exclude={"enabled"})

    @property
    def problem(self) -> Reason | None:
        if self.throttle < self.tempfail < self.reject:
            return None
        hint = f"throttle, tempfail and reject rise, such as {DEFAULT_SCORES}"
        return Reason("filtering.reputation", f"{self.throttle}, {self.tempfail} and {self.reject} do not rise", hint)


class Definitions(Frozen):
    """Where virus definitions come from. Offline, the box has a test set until `postern definitions` takes a file."""

    source: Source = Source.OFFLINE
    mirror: DomainName | None = Field(None, description="the private mirror's name")
    checks_per_day: int = Field(12, ge=1, le=50)

    @property
    def freshclam(self) -> str:
        """The source as freshclam.conf(5) writes it."""
        if self.source is Source.MIRROR:
            return f"PrivateMirror {self.mirror}"
        return f"DatabaseMirror {OFFICIAL_MIRROR}"


class FilteringSettings(Frozen):
    """Spam and viruses."""

    incoming: Incoming = Incoming()
    outgoing: Outgoing = Outgoing()
    encrypted: Encrypted = Field(Encrypted.DELIVER, description="what becomes of messages that cannot be scanned")
    subject_tag: Line = Field("[SPAM]", max_length=40, description="what a tagged subject begins with")
    welcome: tuple[Sender, ...] = Field((), description="senders whose mail is never spam")
    block: tuple[Sender, ...] = Field((), description="senders whose mail is refused")
    greylisting: Greylisting = Greylisting()
    reputation: Reputation = Reputation()
    definitions: Definitions = Definitions()

    @property
    def reputation_json(self) -> str:
        """What the access rules' service is told; null where nobody's past counts."""
        return self.reputation.limits_json if self.reputation.enabled else "null"

    @property
    def subject_tag_json(self) -> str:
        return json.dumps(self.subject_tag)

    @property
    def welcome_json(self) -> str:
        return json.dumps(sender_kinds(self.welcome))

    @property
    def block_json(self) -> str:
        return json.dumps(sender_kinds(self.block))

    @property
    def updates_definitions(self) -> bool:
        return self.definitions.source is not Source.OFFLINE

    def problems(self, profile: HardwareProfile) -> Iterator[Reason]:
        definitions = self.definitions
        path = "filtering.definitions"
        if definitions.source is Source.MIRROR and not definitions.mirror:
            yield Reason(f"{path}.mirror", "is missing", "name the private mirror, such as clamav.example.com")
        if definitions.source is not Source.MIRROR and definitions.mirror:
            yield Reason(f"{path}.mirror", "is not asked", f"set {path}.source to mirror")
        memory = profile.ram_mib
        if definitions.source is Source.OFFICIAL and memory != "unknown" and memory < OFFICIAL_MEMORY_MIB:
            yield Reason(
                f"{path}.source",
                f"the official definitions need {OFFICIAL_MEMORY_MIB} MiB of memory, and {profile.id} has {memory}",
                "offline, or a mirror with definitions that fit",
            )
        if problem := self.reputation.problem:
            yield problem
        yield from _both(self.welcome, self.block, "filtering")


def _both(welcome: tuple[str, ...], block: tuple[str, ...], path: str) -> Iterator[Reason]:
    for index, sender in enumerate(block):
        if sender in welcome:
            yield Reason(f"{path}.block.{index}", f"{sender} is also welcome", "a sender is on one of the lists")


@dataclass(frozen=True)
class Row:
    """What recipients of one name want: a line of filtering.json."""

    name: str
    domain: DomainFiltering
    incoming: Incoming
    greylisting: bool

    @property
    def chosen(self) -> Incoming:
        """The direction's choices with the domain's own over them."""
        own = {name: getattr(self.domain, name) for name in type(self.incoming).model_fields}
        return self.incoming.model_copy(update={name: value for name, value in own.items() if value is not None})

    @property
    def document(self) -> dict[str, object]:
        chosen = self.chosen
        scores = asdict(THRESHOLDS[chosen.antispam])
        if not self.greylisting:
            scores["greylist"] = None
        if not chosen.reject:
            scores["reject"] = None
        return scores | {
            "antivirus": chosen.antivirus,
            "spam": chosen.spam.value,
            "welcome": sender_kinds(self.domain.welcome),
            "block": sender_kinds(self.domain.block),
        }

    @property
    def json(self) -> str:
        return json.dumps(self.document)

    @property
    def name_json(self) -> str:
        return json.dumps(self.name, ensure_ascii=False)


Named = Iterable[tuple[str, DomainFiltering]]


def rows(filtering: FilteringSettings, domains: Named) -> tuple[Row, ...]:
    """What the recipients of each protected domain want."""
    enabled = filtering.greylisting.enabled
    return tuple(Row(name, domain, filtering.incoming, enabled) for name, domain in domains)


def outgoing_row(filtering: FilteringSettings) -> Row:
    """What is wanted of messages to the world: nobody there is put off."""
    return Row("", DomainFiltering(), filtering.outgoing, greylisting=False)


def domain_problems(index: int, domain: DomainFiltering) -> Iterator[Reason]:
    yield from _both(domain.welcome, domain.block, f"domains.{index}.filtering")
