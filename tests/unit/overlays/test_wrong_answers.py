"""Answers that cannot work, each with the one sentence that it gets."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from hardware import profile
from hardware.host.errors import Refused
from hardware.profile import HardwareProfile
from overlays.problems import check
from overlays.settings import Secrets, parse_answers, parse_secrets

PROFILE = profile.load("fortimail-100")
GOOD: dict[str, Any] = {
    "format": 1,
    "mode": "gateway",
    "admin": {"keys": []},
    "network": {
        "ports": {
            "port1": {"addresses": ["192.0.2.10/24"], "allow": ["ping", "ssh", "smtp"]},
            "port2": {"addresses": ["10.0.0.1/24"], "allow": ["smtp"]},
        },
        "gateways": ["192.0.2.1"],
        "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.254"}],
        "dns": ["192.0.2.53"],
    },
    "clock": {"timezone": "UTC", "ntp": ["ntp.example.net"]},
    "mailhost": {"host_name": "mx1", "local_domain": "mail.example.org"},
    "domains": [{"name": "example.com", "server": "10.0.0.25"}, {"name": "example.net", "server": "mail.example.net"}],
    "access": [{"client": "10.0.0.0/24", "action": "relay"}],
}
_PEM = "-----BEGIN {0}-----\n{1}\n-----END {0}-----\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJLgGrtE2vDWE6UdrWSYtjGRrb/GItqYgr2qeyfRFLki admin"
GONE = "<left out>"  # a name rather than an object: every run of the tests calls them the same


def changed(path: str, value: object, answers: dict[str, Any] = GOOD) -> str:
    """The good answers with one setting changed; `GONE` takes it out."""
    document = copy.deepcopy(answers)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place: Any = document
    for part in parents:
        place = place[part]
    if value is GONE:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return yaml.safe_dump(document, allow_unicode=True)


def complaints(text: str, secrets: Secrets | None = None, on: HardwareProfile = PROFILE) -> list[str]:
    """What is wrong with these answers, as the operator sees it."""
    try:
        settings = parse_answers(text, "answers.yaml")
        check(settings, on, "answers.yaml", secrets)
    except Refused as refused:
        return [str(problem).removeprefix("answers.yaml: ") for problem in refused.problems]
    return []


def test_the_good_answers_are_good() -> None:
    assert complaints(yaml.safe_dump(GOOD)) == []


WRONG: list[tuple[str, object, str]] = [
    # the document
    (
        "format",
        2,
        "format: has format 2, and this version reads up to 1 (use a newer version, or write the older format)",
    ),
    ("mode", GONE, "mode: is missing"),
    ("mode", "proxy", "mode: cannot be 'proxy': 'gateway', 'transparent' or 'server' would be right"),
    (
        "users",
        [{"address": "ann@example.com"}],
        "users: gateway mode has no users (take them out, or choose server mode)",
    ),
    (
        "network/bridge",
        {"addresses": ["203.0.113.1/24"]},
        "network.bridge: gateway mode has no bridge (give the ports addresses)",
    ),
    (
        "network/ports/port1/smtp",
        {"incoming": "drop"},
        "network.ports.port1.smtp: the port is not in the bridge (only SMTP there is picked up)",
    ),
    (
        "transparent",
        {"fail": "opened"},
        "transparent.fail: cannot be 'opened': 'closed' or 'open' would be right",
    ),
    ("netwerk", {}, "netwerk: is not a setting (did you mean network?)"),
    ("clock/timezon", "UTC", "clock.timezon: is not a setting (did you mean timezone?)"),
    # ports and addresses
    (
        "network/ports/port9",
        {},
        "network.ports.port9: fortimail-100 has no such port (did you mean port4 or port3 or port2?)",
    ),
    (
        "network/ports/port1/addresses/0",
        "192.0.2.10",
        "network.ports.port1.addresses.0: '192.0.2.10' is not an address with its network: such as 192.0.2.10/24",
    ),
    (
        "network/ports/port1/addresses/0",
        "192.0.2.300/24",
        "network.ports.port1.addresses.0: '192.0.2.300/24' is not an address with its network: such as 192.0.2.10/24",
    ),
    (
        "network/ports/port1/addresses/0",
        "192.0.2.0/24",
        "network.ports.port1.addresses.0: 192.0.2.0/24 is the network itself, not an address in it",
    ),
    (
        "network/ports/port1/addresses/0",
        "192.0.2.255/24",
        "network.ports.port1.addresses.0: 192.0.2.255/24 is the broadcast address of its network",
    ),
    (
        "network/ports/port1/addresses/0",
        "127.0.0.2/8",
        "network.ports.port1.addresses.0: 127.0.0.2/8 is a loopback address: the address of a host on one of",
    ),
    (
        "network/ports/port1/addresses/1",
        "fe80::1/64",
        "network.ports.port1.addresses.1: fe80::1/64 is a link-local address: the address of a host on",
    ),
    (
        "network/ports/port1/addresses/0",
        "192.0.2.10/0",
        "network.ports.port1.addresses.0: 192.0.2.10/0 would make every address a neighbour: such as 192.0.2.10/24",
    ),
    (
        "network/ports/port1/allow/0",
        "telnet",
        "network.ports.port1.allow.0: cannot be 'telnet': 'ping', 'ssh', 'smtp', 'https'",
    ),
    (
        "network/ports/port1/allow",
        ["smtp", "http"],
        "network.ports.port1.allow: http only leads to https, which this port keeps out (add https)",
    ),
    (
        "network/ports/port3",
        {"allow": ["ping"]},
        "network.ports.port3: lets in ping but has no address (give it an address)",
    ),
    (
        "network/ports/port3",
        {"addresses": ["10.0.0.1/25"]},
        "network.ports.port3.addresses.0: 10.0.0.1 is also an address of port2 (each address stands once)",
    ),
    (
        "network/ports/port3",
        {"addresses": ["10.0.0.200/25"]},
        "network.ports.port3.addresses.0: the network 10.0.0.128/25 overlaps 10.0.0.0/24 of port2 (each",
    ),
    (
        "network/gateways/0",
        "198.51.100.1",
        "network.gateways.0: 198.51.100.1 is in no port's network (the ports are in 192.0.2.0/24, 10.0.0.0/24)",
    ),
    (
        "network/gateways/0",
        "192.0.2.10",
        "network.gateways.0: 192.0.2.10 is the box itself (name the router's address)",
    ),
    ("network/gateways/1", "10.0.0.254", "network.gateways: 192.0.2.1 and 10.0.0.254 are both for IPv4: one is right"),
    ("network/routes/0/via", "10.1.0.1", "network.routes.0.via: 10.1.0.1 is in no port's network"),
    (
        "network/routes/0/to",
        "10.9.0.1/16",
        "network.routes.0.to: 10.9.0.1/16 has bits beyond its length: 10.9.0.0/16 is right for the network",
    ),
    (
        "network/routes/0/to",
        "0.0.0.0/0",
        "network.routes.0.to: 0.0.0.0/0 is the default route (it belongs into gateways)",
    ),
    (
        "network/routes/0/to",
        "10.0.0.0/24",
        "network.routes.0.to: 10.0.0.0/24 is a port's own network (it needs no route)",
    ),
    ("network/routes/0/to", "2001:db8::/32", "network.routes.0: 2001:db8::/32 and 10.0.0.254 are not of one family"),
    (
        "network/routes/1",
        {"to": "10.9.0.0/16", "via": "10.0.0.253"},
        "network.routes.1.to: 10.9.0.0/16 has a route already",
    ),
    ("network/dns/0", "10.0.0.1", "network.dns.0: 10.0.0.1 is the box itself, which serves no names"),
    (
        "network/dns/0",
        "2001:db8::53",
        "network.dns.0: no port, route or gateway leads to 2001:db8::53 (add a gateway for IPv6)",
    ),
    (
        "network/dns",
        ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"],
        "network.dns: 4 name servers, and only 3 are ever asked",
    ),
    (
        "network/dns/0",
        "dns.example",
        "network.dns.0: 'dns.example' is not an IP address: such as 192.0.2.1 or 2001:db8::1 is right",
    ),
    (
        "network/ports/port1/allow/3",
        "imap",
        "network.ports.port1.allow: gateway mode has no imap (take it out, or choose server mode)",
    ),
    ("domains", {"name": "example.com"}, "domains: is not a list"),
    ("network", ["port1"], "network: is not a mapping of settings"),
    # administrator and clock
    (
        "admin/keys/0",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "admin.keys.0: is a private key: the public one is right, from the file that ends in .pub",
    ),
    (
        "admin/keys/0",
        KEY[:60] + " admin",
        "admin.keys.0: is not a whole ssh-ed25519 key: it was cut or changed; copy the whole line of the .pub file",
    ),
    (
        "admin/keys/0",
        "no-pty " + KEY,
        "admin.keys.0: 'no-pty' is not a type of SSH key: a line such as `ssh-ed25519 AAAA... comment` is right",
    ),
    (
        "admin/keys/0",
        KEY + "\nssh-rsa AAAA second",
        "admin.keys.0: holds the control character U+000A: one line of plain text is right",
    ),
    ("admin/keys", [KEY, KEY + "2"], "admin.keys.1: this key stands here twice"),
    (
        "clock/timezone",
        "Europe/Zürich",
        "clock.timezone: 'Europe/Zürich' is not a known time zone: did you mean Europe/Zurich",
    ),
    ("clock/timezone", "/etc/passwd", "clock.timezone: '/etc/passwd' is not a known time zone"),
    ("clock/ntp/0", "ntp_1.example.net", "clock.ntp.0: 'ntp_1.example.net' is not a domain name"),
    ("clock/ntp/1", "ntp.example.net", "clock.ntp.1: ntp.example.net stands here twice"),
    ("clock/ntp/0", "10.0.0.1", "clock.ntp.0: 10.0.0.1 is the box itself (name a time server, or none)"),
    # keyboard
    (
        "keyboard",
        {"layout": "german"},
        "keyboard.layout: 'german' is not a keyboard layout: did you mean de (German, Austrian)?",
    ),
    ("keyboard", {"layout": "uk"}, "keyboard.layout: 'uk' is not a keyboard layout: did you mean gb (English"),
    ("keyboard", {"layout": "klingon"}, "keyboard.layout: 'klingon' is not a keyboard layout: known: us, us-intl,"),
    ("keyboard", {"layout": "de\nFONT=x"}, "keyboard.layout: "),
    ("keyboard", {"keymap": "de"}, "keyboard.keymap: is not a setting"),
    # the mail host
    (
        "mailhost/host_name",
        "mx1.example.org",
        "mailhost.host_name: 'mx1.example.org' is not a host name: letters, digits and inner hyphens are right",
    ),
    ("mailhost/host_name", True, "mailhost.host_name: is not a text: put it in quotes"),
    (
        "mailhost/local_domain",
        "localdomain",
        "mailhost.local_domain: 'localdomain' is not a domain name: at least two parts are right, such as example.com",
    ),
    (
        "mailhost/local_domain",
        "example.org\nroot: x",
        "mailhost.local_domain: holds the control character U+000A: one line of plain text is right",
    ),
    (
        "mailhost/local_domain",
        "faß.example",
        "mailhost.local_domain: 'faß.example' has more than one reading as a domain name",
    ),
    ("mailhost/message_size_mib", 0, "mailhost.message_size_mib: input should be greater than or equal to 1, not 0"),
    (
        "mailhost/postmaster",
        "postmaster@mail.example.org",
        "mailhost.postmaster: postmaster@mail.example.org is on the box, which keeps no mail (name another mailbox)",
    ),
    (
        "mailhost/postmaster",
        "post master@example.com",
        "mailhost.postmaster: 'post master@example.com' is not a mail address: such as postmaster@example.com is right",
    ),
    (
        "mailhost/local_domain",
        "a" * 60 + ".example",
        f"mailhost.host_name: mx1.{'a' * 60}.example is longer than the 64 characters that a host's name has",
    ),
    # protected domains
    (
        "domains/0/name",
        "example..com",
        "domains.0.name: 'example..com' is not a domain name: letters, digits and inner hyphens between dots",
    ),
    ("domains/0/name", "192.0.2.25", "domains.0.name: '192.0.2.25' is not a domain name: its last part is a number"),
    ("domains/1/name", "EXAMPLE.com.", "domains.1.name: example.com stands here twice (a domain has one server)"),
    ("domains/0/name", "mx1.mail.example.org", "domains.0.name: mx1.mail.example.org is the box's own name"),
    ("domains/0/server", GONE, "domains.0.server: is missing (the server that example.com is handed to)"),
    (
        "domains/0/server",
        "10.0.0.1",
        "domains.0.server: 10.0.0.1 is the box itself: its mail would go in circles (name the mail server)",
    ),
    ("domains/0/server", "mx1.mail.example.org", "domains.0.server: mx1.mail.example.org is the box itself"),
    ("domains/0/server", "127.0.0.1", "domains.0.server: 127.0.0.1 is a loopback address"),
    (
        "domains/0/server",
        "2001:db8::25",
        "domains.0.server: no port, route or gateway leads to 2001:db8::25 (add a gateway for IPv6)",
    ),
    ("domains/0/server", "10.0.0.25:2525", "domains.0.server: '10.0.0.25:2525' is not an IP address"),
    ("domains/0/port", 65536, "domains.0.port: input should be less than or equal to 65535, not 65536"),
    ("domains/0/verify", "ldap", "domains.0.verify: cannot be 'ldap': 'smtp' or 'off' would be right"),
    # access rules
    (
        "access/0/client",
        "0.0.0.0/0",
        "access.0.client: relaying for 0.0.0.0/0 makes the box an open relay (name the networks",
    ),
    ("access/0/client", ["10.0.0.0/24", "::/0"], "access.0.client: relaying for ::/0 makes the box an open relay"),
    ("access/0/client", "0.0.0.0/1", "access.0.client: relaying for 0.0.0.0/1 makes the box an open relay"),
    (
        "access/0/client",
        "10.0.0.1/24",
        "access.0.client.0: 10.0.0.1/24 has bits beyond its length: 10.0.0.0/24 is right",
    ),
    ("access/0/client", [], "access.0.client: names no client: such as 10.0.0.0/24 is right"),
    (
        "access/0/action",
        "accept",
        "access.0.action: cannot be 'accept': 'bypass', 'relay', 'reject' or 'discard' would be right",
    ),
    ("access/0/tls", "always", "access.0.tls: cannot be 'always': 'any', 'yes' or 'no' would be right"),
    (
        "access/0/authentication",
        "none",
        "access.0.authentication: cannot be 'none': 'any', 'authenticated' or 'not' would be right",
    ),
    (
        "access/0",
        {"sender": "*@example.com", "action": "relay"},
        "access.0: relaying for every client makes the box an open relay (name the networks of your own clients",
    ),
    (
        "access/0",
        {"reverse_dns": "*.example.com", "action": "relay"},
        "access.0: relaying for every client makes the box an open relay",
    ),
    (
        "access/0",
        {"action": "reject"},
        "access.0: says nothing of whom it is for (such as client: 10.0.0.0/24; everybody is client: [0.0.0.0/0",
    ),
    (
        "access/0/sender",
        {"pattern": "(ann", "regex": True},
        "access.0.sender: '(ann' is not a regular expression: unclosed group",
    ),
    ("access/0/sender", {"pattern": "a{100}", "regex": True}, "access.0.sender: 'a{100}' counts beyond 99"),
    ("access/0/recipient", "", "access.0.recipient.pattern: is empty: such as *@example.com is right"),
    ("access/0/recipient", {"regexp": True, "pattern": "x"}, "access.0.recipient.regexp: is not a setting"),
    (
        "access/1",
        {"client": "10.0.0.66", "sender": "*@example.com", "action": "discard"},
        "access.1.client: 10.0.0.66/32 is decided by an earlier rule, number 1",
    ),
    ("quarantine", {"retention_days": 0}, "quarantine.retention_days: "),
    ("quarantine", {"quota_mib": 0}, "quarantine.quota_mib: "),
    # logs
    ("logs", {"server": {"host": "loghost"}}, "logs.server.host: 'loghost' is not a domain name: at least two parts"),
    ("logs", {"server": {"host": "10.0.0.14"}}, "logs.server.name: is missing: the certificate is checked for a name"),
    (
        "logs",
        {"server": {"host": "10.0.0.1", "name": "log.example.org"}},
        "logs.server.host: 10.0.0.1 is the box itself (name another machine, or none)",
    ),
    (
        "logs",
        {"server": {"host": "2001:db8::1", "transport": "udp"}},
        "logs.server.host: no port, route or gateway leads to 2001:db8::1 (add a gateway for IPv6)",
    ),
    (
        "logs",
        {"server": {"host": "10.0.0.14", "transport": "tcp", "name": "log.example.org"}},
        "logs.server.name: tcp has no certificate (choose transport: tls)",
    ),
    (
        "logs",
        {
            "server": {
                "host": "log.example.org",
                "authorities": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            }
        },
        "logs.server.authorities: is not a certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----",
    ),
    ("logs", {"server": {"host": "log.example.org", "types": []}}, "logs.server.types: nothing would be sent (such as"),
    (
        "logs",
        {"server": {"host": "log.example.org", "types": ["mail"]}},
        "logs.server.types.0: cannot be 'mail': 'history',",
    ),
    (
        "logs",
        {"server": {"host": "log.example.org", "level": "debug"}},
        "logs.server.level: cannot be 'debug': 'emergency',",
    ),
    ("logs", {"server": {"host": "log.example.org", "port": 0}}, "logs.server.port: "),
    (
        "quarantine",
        {"report_time": "9 o'clock"},
        'quarantine.report_time: "9 o\'clock" is not a time of day: such as 09:00 is right',
    ),
    ("quarantine", {"report_time": "24:00"}, "quarantine.report_time: '24:00' is not a time of day"),
    ("quarantine", {"web_host": "box"}, "quarantine.web_host: 'box' is not a domain name"),
    ("quarantine", {"release": "let go"}, "quarantine.release: 'let go' cannot stand before the @"),
    (
        "quarantine",
        {"release": "abuse"},
        "quarantine.release: abuse is the postmaster's (such as release-ctrl is right)",
    ),
    (
        "quarantine",
        {"release": "ctrl", "delete": "Ctrl"},
        "quarantine.delete: ctrl cannot mean both (name two different local parts)",
    ),
    (
        "domains/0/login",
        {"protocol": "ldap"},
        "domains.0.login.protocol: cannot be 'ldap': 'imap', 'pop3' or 'smtp' would be right",
    ),
    ("domains/0/login", {"port": 0}, "domains.0.login.port: "),
    (
        "access/1",
        {"client": "10.0.0.66", "action": "reject"},
        "access.1.client: 10.0.0.66/32 is decided by an earlier rule, number 1 (remove it or move it up)",
    ),
    # filtering
    (
        "filtering",
        {"incoming": {"antispam": "strict"}},
        "filtering.incoming.antispam: cannot be 'strict': 'off', 'low', 'medium' or 'high' would be right",
    ),
    ("filtering", {"incoming": {"antivirus": "sometimes"}}, "filtering.incoming.antivirus: "),
    ("filtering", {"definition": {}}, "filtering.definition: is not a setting (did you mean definitions"),
    (
        "filtering",
        {"outgoing": {"spam": "delete"}},
        "filtering.outgoing.spam: cannot be 'delete': 'quarantine', 'subject' or 'header' would be right",
    ),
    ("filtering", {"encrypted": "open"}, "filtering.encrypted: cannot be 'open': 'deliver', 'quarantine' or 'reject'"),
    ("filtering", {"greylisting": {"period_minutes": 0}}, "filtering.greylisting.period_minutes: "),
    ("filtering", {"reputation": {"reject": 101}}, "filtering.reputation.reject: "),
    (
        "filtering",
        {"reputation": {"throttle": 55}},
        "filtering.reputation: 55, 55 and 80 do not rise (throttle, tempfail and reject rise, such as 15, 55 and 80)",
    ),
    (
        "filtering",
        {"welcome": ["everybody"]},
        "filtering.welcome.0: 'everybody' is not a domain name: at least two parts are right, such as example.com; a",
    ),
    (
        "filtering",
        {"block": ["192.0.2.0/33"]},
        "filtering.block.0: '192.0.2.0/33' is not a network: such as 10.0.0.0/24 is right; a sender is such as",
    ),
    (
        "filtering",
        {"welcome": ["Ann@example.edu"], "block": ["ann@EXAMPLE.edu"]},
        "filtering.block.0: ann@example.edu is also welcome (a sender is on one of the lists)",
    ),
    (
        "filtering",
        {"definitions": {"source": "official"}},
        "filtering.definitions.source: the official definitions need 3072 MiB of memory, and fortimail-100 has 1024 (",
    ),
    (
        "filtering",
        {"definitions": {"source": "mirror"}},
        "filtering.definitions.mirror: is missing (name the private mirror, such as clamav.example.com)",
    ),
    (
        "filtering",
        {"definitions": {"mirror": "clamav.example.com"}},
        "filtering.definitions.mirror: is not asked (set filtering.definitions.source to mirror)",
    ),
    (
        "domains/0/filtering",
        {"dkim": "a.b"},
        "domains.0.filtering.dkim: 'a.b' is not a host name",
    ),
    (
        "domains/0/filtering",
        {"welcome": ["example.edu"], "block": ["example.edu"]},
        "domains.0.filtering.block.0: example.edu is also welcome (a sender is on one of the lists)",
    ),
    # smart host
    ("smarthost", {}, "smarthost.host: is missing"),
    ("smarthost", {"host": "smart"}, "smarthost.host: 'smart' is not a domain name: at least two parts are right"),
    (
        "smarthost",
        {"host": "mx1.mail.example.org"},
        "smarthost.host: mx1.mail.example.org is the box itself: its mail would go in circles (name another)",
    ),
    (
        "smarthost",
        {"host": "2001:db8::25", "tls": "encrypt"},
        "smarthost.host: no port, route or gateway leads to 2001:db8::25 (add a gateway for IPv6)",
    ),
    (
        "smarthost",
        {"host": "192.0.2.80"},
        "smarthost.name: is missing: an address is no name that a certificate is valid for (set smarthost.name,",
    ),
    (
        "smarthost",
        {"host": "192.0.2.80", "tls": "encrypt", "mx": True},
        "smarthost.mx: 192.0.2.80 is an address, which has no MX records (leave mx out)",
    ),
    (
        "smarthost",
        {"host": "smart.example.net", "tls": "may", "port": 465},
        "smarthost.tls: port 465 is always encrypted (encrypt or verify is right)",
    ),
    (
        "smarthost",
        {"host": "smart.example.net", "tls": "may", "user": "box"},
        "smarthost.tls: a password goes over encrypted lines alone (encrypt or verify is right)",
    ),
    ("smarthost", {"host": "smart.example.net", "tls": "dane"}, "smarthost.tls: cannot be 'dane': 'may', 'encrypt' or"),
    (
        "smarthost",
        {"host": "smart.example.net", "user": "box:secret"},
        "smarthost.user: 'box:secret' is not a user's name for a login: one word without a colon is right",
    ),
    (
        "smarthost",
        {"host": "smart.example.net", "authorities": _PEM.format("CERTIFICATE", "MAA=")},
        "smarthost.authorities: is not a certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----",
    ),
    # certificate
    ("web", {"acme": {}}, "web.acme.directory: is missing"),
    (
        "web",
        {"acme": {"directory": "http://acme.example.net/directory"}},
        "web.acme.directory: 'http://acme.example.net/directory' is not the address of an ACME directory: such as",
    ),
    ("web", {"acme": {"directory": "https://a.example/$HOME"}}, "web.acme.directory: 'https://a.example/$HOME' is not"),
    (
        "web",
        {"acme": {"directory": "https://a.example/", "contact": "ann"}},
        "web.acme.contact: 'ann' is not a mail address",
    ),
    ("web", {"certificate": 5}, "web.certificate: is not a text: PEM is right, as a block that begins with `|`"),
    ("web", {"certificate": "MIIB"}, "web.certificate: is not a certificate in PEM form: it begins with -----BEGIN"),
    ("web", {"certificate": _PEM.format("PRIVATE KEY", "MAA=")}, "web.certificate: holds a private key: that belongs"),
    ("web", {"certificate": _PEM.format("CERTIFICATE", "MAA")}, "web.certificate: certificate 1 is not whole: it was"),
    (
        "web",
        {"certificate": _PEM.format("CERTIFICATE", "MAA=") * 9},
        "web.certificate: holds 9 certificates: the box's",
    ),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG, ids=[f"{path}={value}"[:60] for path, value, _ in WRONG])
def test_wrong_answer_gets_its_sentence(path: str, value: object, sentence: str) -> None:
    found = complaints(changed(path, value))
    assert [one for one in found if one.startswith(sentence)], found
    assert len(found) == 1, found


LINKED: dict[str, Any] = copy.deepcopy(GOOD)
LINKED["network"]["ports"]["bond1"] = {"addresses": ["172.16.0.1/24"]}
LINKED["network"]["bonds"] = {"bond1": {"ports": ["port3", "port4"]}}
OTHER_NET = {"addresses": ["172.17.0.1/24"]}

WRONG_LINKS: list[tuple[str, object, str]] = [
    ("ports/port1.0", OTHER_NET, "ports.port1.0: is not the name of a VLAN (such as port1.10: a port, and a number"),
    ("ports/port1.4095", OTHER_NET, "ports.port1.4095: is not the name of a VLAN"),
    ("ports/port1.10", {}, "ports.port1.10: a VLAN without an address does nothing (give it one, or leave it out)"),
    ("ports/port9.10", OTHER_NET, "ports.port9.10: fortimail-100 has no such port"),
    ("ports/port3.10", OTHER_NET, "ports.port3.10: port3 is a port of bond1 (bond1.10 is right)"),
    (
        "ports/bond1.10",
        {"addresses": ["172.16.0.9/24"]},
        "ports.bond1.10.addresses.0: the network 172.16.0.0/24 overlaps 172.16.0.0/24 of bond1",
    ),
    ("ports/bond1", GONE, "bonds.bond1: has neither an address nor a VLAN (such as ports: {bond1: {addresses:"),
    ("ports/port3", {}, "ports.port3: is a port of bond1, which has the addresses (write them at bond1)"),
    ("bonds/bond1/ports", ["port3"], "bonds.bond1.ports: a bond has two ports or more (such as [port3, port4])"),
    ("bonds/bond1/ports", ["port3", "port9"], "bonds.bond1.ports: fortimail-100 has no such port"),
    ("bonds/bond1/mode", "balance-rr", "bonds.bond1.mode: cannot be 'balance-rr'"),
    ("bonds", GONE, "ports.bond1: fortimail-100 has no such port"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG_LINKS, ids=[one[2][:60] for one in WRONG_LINKS])
def test_wrong_link_gets_its_sentence(path: str, value: object, sentence: str) -> None:
    assert complaints(changed("network/ports/bond1", LINKED["network"]["ports"]["bond1"], LINKED)) == []
    (found,) = complaints(changed(f"network/{path}", value, LINKED))
    assert found.startswith(f"network.{sentence}")


def test_a_port_is_in_one_bond() -> None:
    document = copy.deepcopy(LINKED)
    document["network"]["ports"]["trunk"] = OTHER_NET
    found = complaints(changed("network/bonds/trunk", {"ports": ["port4", "port3"]}, document))
    assert [one.partition(" (")[0] for one in found] == [
        "network.bonds.trunk: is not the name of a bond",
        "network.bonds.trunk.ports: port4 is a port of bond1 already",
        "network.bonds.trunk.ports: port3 is a port of bond1 already",
    ]


def test_the_bridge_lets_vlans_cross() -> None:
    document = copy.deepcopy(TRANSPARENT)
    found = complaints(changed("network/ports", {"port1.10": OTHER_NET}, document))
    hint = "give port1 an address of its own"
    assert found == [
        f"network.ports.port1.10: port1 belongs to the bridge, which lets VLANs cross unread ({hint})",
    ]


SERVER: dict[str, Any] = GOOD | {
    "mode": "server",
    "network": GOOD["network"] | {"ports": {"port1": {"addresses": ["192.0.2.10/24"], "allow": ["smtp", "imaps"]}}},
    "domains": [{"name": "example.com"}, {"name": "example.net"}],
    "users": [{"address": "ann@example.com", "aliases": ["sales@example.com"]}, {"address": "bob@example.net"}],
    "access": [],
}
SERVER["network"]["routes"] = []

WRONG_ON_A_SERVER: list[tuple[str, object, str]] = [
    (
        "domains/0/server",
        "10.0.0.25",
        "domains.0.server: in server mode the box itself keeps the mailboxes (leave it out, or choose gateway mode)",
    ),
    (
        "users/0/address",
        "ann@example.org",
        "users.0.address: example.org is not a protected domain (the protected domains: example.com, example.net)",
    ),
    (
        "users/0/address",
        "ann+x@example.com",
        "users.0.address: 'ann+x@example.com' holds a plus sign: what follows one",
    ),
    ("users/0/address", "ann", "users.0.address: 'ann' is not a mail address"),
    (
        "users/0/address",
        "Postern-Selftest@example.com",
        "users.0.address: postern-selftest@example.com is for the box's self-test (choose another name)",
    ),
    (
        "users/1/address",
        "Ann@Example.com",
        "users.1.address: ann@example.com stands here twice (a user has one mailbox)",
    ),
    (
        "users/1/aliases",
        ["ann@example.com"],
        "users.1.aliases.0: ann@example.com is a user itself (an alias has no mailbox)",
    ),
    ("users/1/aliases", "x@example.org", "users.1.aliases.0: example.org is not a protected domain"),
    ("users/0/quota_mib", -1, "users.0.quota_mib: input should be greater than or equal to 0, not -1"),
    ("users/0/name", "Ann\nroot", "users.0.name: holds the control character U+000A"),
    ("mailboxes", {"quota_mib": "big"}, "mailboxes.quota_mib: input should be a valid integer"),
    ("network/dns", [], "network.dns: submission sends to the world, which needs a name server (set network.dns)"),
]


def test_the_good_server_is_good() -> None:
    assert complaints(yaml.safe_dump(SERVER)) == []


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    WRONG_ON_A_SERVER,
    ids=[f"{path}={value}"[:60] for path, value, _ in WRONG_ON_A_SERVER],
)
def test_wrong_answer_on_a_server_gets_its_sentence(path: str, value: object, sentence: str) -> None:
    document = copy.deepcopy(SERVER) | {"clock": {}}
    document["network"]["ports"]["port1"]["allow"].append("submission")
    found = complaints(changed(path, value, document))
    assert [one for one in found if one.startswith(sentence)], found
    assert len(found) == 1, found


def test_a_password_of_nobody_is_noticed() -> None:
    secrets = parse_secrets(
        f"format: 1\nadmin: {{password: {'x' * 9}}}\nusers: {{eve@example.com: {{password: {'y' * 9}}}}}\n",
        "secrets.yaml",
    )
    hint = "the answer file lists the users; `postern users password` changes one later"
    assert complaints(yaml.safe_dump(SERVER), secrets) == [
        f"users: eve@example.com has a password and is no user ({hint})"
    ]


TRANSPARENT: dict[str, Any] = GOOD | {
    "mode": "transparent",
    "network": {"bridge": {"addresses": ["192.0.2.10/24"], "allow": ["smtp"]}, "gateways": ["192.0.2.1"]},
    "clock": {},
    "domains": [{"name": "example.com", "server": "10.0.0.25"}, {"name": "example.net", "server": "10.0.0.25"}],
    "access": [],
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        (
            {"network": {"ports": {"port1": {"addresses": ["192.0.2.10/24"]}}, "gateways": ["192.0.2.1"]}},
            "network.bridge: is missing (such as bridge: {addresses: [192.0.2.10/24], allow: [ping, ssh]})",
        ),
        (
            {"network": {"bridge": {"addresses": ["192.0.2.10/24", "192.0.2.11/24"]}, "gateways": ["192.0.2.1"]}},
            "network.bridge.addresses: 192.0.2.10/24 and 192.0.2.11/24 are both of IPv4: one is right",
        ),
        (
            {
                "network": TRANSPARENT["network"]
                | {"ports": {f"port{number}": {"addresses": [f"172.16.{number}.1/24"]} for number in (1, 2, 3)}}
            },
            "network.ports: a bridge needs two ports without addresses (take addresses from the ports)",
        ),
        (
            {"domains": [{"name": "example.com", "server": "10.0.0.25", "port": 2525}]},
            "domains.0.port: transparent mode picks up port 25, not 2525 (25 is right)",
        ),
        (
            {
                "network": TRANSPARENT["network"] | {"dns": ["192.0.2.53"]},
                "domains": [{"name": "example.com", "server": "mail.example.com"}],
            },
            "domains.0.server: transparent mode cannot watch for mail.example.com (write its address)",
        ),
        (
            {"transparent": {"domains": {"example.net": "strip"}}},
            (
                "transparent.domains.example.net: example.net and example.com have one server, so strip and terminate "
                "cannot both hold (choose one for both)"
            ),
        ),
        (
            {"domains": [{"name": "example.com", "server": "10.0.0.25", "filtering": {"dkim": "mail"}}]},
            "domains.0.filtering.dkim: transparent mode signs nothing (leave it to the domain's server)",
        ),
        (
            {"network": {"bridge": {"addresses": ["192.0.2.10/24"], "allow": ["imap"]}, "gateways": ["192.0.2.1"]}},
            "network.bridge.allow: transparent mode has no imap (take it out, or choose server mode)",
        ),
        (
            {"transparent": {"domains": {"mail.test": "pass"}}},
            "transparent.domains.mail.test: mail.test is not protected (known: example.com, example.net)",
        ),
    ],
)
def test_what_transparent_mode_cannot_do(changes: dict[str, Any], sentence: str) -> None:
    assert complaints(yaml.safe_dump(TRANSPARENT | changes)) == ([sentence] if sentence else [])


def test_without_name_servers_every_name_is_a_problem() -> None:
    hint = "is a name, and there is no name server (set network.dns, or write the address)"
    assert complaints(changed("network/dns", [])) == [
        f"domains.1.server: mail.example.net {hint}",
        f"clock.ntp.0: ntp.example.net {hint}",
        "access.0: relays to the world, which needs a name server (set network.dns)",
    ]


def test_a_gateway_that_lets_no_mail_in() -> None:
    ports = {"port1": {"addresses": ["192.0.2.10/24", "10.0.0.1/24"], "allow": ["ssh"]}}
    assert complaints(changed("network/ports", ports)) == [
        "network.ports: no port lets in smtp, so no mail can arrive (such as allow: [ping, ssh, smtp])"
    ]


def test_a_smart_host_by_its_address_needs_no_dns() -> None:
    answers = GOOD | {"domains": GOOD["domains"][:1], "clock": {}, "network": GOOD["network"] | {"dns": []}}
    hop = {"host": "192.0.2.80", "tls": "encrypt"}
    assert complaints(yaml.safe_dump(answers)) == [
        "access.0: relays to the world, which needs a name server (set network.dns)"
    ]
    assert complaints(yaml.safe_dump(answers | {"smarthost": hop})) == []
    assert complaints(yaml.safe_dump(answers | {"smarthost": hop | {"host": "smart.example.net"}}))[0] == (
        "smarthost.host: smart.example.net is a name, and there is no name server "
        "(set network.dns, or write the address)"
    )


def test_a_login_needs_its_password() -> None:
    text = yaml.safe_dump(GOOD | {"smarthost": {"host": "smart.example.net", "user": "box"}})
    assert complaints(text, parse_secrets("format: 1\nadmin: {password: long enough}\n", "secrets.yaml")) == [
        "smarthost.user: the password is missing (set smarthost.password in the secrets file)"
    ]


@pytest.mark.parametrize("password", ["", " Hidden", "Hid\nden"])
def test_a_wrong_password_for_the_smart_host_is_not_repeated(password: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_secrets(yaml.safe_dump({"format": 1, "smarthost": {"password": password}}), "secrets.yaml")
    assert str(refused.value).startswith("secrets.yaml: smarthost.password: ")
    assert "Hid" not in str(refused.value)


def test_a_certificate_needs_its_key() -> None:
    text = yaml.safe_dump(GOOD | {"web": {"certificate": _PEM.format("CERTIFICATE", "MAA=")}})
    assert complaints(text) == []
    assert complaints(text, parse_secrets("format: 1\nadmin: {password: long enough}\n", "secrets.yaml")) == [
        "web.certificate: its private key is missing (set web.key in the secrets file)"
    ]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("Hidden", "web.key: is not one private key in PEM form: it begins with -----BEGIN PRIVATE KEY-----"),
        (_PEM.format("CERTIFICATE", "Hidden=="), "web.key: is not one private key in PEM form"),
        (_PEM.format("ENCRYPTED PRIVATE KEY", "Hidden=="), "web.key: has a passphrase: `openssl pkey -in FILE` takes"),
        (
            _PEM.format("EC PRIVATE KEY", "Hidden"),
            "web.key: the key is not whole: it was cut or changed on its way here",
        ),
    ],
)
def test_a_wrong_key_is_not_repeated(key: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_secrets(yaml.safe_dump({"format": 1, "web": {"key": key}}), "secrets.yaml")
    assert str(refused.value).startswith(f"secrets.yaml: {sentence}")
    assert "Hidden" not in str(refused.value)


ACME = {"acme": {"directory": "https://acme.example.net/directory"}}


def test_an_authority_finds_the_box_by_http() -> None:
    assert complaints(yaml.safe_dump(GOOD | {"web": ACME})) == [
        "web.acme: no port lets in http, by which the authority looks (such as allow: [smtp, https, http])"
    ]
    open_door = changed("network/ports/port1/allow", ["smtp", "https", "http"], GOOD | {"web": ACME})
    assert complaints(open_door) == []
    both = ACME | {"certificate": _PEM.format("CERTIFICATE", "MAA=")}
    assert complaints(changed("network/ports/port1/allow", ["smtp", "https", "http"], GOOD | {"web": both})) == [
        "web.acme: the settings give the box a certificate already (leave one of them out)"
    ]


def test_every_problem_is_reported_at_once() -> None:
    text = changed("mailhost", {"host_name": "mx 1", "local_domain": "x", "message_size_mib": "big"})
    text = text.replace("mode: gateway", "mode: bridge")
    assert {one.split(": ")[0] for one in complaints(text)} == {
        "mode",
        "mailhost.host_name",
        "mailhost.local_domain",
        "mailhost.message_size_mib",
    }


def test_the_largest_message_has_to_fit_into_the_queue_of_the_smallest_unit() -> None:
    smallest = profile.load("vm-uefi")
    assert complaints(changed("mailhost/message_size_mib", 559), on=smallest) == []
    assert complaints(changed("mailhost/message_size_mib", 560), on=smallest) == [
        "mailhost.message_size_mib: the queue of vm-uefi has 1677 MiB (at most 559, or a larger model)"
    ]
    assert complaints(changed("mailhost/message_size_mib", 560)) == []  # nobody knows how large that disk is


def test_nobody_could_log_in() -> None:
    nothing = Secrets(format=1)
    assert complaints(yaml.safe_dump(GOOD), nothing) == [
        "admin: nobody could log in: no password and no key (set admin.password in the secrets file)"
    ]
    assert complaints(changed("admin/keys", [KEY]), nothing) == []


@pytest.mark.parametrize(
    ("admin", "sentence"),
    [
        ("{}", "admin: either password or password_hash is right, not both and not none"),
        ("{password: short}", "admin: the password is shorter than 8 characters"),
        ('{password: "two\\nlines of it"}', "admin: holds the control character U+000A"),
        ("{password_hash: plain-text-by-mistake}", "admin: password_hash is not a hash"),
        ('{password_hash: "$6$salt:x$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', "admin: password_hash is not a hash"),
        ("{passwort: x}", "admin.passwort: is not a setting (did you mean password or password_hash?)"),
    ],
)
def test_wrong_secrets_are_not_repeated(admin: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_secrets(f"format: 1\nadmin: {admin}\n", "secrets.yaml")
    assert str(refused.value).startswith(f"secrets.yaml: {sentence}")
    assert not any(secret in str(refused.value) for secret in ("short'", "mistake", "lines of it"))


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("{}", "either password or password_hash is right, not both and not none"),
        ("{password: short}", "the password is shorter than 8 characters"),
        ("{password_hash: plain-text-by-mistake}", "password_hash is not an argon2id hash: `doveadm pw -s ARGON2ID`"),
        ('{password_hash: "$6$salt$mistake"}', "password_hash is not an argon2id hash"),
        (
            '{password_hash: "$argon2id$v=19$m=65536,t=3,p=1$mistake:mistake$x"}',
            "password_hash is not an argon2id hash",
        ),
    ],
)
def test_wrong_passwords_of_users_are_not_repeated(secret: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_secrets(f"format: 1\nusers: {{ann@example.com: {secret}}}\n", "secrets.yaml")
    assert str(refused.value).startswith(f"secrets.yaml: users.ann@example.com: {sentence}")
    assert not any(word in str(refused.value) for word in ("short'", "mistake"))
