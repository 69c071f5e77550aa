"""The protected servers, the world's mail servers, and the time."""

from __future__ import annotations

import re
import secrets
import smtplib
import socket

import dns.resolver

from hardware.host.run import Failed, run
from installer.preflight import names
from installer.preflight.finding import Finding, Question, bad, good, look
from overlays.domains.settings import Verify
from overlays.settings import Domain, Settings
from overlays.values import Host

_PATIENCE = 10.0
_AWAY = "is it on, and does it let the box in?"
_FAR_OFF, _OFF = 300.0, 5.0  # seconds: certificates and signatures fail; logs mislead
_OFFSET = re.compile(r"wrong by (-?[0-9.]+) seconds")


def protected(settings: Settings) -> list[Question]:
    """Does each domain's server take mail for its postmaster, and refuse a recipient that nobody has?"""
    alike: dict[tuple[str, int], list[Domain]] = {}
    for domain in settings.domains:
        if domain.server is not None:
            alike.setdefault((str(domain.server), domain.port), []).append(domain)
    return [_in_turn(domains, settings.mailhost.fqdn) for domains in alike.values()]


def _in_turn(domains: list[Domain], own_name: str) -> Question:
    """The domains of one server, one after the other: it may count how many sessions there are at once."""
    left = iter(domains)
    for domain in left:
        try:
            yield _server(domain, own_name)
        except TimeoutError as failure:  # the others would each wait as long
            for one in (domain, *left):
                yield bad("server", _about(one), f"does not answer: {failure.strerror or failure}", _AWAY)


def _server(domain: Domain, own_name: str) -> Finding:
    """A session for each: a server may send away who has asked for some who do not exist. Raises `TimeoutError`."""
    about = _about(domain)
    try:
        with smtplib.SMTP(local_hostname=own_name, timeout=_PATIENCE) as line:
            code, text = line.connect(str(domain.server), domain.port)
            if code != 220:
                return bad("server", about, f"greets with {_said(code, text)}", "is it a mail server, and in service?")
            line.ehlo_or_helo_if_needed()
            line.mail("")
            code, text = line.rcpt(f"postmaster@{domain.name}")
            nobody, _ = line.rcpt(f"preflight-{secrets.token_hex(6)}@{domain.name}")
    except TimeoutError:
        raise
    except (OSError, smtplib.SMTPException) as failure:
        why = getattr(failure, "strerror", None) or str(failure)
        return bad("server", about, f"does not answer: {why}", _AWAY)
    if code >= 500:
        return bad("server", about, f"refuses mail for postmaster: {_said(code, text)}", "does it know the domain?")
    if code != 250:
        return look("server", about, f"puts mail for postmaster off: {_said(code, text)}", "does it greylist the box?")
    if nobody == 250 and domain.verify is Verify.SMTP:
        hint = "mail for nobody will bounce: let the server refuse it, or set verify: off"
        return look("server", about, "takes mail for recipients that do not exist", hint)
    return good("server", about, "takes mail")


def _about(domain: Domain) -> str:
    return f"{domain.name} at {domain.server}:{domain.port}"


def world(outward: str, asking: dns.resolver.Resolver | None) -> Question:
    """Does a way lead to port 25 of the world's mail servers? Many providers close it."""
    if asking is None:
        return
    hosts = [one.split()[1] for one in names.ask_kindly(asking, outward, "MX")]
    addresses = [address for host in hosts[:3] for address in names.ask_kindly(asking, host, "A")]
    if not addresses:
        yield look("port 25", outward, "its mail servers are not in DNS", "can the name server ask the world?")
        return
    for address in addresses[:3]:
        try:
            with socket.create_connection((address, 25), _PATIENCE) as line:
                line.settimeout(_PATIENCE)
                if line.recv(100):
                    yield good("port 25", f"{outward} at {address}", "can be reached")
                    return
        except OSError:
            continue
    hint = "let your provider open port 25 outwards, or hand outgoing mail to its mail server"
    yield bad("port 25", f"{outward} at {', '.join(addresses[:3])}", "cannot be reached", hint)


def clock(settings: Settings) -> list[Question]:
    """What do the time servers say of the clock?"""
    return [_clock(server) for server in settings.clock.ntp] or [
        [look("clock", "no time server", "the clock runs free", "add clock.ntp")]
    ]


def _clock(server: Host) -> Question:
    argv = ["chronyd", "-Q", "-t", "6", "-f", "/dev/null", f"server {server} iburst"]
    try:
        done = run(argv, timeout=20, check=False)
    except Failed as failure:
        yield look("clock", server, str(failure), "is it a time server?")
        return
    found = _OFFSET.search(done.stdout + done.stderr)
    if not found:
        yield look("clock", server, "does not answer", "is it a time server, and port 123 open outwards?")
        return
    offset = abs(float(found[1]))
    hint = "the box sets it once it is in service"
    if offset > _FAR_OFF:
        yield bad("clock", server, f"the box's clock is wrong by {offset:.0f} s", hint)
    elif offset > _OFF:
        yield look("clock", server, f"the box's clock is wrong by {offset:.0f} s", hint)
    else:
        yield good("clock", server, f"the box's clock is right by {offset:.1f} s")


def _said(code: int, text: bytes) -> str:
    return f"{code} {text.decode(errors='replace')}"[:120]
