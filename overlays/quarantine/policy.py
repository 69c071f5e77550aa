"""What the daemons of the quarantine go by: rendered from the settings, and the one place where a recipient's lot is
decided."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from hardware.host.documents import Frozen
from hardware.parts import OperationMode
from overlays import direction, selftest
from overlays.direction import Direction
from overlays.quarantine.settings import LoginProtocol, LoginTls

POLICY = Path("/etc/postern/quarantine.json")
COMMANDS = "quarantine.invalid"  # Postfix brings mail to the control addresses here; nothing outside has such a name
SYSTEM = f"system@{COMMANDS}"  # whose mailbox is the system quarantine

# What may name a mailbox: it becomes the name of a folder. Anything else is kept for the administrator.
_OWNER = re.compile(r"[a-z0-9_](?:[a-z0-9_+=-]|\.(?!\.))*@[a-z0-9-]+(?:\.[a-z0-9-]+)+")


class Kind(StrEnum):
    """Why a message is kept."""

    SPAM = "spam"
    VIRUS = "virus"
    BULK = "bulk"  # spam for somebody who has no quarantine here


@dataclass(frozen=True)
class Origin:
    """Who a message says that it is from (envelope and header, in lower case), and the client that brought it."""

    addresses: tuple[str, ...] = ()
    client: IPv4Address | IPv6Address | None = None


@dataclass(frozen=True)
class Judgement:
    """What the filter says of a message."""

    score: float
    virus: bool = False


class SpamAction(StrEnum):
    """What becomes of a message whose score reaches its recipient's threshold."""

    QUARANTINE = "quarantine"
    SUBJECT = "subject"
    HEADER = "header"


class Senders(Frozen):
    """A list of senders: addresses and domains in lower case, and networks of clients."""

    addresses: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def have(self, origin: Origin) -> bool:
        client = origin.client
        return any(address in self.addresses or domain_of(address) in self.domains for address in origin.addresses) or (
            client is not None
            and any(client.version == network.version and client in network for network in self.networks)
        )


class LoginServer(Frozen):
    """Which server knows the passwords of a domain's users."""

    protocol: LoginProtocol
    host: str
    port: int
    tls: LoginTls
    verify: bool


@dataclass(frozen=True)
class Personal:
    """The addresses that one person welcomes, and those that he blocks."""

    welcome: Collection[str] = ()
    block: Collection[str] = ()


class DomainPolicy(Frozen):
    """How messages to one protected domain are judged. Without a threshold nothing is spam."""

    threshold: float | None = None
    antivirus: bool = True
    spam: SpamAction = SpamAction.QUARANTINE
    welcome: Senders = Senders()
    block: Senders = Senders()
    login: LoginServer | None = None


class Policy(Frozen):
    """Everything that agent, pages and reports know of the settings."""

    mode: OperationMode
    fqdn: str
    domains: dict[str, DomainPolicy]
    others: DomainPolicy = DomainPolicy()  # recipients outside: messages that go out
    welcome: Senders = Senders()
    block: Senders = Senders()
    subject_mark: str = "[SPAM]"
    retention_days: int = 14
    quota_mib: int = 100
    reports: bool = True
    report_time: str = "09:00"
    web: str  # where the pages are, with a slash at its end
    release: str = "release-ctrl"
    delete: str = "delete-ctrl"

    @property
    def keeps_mailboxes(self) -> bool:
        """Whether a person's quarantine is a folder beside the inbox."""
        return self.mode is OperationMode.SERVER

    @property
    def mailbox(self) -> str:
        """The mailbox of the store that holds an owner's spam."""
        return "Bulk" if self.keeps_mailboxes else "Quarantine"

    def of(self, recipient: str) -> DomainPolicy:
        return self.domains[domain_of(recipient)] if self.protects(recipient) else self.others

    def protects(self, recipient: str) -> bool:
        return direction.of_message(domain_of(recipient), self.domains) is Direction.INCOMING

    def owner_of(self, recipient: str) -> str:
        """Whose mailbox keeps mail to this address: its own, where its name can be a folder's."""
        name = user_of(recipient) if self.keeps_mailboxes else recipient.lower()
        return name if _OWNER.fullmatch(name) else SYSTEM


class Way(StrEnum):
    """What happens to a message for one recipient."""

    DELIVER = "deliver"
    MARK_SUBJECT = "mark subject"
    MARK_HEADER = "mark header"
    KEEP = "keep"
    COMMAND = "command"  # to release or to delete
    DROP = "drop"  # the self-test's


@dataclass(frozen=True)
class Decision:
    """One recipient's lot: for `KEEP`, in whose mailbox and why."""

    way: Way
    owner: str = ""
    kind: Kind = Kind.SPAM


def user_of(recipient: str) -> str:
    """Whose mail it is, in server mode: a user's address may carry a word of his choice."""
    return re.sub(r"\+.*@", "@", recipient.lower())


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def decide(
    policy: Policy, judgement: Judgement, origin: Origin, recipient: str, personal: Personal | None = None
) -> Decision:
    """What becomes of a message for this recipient, who has lists of his own."""
    if selftest.is_meant_by(recipient):
        return Decision(Way.DROP)
    if domain_of(recipient) == COMMANDS:
        return Decision(Way.COMMAND)
    domain = policy.of(recipient)
    if judgement.virus and domain.antivirus:
        return Decision(Way.KEEP, SYSTEM, Kind.VIRUS)
    if not _unwanted(policy, domain, judgement.score, origin, personal or Personal()):
        return Decision(Way.DELIVER)
    if domain.spam is SpamAction.SUBJECT:
        return Decision(Way.MARK_SUBJECT)
    if domain.spam is SpamAction.HEADER:
        return Decision(Way.MARK_HEADER)
    if not policy.protects(recipient):
        return Decision(Way.KEEP, SYSTEM, Kind.BULK)
    return Decision(Way.KEEP, policy.owner_of(recipient))


def _unwanted(policy: Policy, domain: DomainPolicy, score: float, origin: Origin, personal: Personal) -> bool:
    """The lists in their order (the system's, the domain's, the person's; welcome before block), then the score.

    decide.lua asks the same order, so that whatever may be unwanted comes here.
    """
    for lists in (policy, domain):
        if lists.welcome.have(origin):
            return False
        if lists.block.have(origin):
            return True
    if any(address in personal.welcome for address in origin.addresses):
        return False
    if any(address in personal.block for address in origin.addresses):
        return True
    return domain.threshold is not None and score >= domain.threshold


def load(path: Path = POLICY) -> Policy:
    """The policy in force. It is read for each message: there is nothing to reload."""
    return Policy.model_validate_json(path.read_bytes())
