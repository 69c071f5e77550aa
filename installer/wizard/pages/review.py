"""The review: everything in one view, and what to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from installer.wizard.draft import Draft, Port
from installer.wizard.typed import Filter
from installer.wizard.ui import Answer, Choice, Head, Ui
from overlays.keyboard.settings import DEFAULT, LAYOUTS

SHOWN_DOMAINS = 4
HELP = """Nothing has been changed so far. Apply checks everything with the daemons' own parsers, puts it in force and \
opens the ports; if something is wrong, the box stays as it is and you come back here. Look asks the network around \
the box and changes nothing. Save writes an answer file that \
repeats this setup on another box. Change leads to one page and back here."""


class Action(Enum):
    """What can be done with a finished draft."""

    APPLY = "apply"
    LOOK = "look"
    SAVE = "save"
    CHANGE = "change"


def ask(ui: Ui, draft: Draft, problems: Sequence[str], *, ready: bool) -> Answer[str]:
    """Show the summary; the answer's value is an `Action`'s. Unless the draft is ready it can only be changed."""
    choices = [
        Choice(Action.APPLY.value, "Put these settings in force now"),
        Choice(Action.LOOK.value, "Look first whether it will work: wires, names, servers"),
        Choice(Action.SAVE.value, "Save them as an answer file"),
        Choice(Action.CHANGE.value, "Change one page"),
    ]
    return ui.menu(Head("Review", summary(draft), HELP, tuple(problems)), choices if ready else choices[3:])


def choose_page(ui: Ui, pages: Sequence[str]) -> Answer[str]:
    """Which page to change."""
    return ui.menu(Head("Change one page", "", HELP), [Choice(page, "") for page in pages])


def summary(draft: Draft) -> str:
    """The draft as a person reads it, a line a subject; the password only as a fact."""
    relay = draft.smarthost
    used = {name: port for name, port in draft.ports.items() if port.addresses}
    keys = f", {len(draft.keys)} SSH key{'s' * (len(draft.keys) > 1)}" if draft.keys else ""
    domains = [f"{domain.name} {draft.way_of(domain)}" for domain in draft.domains]
    bonded = " ".join(link.ports for link in draft.links).split()
    bridged = " ".join(name for name in draft.ports if name not in (*used, *bonded))
    new = f"{len(draft.users)} new, {len(draft.user_passwords)} of them with a password"
    more = len(domains) - SHOWN_DOMAINS
    rows = [
        ("Mode", draft.mode),
        *([("Keyboard", LAYOUTS[draft.keyboard].name)] if draft.keyboard != DEFAULT else []),
        ("Administrator", f"password {'set' if draft.has_password() else 'not set'}{keys}"),
        *([("Bridge", f"{bridged}: {_port(draft.bridge)}")] if draft.bridges else []),
        *((name, _port(port)) for name, port in used.items()),
        *((link.name, str(link)) for link in draft.links),
        ("Gateway", f"{draft.gateways or 'none'}, name servers {draft.dns or 'none'}"),
        ("Clock", f"{draft.timezone}, {f'NTP {draft.ntp}' if draft.ntp else 'no NTP'}"),
        ("Mail host", f"{draft.host_name}.{draft.local_domain}"),
        *([("Proxy", f"fails {draft.fail}, encryption: {draft.starttls}")] if draft.bridges else []),
        *(("Domain", text) for text in domains[:SHOWN_DOMAINS]),
        *([("", f"and {more} more")] if more > 0 else []),
        *([] if domains else [("Domain", "none: no mail is taken")]),
        *([("Users", new)] if draft.keeps_mailboxes else []),
        *((f"{way.capitalize()} mail", _filter(one)) for way, one in draft.filters.items()),
        *([("Access rules", f"{len(draft.rules)}, first {draft.rules[0]}")] if draft.rules else []),
        *([("Smart host", f"{relay.host} port {relay.port}, {relay.tls}")] if relay.host else []),
        *([("Certificate", f"ACME, {draft.acme.directory}")] if draft.acme.directory else []),
        *([("Log server", f"{draft.log_server.host}, {draft.log_server.transport}")] if draft.log_server.host else []),
    ]
    return "\n".join(f"{name:<14} {value}" for name, value in rows)


def _filter(one: Filter) -> str:
    return f"antispam {one.antispam}, antivirus {one.antivirus}, spam: {one.spam}"


def _port(port: Port) -> str:
    return f"{port.addresses} ({port.allow or 'nothing allowed'})"
