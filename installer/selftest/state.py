"""What the way consists of: services, room, virus definitions, listeners, and a rule that decides before the filter."""

from __future__ import annotations

import shutil
import smtplib
import ssl
from collections.abc import Iterator
from ipaddress import ip_address

from installer.apply import health
from installer.apply.places import Places
from installer.box import definitions
from installer.preflight.finding import Finding, bad, good, look
from overlays import render, selftest
from overlays.access.settings import AccessRule, Request
from overlays.settings import Settings

_PATIENCE = 10.0


def services(settings: Settings) -> Iterator[Finding]:
    """Does everything run that the settings need, and answer?"""
    needed = render.services(settings)
    ill = health.problems(needed, patience=0.0)
    for problem in ill:
        words = f"`postern apply` starts it; its last words: {problem.hint or 'none'}"
        yield bad("service", problem.where.removesuffix(".service"), problem.message, words)
    if not ill:
        yield good("service", "all", f"{len(needed)} are well")


def room(places: Places, settings: Settings) -> Iterator[Finding]:
    """Is there room for a message in the queue?"""
    folder = places.root / "var/spool/postfix"
    free, needed = shutil.disk_usage(folder).free, settings.mailhost.queue_free_bytes
    said = f"{free >> 20} MiB free, and with less than {needed >> 20} no mail is taken"
    if free < needed:
        yield bad("room", "queue", said, "`postern status` shows what waits, and why; the logs and the rest are apart")
    else:
        yield good("room", "queue", said)


def definitions_known(places: Places, settings: Settings) -> Iterator[Finding]:
    """Would a real virus be found?"""
    if settings.scans_viruses:
        found = list(definitions.installed(places))
        problem = definitions.problem(found).removeprefix("virus definitions: ").partition(" (")[0]
        if problem:
            hint = "`postern definitions FILE`, or filtering.definitions.source"
            yield look("definitions", "viruses", problem, hint)
        else:
            yield good("definitions", "viruses", f"{min(one.age.days for one in found)} days old")


def listeners(settings: Settings) -> Iterator[Finding]:
    """Does each address that takes mail greet, and encrypt?"""
    for address in settings.network.allowing("smtp"):
        source = ("127.0.0.1", 0) if address.version == 4 else None
        try:
            with smtplib.SMTP(str(address), 25, selftest.DOMAIN, timeout=_PATIENCE, source_address=source) as line:
                line.starttls(context=_anybody())
                line.ehlo()
        except ssl.SSLError as failure:
            yield bad("listener", f"{address} port 25", f"cannot encrypt: {failure}", "`postern certificate show`")
        except smtplib.SMTPResponseException as refused:
            text = refused.smtp_error.decode(errors="replace") if isinstance(refused.smtp_error, bytes) else ""
            said = f"answers with {refused.smtp_code} {text}"
            yield bad("listener", f"{address} port 25", said, "`postern log mail` may say why")
        except smtplib.SMTPException as failure:
            yield bad("listener", f"{address} port 25", str(failure), "`postern log mail` may say why")
        except OSError as failure:
            said = f"does not answer: {failure.strerror or failure}"
            yield bad("listener", f"{address} port 25", said, "is its port connected, and Postfix running?")
        else:
            yield good("listener", f"{address} port 25", "greets and encrypts")


def deciding(settings: Settings) -> tuple[int, AccessRule] | None:
    """The access rule that speaks about the self-test's messages too, and its number."""
    if settings.reads_along:
        return None
    for domain in settings.domains:
        to = (selftest.address(domain.name),)
        asked = Request(ip_address("127.0.0.1"), "localhost", ("<>",), to, authenticated=False, encrypted=False)
        for number, rule in enumerate(settings.access):
            if rule.matches(asked):
                return number, rule
    return None


def rule(settings: Settings) -> Iterator[Finding]:
    """Does an access rule decide before the filter does?"""
    if found := deciding(settings):
        said = f"{found[1].action}: it holds for the self-test's messages too, and decides before the filter"
        yield look("access", f"rule {found[0]}", said, "is it meant for everybody?")


def _anybody() -> ssl.SSLContext:
    """Whoever it is: the box shows its certificate for a name, and here it is asked for by address."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
