"""The protected domains: whose mail the box takes, and the server that each belongs to."""

from __future__ import annotations

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import edit, fill, sentence
from installer.wizard.draft import Domain, Draft
from installer.wizard.typed import Login
from installer.wizard.ui import Field, Head, Ui, Way

HELP = """Mail for a protected domain is taken from anyone and handed to that domain's own server, given by address or \
by name. Verify says how the box knows a recipient: smtp asks the domain's server before it takes a message; off takes \
every name. Whatever is not for a protected domain is refused."""
SERVER_HELP = """Mail for a protected domain is taken from anyone and kept here, if there is a user or an alias of \
that name. Whatever is not for a protected domain is refused."""
TRANSPARENT_HELP = """A protected domain is known by its server's address: SMTP connections to it are incoming, all \
others are outgoing. The server's answers stay its own; what is for the domain is filtered as the domain's mail."""

LOGIN_HELP = """Users see what is kept for them in the quarantine's pages, where they log in with the password \
of their mailbox: the box asks the domain's mail server, by IMAP, POP3 or SMTP. With none nobody logs in, and \
the links of the daily report are the only way. Encryption: tls from the start, starttls after the greeting, off shows \
the passwords to whoever listens."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the list. What was typed for a domain that was not added in the end is kept for the next try."""
    typed = draft.new_domain

    def ask_one(domains: tuple[Domain, ...], index: int) -> tuple[Domain, ...]:
        nonlocal typed
        new = index == len(domains)
        domain, way = _ask_one(ui, draft, profile, domains, index, typed if new else domains[index])
        if way is Way.NEXT and not draft.keeps_mailboxes:
            domain, way = _ask_login(ui, draft, profile, domains, index, domain)
        if new:
            typed = domain if way is Way.BACK else Domain()
        return (*domains[:index], domain, *domains[index + 1 :]) if way is Way.NEXT else domains

    def check(domains: tuple[Domain, ...]) -> list[str]:
        found = draft.but(domains=domains).problems(profile, "domains")
        return [sentence(problem, _subject(problem, domains)) for problem in found]

    answer = edit(
        ui,
        Head("Protected domains", "The domains whose mail this box takes.", _help(draft)),
        draft.domains,
        noun="protected domain",
        name=lambda domain: domain.name,
        label=draft.way_of,
        ask=ask_one,
        check=check,
    )
    return draft.but(domains=answer.value, new_domain=typed), answer.way


def _ask_one(
    ui: Ui, draft: Draft, profile: HardwareProfile, others: tuple[Domain, ...], index: int, domain: Domain
) -> tuple[Domain, Way]:
    def entered(values: tuple[str, ...]) -> Domain:
        name, *server = values
        texts = dict(zip(("server", "port", "verify"), map(str.lower, server), strict=False))
        return domain.model_copy(update={"name": name.lower().rstrip(".")} | texts)

    def check(values: tuple[str, ...]) -> list[Problem]:
        domains = (*others[:index], entered(values), *others[index + 1 :])
        return draft.but(domains=domains).problems(profile, "domains")

    path = f"domains.{index}"
    name = Field(f"{path}.name", "Domain", domain.name, "example.com")
    server = [
        Field(f"{path}.server", "Its mail server", domain.server, "address" if draft.bridges else "address or name"),
        Field(f"{path}.port", "Port", domain.port),
        Field(f"{path}.verify", "Verify", domain.verify, "smtp or off"),
    ]
    text = "A domain whose mailboxes are here." if draft.keeps_mailboxes else "A domain and the server behind this box."
    fields = [name] if draft.keeps_mailboxes else [name, server[0]] if draft.bridges else [name, *server]
    answer = fill(ui, Head("Protected domain", text, _help(draft)), fields, check)
    return entered(answer.value), answer.way


def _ask_login(
    ui: Ui, draft: Draft, profile: HardwareProfile, others: tuple[Domain, ...], index: int, domain: Domain
) -> tuple[Domain, Way]:
    def entered(values: tuple[str, ...]) -> Domain:
        protocol, tls, port, verify = map(str.lower, values)
        return domain.model_copy(update={"login": Login(protocol=protocol, tls=tls, port=port, verify=verify)})

    def check(values: tuple[str, ...]) -> list[Problem]:
        domains = (*others[:index], entered(values), *others[index + 1 :])
        return draft.but(domains=domains).problems(profile, "domains")

    path, now = f"domains.{index}.login", domain.login
    fields = [
        Field(f"{path}.protocol", "Protocol", now.protocol, "imap, pop3, smtp or none"),
        Field(f"{path}.tls", "Encryption", now.tls, "tls, starttls or off"),
        Field(f"{path}.port", "Port", now.port, "empty: the usual one"),
        Field(f"{path}.verify", "Certificate", now.verify, "yes: must be valid, or no"),
    ]
    head = Head(f"Users of {domain.name}", "How its mail server knows who they are.", LOGIN_HELP)
    answer = fill(ui, head, fields, check)
    return entered(answer.value), answer.way


def _help(draft: Draft) -> str:
    if draft.bridges:
        return TRANSPARENT_HELP
    return SERVER_HELP if draft.keeps_mailboxes else HELP


def _subject(problem: Problem, domains: tuple[Domain, ...]) -> str:
    """The domain that a problem is about, by its name."""
    _, _, rest = problem.path.partition(".")
    number = rest.split(".")[0]
    return domains[int(number)].name if number.isdecimal() and int(number) < len(domains) else ""
