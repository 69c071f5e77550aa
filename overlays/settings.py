"""Settings: the sum of all concerns, and the answer file they are read from."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface
from typing import Any, Literal, NamedTuple

from pydantic import Field

from hardware.host import documents
from hardware.host.documents import Frozen
from hardware.parts import OperationMode
from hardware.profile import HardwareProfile
from overlays import selftest
from overlays.access import settings as access_concern
from overlays.admin.settings import AdminSecrets, AdminSettings
from overlays.clock.settings import ClockSettings
from overlays.domains import settings as domains_concern
from overlays.filtering import settings as filtering_concern
from overlays.keyboard import settings as keyboard_concern
from overlays.logs.settings import LogsSettings
from overlays.mailboxes.settings import MailboxesSettings
from overlays.mailhost.settings import MailhostSettings
from overlays.network.settings import BRIDGE, NetworkSettings, Port, PortPlan, PortService
from overlays.quarantine.policy import COMMANDS, DomainPolicy, LoginServer, Policy, Senders, SpamAction
from overlays.quarantine.settings import Login, LoginProtocol, LoginTls, QuarantineSettings
from overlays.smarthost import settings as smarthost_concern
from overlays.transparent import settings as transparent_concern
from overlays.users import settings as users_concern
from overlays.values import AnyNetwork, Mailbox, sender_kinds
from overlays.web import settings as web_concern


class Domain(domains_concern.ProtectedDomain):
    """A protected domain, with what other concerns decide about it."""

    filtering: filtering_concern.DomainFiltering = filtering_concern.DomainFiltering()
    login: Login | None = Field(
        None, description="how its server is asked for a user's password; without it nobody logs in to the quarantine"
    )


class Signature(NamedTuple):
    """One DKIM key: whose, and the name that it is published under."""

    domain: str
    selector: str

    @property
    def file(self) -> str:
        """Its file in the folder of the box's keys."""
        return f"{self.domain}.{self.selector}.key"


class PickedUp(NamedTuple):
    """What connections that were picked up may be meant for, as networkd writes it."""

    family: str
    everywhere: str


