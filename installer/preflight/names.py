"""Name servers, and what the world's say of the box."""

from __future__ import annotations

import secrets

import dns.exception
import dns.resolver
import dns.reversename

from installer.preflight.finding import Question, bad, good, look
from overlays.settings import Settings
from overlays.values import AnyAddress

_PATIENCE = 4.0  # seconds for one question


def resolver(settings: Settings) -> dns.resolver.Resolver | None:
    """What asks the settings' name servers; None without any, for the box then asks the world's own by itself."""
    return _asking([str(server) for server in settings.network.dns]) if settings.network.dns else None


def name_servers(settings: Settings) -> list[Question]:
    """Does each answer, and does it say that a name which cannot exist does not?"""
    return [_name_server(server) for server in settings.network.dns] or [
        [look("name server", "none", "the box asks the root servers itself", "port 53 must be open outwards")]
    ]


def _name_server(server: AnyAddress) -> Question:
    asking = _asking([str(server)])
    try:
        ask(asking, ".", "NS")
        made_up = ask(asking, f"{secrets.token_hex(8)}.invalid", "A")
    except dns.exception.DNSException as failure:
        yield bad("name server", server, f"does not answer: {_why(failure)}", "is the address right?")
        return
    if made_up:
        said = f"makes up addresses ({made_up[0]}) for names that do not exist"
        yield bad("name server", server, said, "block lists would block everybody: take another name server")
    else:
        yield good("name server", server, "answers")


def own_name(settings: Settings, asking: dns.resolver.Resolver | None) -> Question:
    """Does the box's name lead to an address, and that back to the name? Others refuse mail where it does not."""
    if asking is None:
        return
    name = settings.mailhost.fqdn
    own = {str(address) for address in settings.network.addresses}
    found = [address for kind in ("A", "AAAA") for address in ask_kindly(asking, name, kind)]
    if not found:
        yield look("name", name, "has no address in DNS", f"publish: {name}. A, the address that the world sees")
    for address in found:
        if address in own:
            yield good("name", name, f"leads to {address}")
        else:
            hint = "right where a router translates addresses"
            yield look("name", name, f"leads to {address}, which is none of the box's own", hint)
        back = ask_kindly(asking, str(dns.reversename.from_address(address)), "PTR")
        if name in [one.rstrip(".").lower() for one in back]:
            yield good("reverse name", address, f"leads back to {name}")
        else:
            said = f"leads to {back[0].rstrip('.')}" if back else "has no name"
            yield look("reverse name", address, said, f"let whoever gave you the address publish {name} for it")


def mail_exchangers(settings: Settings, asking: dns.resolver.Resolver | None) -> list[Question]:
    """Does the world bring the domains' mail to the box, or in transparent mode to anybody?"""
    return [_mail_exchangers(settings, domain.name, asking) for domain in settings.domains] if asking else []


def _mail_exchangers(settings: Settings, domain: str, asking: dns.resolver.Resolver) -> Question:
    own = {str(address) for address in settings.network.addresses}
    hosts = [one.split()[1].rstrip(".").lower() for one in ask_kindly(asking, domain, "MX")]
    reached = {address for host in hosts for kind in ("A", "AAAA") for address in ask_kindly(asking, host, kind)}
    record = f"{domain}. MX 10 {settings.mailhost.fqdn}."
    if not hosts:
        yield look("MX", domain, "has none: the world brings its mail elsewhere", f"publish: {record}")
    elif settings.reads_along or settings.mailhost.fqdn in hosts or reached & own:
        yield good("MX", domain, ", ".join(hosts))
    else:
        hint = f"when the box is to take over, publish: {record}"
        yield look("MX", domain, f"leads to {', '.join(hosts)} and not to this box", hint)


def ask(asking: dns.resolver.Resolver, name: str, kind: str) -> list[str]:
    """The answers as text; none when there are none. Raises `DNSException` when nobody says so."""
    try:
        return [str(one) for one in asking.resolve(name, kind)]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


def ask_kindly(asking: dns.resolver.Resolver, name: str, kind: str) -> list[str]:
    """The same, where a name server that does not answer was told of already."""
    try:
        return ask(asking, name, kind)
    except dns.exception.DNSException:
        return []


def _asking(servers: list[str]) -> dns.resolver.Resolver:
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = list(servers)
    made.lifetime = _PATIENCE
    made.search = []
    return made


def _why(failure: dns.exception.DNSException) -> str:
    if isinstance(failure, dns.resolver.NoNameservers):
        return "it refuses to"
    return "in time" if isinstance(failure, dns.exception.Timeout) else str(failure)