class Settings(Frozen):
    """Every decision about a box, secrets apart. An answer file is one of these written down."""

    format: Literal[1] = Field(description="the number of this format")
    mode: OperationMode
    admin: AdminSettings = AdminSettings()
    network: NetworkSettings
    clock: ClockSettings = ClockSettings()
    keyboard: keyboard_concern.KeyboardSettings = keyboard_concern.KeyboardSettings()
    mailhost: MailhostSettings
    domains: tuple[Domain, ...] = ()
    access: tuple[access_concern.AccessRule, ...] = ()
    smarthost: smarthost_concern.SmartHost | None = Field(
        None, description="who takes mail to the world; without one the box brings it to each recipient's server itself"
    )
    web: web_concern.WebSettings = web_concern.WebSettings()
    filtering: filtering_concern.FilteringSettings = filtering_concern.FilteringSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    mailboxes: MailboxesSettings = MailboxesSettings()
    logs: LogsSettings = LogsSettings()
    transparent: transparent_concern.TransparentSettings = transparent_concern.TransparentSettings()
    users: tuple[users_concern.User, ...] = Field(
        (), description="who gets a mailbox in server mode; `postern users` looks after them from then on"
    )

    @property
    def keeps_mailboxes(self) -> bool:
        """Whether the protected domains' mailboxes are on the box itself."""
        return self.mode is OperationMode.SERVER

    @property
    def reads_along(self) -> bool:
        """Whether the box stands in the wire, and reads what others say to each other."""
        return self.mode is OperationMode.TRANSPARENT

    @property
    def without_users(self) -> Settings:
        """What a generation keeps: users are in a table of their own, which no way back may change."""
        return self.model_copy(update={"users": ()})

    @property
    def own_domains(self) -> tuple[str, ...]:
        """The mail domains of the box itself. A local domain that is protected belongs to its server."""
        protected = {domain.name for domain in self.domains}
        candidates = (self.mailhost.fqdn, self.mailhost.local_domain)
        return tuple(name for name in candidates if name not in protected)

    @property
    def smtp_hosts(self) -> tuple[str, ...]:
        """The addresses that take mail, as Postfix's master.cf writes them."""
        return self.hosts(PortService.SMTP)

    @property
    def submission_hosts(self) -> tuple[str, ...]:
        """The addresses where users hand in mail and start encryption (port 587); the loopback is for webmail."""
        return ("127.0.0.1", *self.hosts(PortService.SUBMISSION)) if self.keeps_mailboxes else ()

    @property
    def rules_hosts(self) -> tuple[str, ...]:
        """Where users' own rules hand in what they send on or answer (port 10028)."""
        return ("127.0.0.1",) if self.keeps_mailboxes else ()

    @property
    def submissions_hosts(self) -> tuple[str, ...]:
        """The addresses where users hand in mail, encrypted from the start (port 465)."""
        return self.hosts(PortService.SUBMISSIONS) if self.keeps_mailboxes else ()

    def hosts(self, service: PortService | str) -> tuple[str, ...]:
        """The addresses of the ports that let a service in, as they stand before a colon and a number."""
        addresses = self.network.allowing(service)
        return tuple(f"[{address}]" if address.version == 6 else str(address) for address in addresses)

    def listens(self, service: str) -> str:
        """Where Dovecot listens for a service: where a port lets it in, and for the box's own webmail."""
        return ", ".join(["127.0.0.1", *map(str, self.network.allowing(service))])

    @property
    def mail_protocols(self) -> str:
        """What Dovecot speaks."""
        return "lmtp imap pop3 sieve" if self.keeps_mailboxes else "lmtp"

    @property
    def mailbox_domains(self) -> tuple[str, ...]:
        """The domains whose mailboxes are here, in every form that a client may write."""
        return tuple(name for domain in self.domains for name in domain.names) if self.keeps_mailboxes else ()

    @property
    def alias_maps(self) -> str:
        """Where Postfix looks for other addresses of a recipient: a user is found before the postmaster's tables."""
        own = "texthash:$config_directory/virtual"
        return f"lmdb:/run/postern-users/aliases {own}" if self.keeps_mailboxes else own

    @property
    def asks_access(self) -> bool:
        """Whether a message can get another answer than the usual one, so that the access rules' service is asked."""
        return bool(self.access) or self.filtering.reputation.enabled

    @property
    def relay_checks(self) -> tuple[str, ...]:
        """What Postfix asks about who may send where; the last is its own guard."""
        if not self.asks_access:
            return ("access_take", "reject_unauth_destination")
        service = "check_policy_service { unix:/run/postern-access/policy.sock, timeout=10s }"
        named = "check_client_access cidr:$config_directory/relay_clients"
        return (service, "permit_sasl_authenticated", named, "reject_unauth_destination")

    @property
    def recipient_checks(self) -> tuple[str, ...]:
        """What Postfix asks about a recipient beside whether there is one: told to whom it matters, room."""
        known = "unix:/run/postern-access/policy.sock, timeout=10s, policy_context=known, default_action=DUNNO"
        told = ("reject_unlisted_recipient", f"check_policy_service {{ {known} }}")
        room = ("check_policy_service unix:/run/dovecot/quota-status",)
        return (told if self.filtering.reputation.enabled else ()) + (room if self.keeps_mailboxes else ())

    @property
    def recipient_delimiter(self) -> str:
        """What users may write between their name and a word of their choice. Another server has its own rules."""
        return "+" if self.keeps_mailboxes else ""

    def smtp_share(self, whole: int) -> int:
        """One address's part of what all of them may use together: Postfix counts for each by itself."""
        return max(4, whole // max(1, len(self.smtp_hosts)))

    @property
    def aliases(self) -> tuple[str, ...]:
        """The addresses that the postmaster reads: the box's own, and those that every domain must have. Maybe none."""
        postmaster = self.mailhost.postmaster
        if not postmaster:
            return ()
        own = [f"{name}@{domain}" for domain in self.own_domains for name in ("postmaster", "abuse", "root")]
        kept = [f"postmaster@{domain}" for domain in self.mailbox_domains]
        return tuple(address for address in (*own, *kept) if address != postmaster)

    @property
    def changes_keyboard(self) -> bool:
        """Whether the keys of the screen mean anything else than they do to the kernel."""
        return self.keyboard.layout != keyboard_concern.DEFAULT

    @property
    def uses_acme(self) -> bool:
        return self.web.acme is not None

    @property
    def home_page(self) -> str:
        """Where the web server leads whoever names no page."""
        return web_concern.home(self.mode)

    @property
    def bridge_plan(self) -> PortPlan:
        """Transparent mode's bridge as networkd is told of it."""
        return self.network.plan(BRIDGE)

    @property
    def picked_up(self) -> tuple[PickedUp, ...]:
        """For each IP family of the bridge."""
        families = {address.version for address in self.bridge_plan.addresses}
        return tuple(PickedUp(f"ipv{one}", "0.0.0.0/0" if one == 4 else "::/0") for one in sorted(families))

    @property
    def protected_servers(self) -> tuple[transparent_concern.ProtectedServer, ...]:
        """What transparent mode watches for."""
        return transparent_concern.servers(self.transparent, self.known_servers)

    @property
    def known_servers(self) -> transparent_concern.Servers:
        known = [(domain.name, domain.server, domain.port) for domain in self.domains]
        return [(name, server, port) for name, server, port in known if server is not None]

    @property
    def domain_rows(self) -> tuple[domains_concern.Row, ...]:
        """The domains that have servers of their own."""
        return () if self.keeps_mailboxes else domains_concern.rows(self.domains)

    @property
    def filtering_rows(self) -> tuple[filtering_concern.Row, ...]:
        """What each protected domain wants of the filter, a row for every form of its name."""
        named = [(name, domain.filtering) for domain in self.domains for name in domain.names]
        return filtering_concern.rows(self.filtering, named)

    @property
    def control_rows(self) -> tuple[tuple[str, str], ...]:
        """The addresses that release and delete by mail, and the self-test's; and those that Postfix makes of them."""
        parts = (self.quarantine.release, self.quarantine.delete)
        commands = tuple((f"{part}@{domain}", f"{part}@{COMMANDS}") for domain in self.own_domains for part in parts)
        tried = tuple(name for domain in self.domains for name in domain.names)
        return commands + tuple((selftest.address(name), selftest.address(selftest.DOMAIN)) for name in tried)

    @property
    def quarantine_policy(self) -> str:
        """What the quarantine's programs go by, as JSON in one line."""
        ours = self.quarantine
        logins = {name: self._login_server(domain) for domain in self.domains for name in domain.names}
        policy = Policy(
            mode=self.mode,
            fqdn=self.mailhost.fqdn,
            domains={row.name: _domain_policy(row, logins[row.name]) for row in self.filtering_rows},
            others=_domain_policy(self.filtering_outgoing),
            welcome=_senders(self.filtering.welcome),
            block=_senders(self.filtering.block),
            subject_mark=self.filtering.subject_tag,
            retention_days=ours.retention_days,
            quota_mib=ours.quota_mib,
            reports=ours.reports,
            report_time=ours.report_time,
            web=f"https://{ours.web_host or self.mailhost.fqdn}/quarantine/",
            release=ours.release,
            delete=ours.delete,
        )
        return policy.model_dump_json()

    def _login_server(self, domain: Domain) -> LoginServer | None:
        """Who knows the passwords of a domain's users: in server mode the box's own Dovecot."""
        if self.keeps_mailboxes:
            return LoginServer(protocol=LoginProtocol.IMAP, host="127.0.0.1", port=143, tls=LoginTls.OFF, verify=False)
        login = domain.login
        if login is None:
            return None
        return LoginServer(
            protocol=login.protocol, host=str(domain.server), port=login.usual_port, tls=login.tls, verify=login.verify
        )

    @property
    def filtering_outgoing(self) -> filtering_concern.Row:
        return filtering_concern.outgoing_row(self.filtering)

    @property
    def scans_viruses(self) -> bool:
        """Whether anybody's messages are scanned."""
        return any(row.chosen.antivirus for row in (*self.filtering_rows, self.filtering_outgoing))

    @property
    def judges_spam(self) -> bool:
        """Whether anybody's messages are scored."""
        off = filtering_concern.Antispam.OFF
        return any(row.chosen.antispam is not off for row in (*self.filtering_rows, self.filtering_outgoing))

    @property
    def remembers(self) -> bool:
        """Whether the box remembers who sent what."""
        return self.judges_spam or self.filtering.reputation.enabled

    @property
    def signs(self) -> tuple[Signature, ...]:
        """The domains whose mail to the world is signed."""
        return tuple(
            Signature(domain.name, domain.filtering.dkim)
            for domain in self.domains
            if domain.filtering.dkim is not None
        )

    @property
    def filters(self) -> bool:
        """Whether messages pass the filter at all."""
        return self.scans_viruses or self.judges_spam or bool(self.signs)

    @property
    def milters(self) -> str:
        """Who looks at a message before it is taken, as Postfix writes it."""
        return "inet:127.0.0.1:11332" if self.filters else ""

    @property
    def resolves(self) -> bool:
        """Whether the filter has a resolver of its own, which asks the name servers of the network."""
        return self.filters and bool(self.network.dns)

    @property
    def updates_definitions(self) -> bool:
        return self.scans_viruses and self.filtering.updates_definitions

    @property
    def sends_logs(self) -> bool:
        """Whether a log server gets any records."""
        return self.logs.server is not None

    @property
    def scan_mib(self) -> int:
        """What the virus scanner takes at most: the largest message with its parts taken out of it, twice over."""
        return 4 * self.mailhost.message_size_mib

    @property
    def world_transport(self) -> str:
        """Which of Postfix's programs brings mail to the world."""
        return "smarthost" if self.smarthost else "smtp"

    @property
    def world_next_hop(self) -> str:
        """Who takes mail to the world; empty where it is each recipient's own server."""
        return self.smarthost.next_hop if self.smarthost else ""

    @property
    def smarthost_authorities(self) -> list[str]:
        """The lines of the file with those who may sign the smart host's certificate."""
        return self.smarthost.authority_lines if self.smarthost else []

    @property
    def asks_the_world(self) -> bool:
        """Whether mail to the world needs DNS: a smart host that is known by its address does not."""
        return self.smarthost is None or isinstance(self.smarthost.host, str)

    @property
    def relaying_networks(self) -> tuple[AnyNetwork | str, ...]:
        return access_concern.relaying(self.access)


class Secrets(Frozen):
    """What must not be seen, in a file of its own."""

    format: Literal[1] = Field(description="the number of this format")
    admin: AdminSecrets | None = Field(None, description="without it only an SSH key gets in")
    smarthost: smarthost_concern.SmartHostSecrets = smarthost_concern.SmartHostSecrets()
    web: web_concern.WebSecrets = web_concern.WebSecrets()
    users: dict[Mailbox, users_concern.UserSecrets] = Field({}, description="by the user's address")

    @property
    def shadow_field(self) -> str:
        """The password field of `admin` in /etc/shadow: a hash, or an asterisk that no password matches."""
        if self.admin is None:
            return "*"
        if self.admin.password_hash is None:
            raise ValueError("the password was not hashed before rendering")
        return self.admin.password_hash.get_secret_value()

    @property
    def has_password(self) -> bool:
        return self.admin is not None

    def hashed(self, make_hash: Callable[[str], str]) -> Secrets:
        """The same secrets with hashes in place of plain passwords."""
        if self.admin is None or self.admin.password is None:
            return self
        made = make_hash(self.admin.password.get_secret_value())
        return self.model_copy(update={"admin": AdminSecrets.model_validate({"password_hash": made})})

    @property
    def without_users(self) -> Secrets:
        """What a generation keeps."""
        return self.model_copy(update={"users": {}})


def _senders(listed: tuple[str, ...]) -> Senders:
    return Senders.model_validate(sender_kinds(listed))


def _domain_policy(row: filtering_concern.Row, login: LoginServer | None = None) -> DomainPolicy:
    """What the quarantine's programs do for one domain."""
    return DomainPolicy(
        threshold=filtering_concern.THRESHOLDS[row.chosen.antispam].tag,
        antivirus=row.chosen.antivirus,
        spam=SpamAction(row.chosen.spam.value),
        welcome=_senders(row.domain.welcome),
        block=_senders(row.domain.block),
        login=login,
    )


def parse_answers(text: str, source: str) -> Settings:
    """An answer file's settings. Raises `Refused` with every problem of form; `problems` finds those of meaning."""
    return documents.parse(text, source, Settings)


def parse_secrets(text: str, source: str) -> Secrets:
    return documents.parse(text, source, Secrets)


def dump_answers(settings: Settings) -> str:
    """The answer file that repeats these settings."""
    return documents.dump(settings)


def dump_secrets(secrets: Secrets) -> str:
    """The secrets file, readable: for a file of mode 0600 and nothing else."""
    return documents.dump(secrets)


def schema() -> dict[str, Any]:
    """The answer file's JSON Schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema()


def secrets_schema() -> dict[str, Any]:
    """The secrets file's JSON Schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Secrets.model_json_schema()


def factory(profile: HardwareProfile) -> Settings:
    """What a box is before anybody decided anything: the first port answers to ping, and that is all."""
    first = Port(addresses=(IPv4Interface("192.168.1.99/24"),), allow=(PortService.PING,))
    return Settings(
        format=1,
        mode=OperationMode.GATEWAY,
        network=NetworkSettings(ports={profile.port_names[0]: first}),
        mailhost=MailhostSettings(host_name="postern", local_domain="postern.invalid"),
    )
