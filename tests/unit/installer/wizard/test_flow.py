from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.host.errors import Problem, Refused
from hardware.host.keyboard import Keyboard
from hardware.profile import HardwareProfile
from installer import selftest
from installer.apply.places import Places
from installer.box.reset import forget
from installer.preflight import place
from installer.preflight.finding import bad, good
from installer.wizard import flow
from installer.wizard.draft import Draft, draft_of, factory, keep, kept
from installer.wizard.pages.review import Action
from installer.wizard.session import Session, present_ports
from installer.wizard.turn import LOCK, turn
from installer.wizard.typed import Acme, LogServer, SmartHost
from installer.wizard.ui import Answer, Head, Remark, no_remark
from overlays.network.settings import PickUp, PortSmtp
from overlays.settings import Secrets, Settings, dump_answers, parse_answers, parse_secrets
from tests.unit.installer.wizard.script import Back, Script

ANSWERS = Path(__file__).parents[3] / "answers"
PASSWORD = "correct horse 7"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVsV2n5xCRiHJ6a4aWkS4iAhB5MWXjC0cXc9d7n8j2L desk"

# Every page once, with what a person types on it.
MODE: list[object] = ["gateway"]
ADMIN: list[object] = [PASSWORD, (KEY,)]
PORTS: list[object] = [
    "done",
    ("192.0.2.10/24", "ping ssh smtp"),
    ("10.0.0.1/24, 2001:db8::1/64", "ping,smtp"),
    (None, None),
    (None, None),
]
LINKS: list[object] = ["done"]
PORTS += LINKS
BEYOND: list[object] = [("192.0.2.1", "192.0.2.53")]
CLOCK: list[object] = [("zurich", "192.0.2.123")]
MAILHOST: list[object] = [("MX1", "mail.example.org.")]
LOGIN: tuple[None, ...] = (None, None, None, None)
DOMAINS: list[object] = ["add", ("Example.com", "10.0.0.25", None, None), LOGIN, "done"]
FILTERING: list[object] = [("Low", None, None), (None, "off", None)]
ACCESS: list[object] = ["done"]
SMARTHOST: list[object] = [(None,) * 6]
CERTIFICATE: list[object] = [(None, None)]
LOG_SERVER: list[object] = [(None,) * 6]
LAST = [*SMARTHOST, *CERTIFICATE, *LOG_SERVER]
AFTER = [*FILTERING, *ACCESS, *LAST]


def whom(*, sender: str | None = None, client: str | None = None) -> tuple[str | None, ...]:
    """What is typed on the first page of an access rule."""
    return (sender, None, client, None)


def what(*, login: str | None = None, tls: str | None = None, action: str | None = None) -> tuple[str | None, ...]:
    """What is typed on the second one."""
    return (login, tls, action, None)


OFFICE = whom(client="10.0.0.0/24")
ACME = "https://acme-v02.api.letsencrypt.org/directory"


def log_server(
    host: str, *, transport: str | None = None, name: str | None = None, types: str | None = None
) -> tuple[str | None, ...]:
    """What is typed on the page of the log server."""
    return (host, transport, None, name, types, None)


BEFORE_DOMAINS: list[object] = [*MODE, *ADMIN, *PORTS, *BEYOND, *CLOCK, *MAILHOST]
ALL: list[object] = [*BEFORE_DOMAINS, *DOMAINS, *AFTER]
# Every page of a box that is set up, left as it is.
KEEP: list[object] = [
    *["", "", (None,), "done"],
    *[(None, None)] * 4,
    *LINKS,
    *[(None, None)] * 3,
    "done",
    *[(None,) * 3] * 2,
    *ACCESS,
    *LAST,
]


TO_LINKS: list[object] = [*MODE, *ADMIN, *PORTS[:-1]]
BEFORE_RULES: list[object] = [*BEFORE_DOMAINS, *DOMAINS, *FILTERING]


@pytest.fixture
def start(profile: HardwareProfile) -> Draft:
    return factory(profile.port_names)


def run(script: Script, profile: HardwareProfile, draft: Draft) -> flow.Finished:
    finished = flow.run(script, profile, draft, lambda _: None)
    assert finished
    assert not script.answers
    return finished


def test_all_pages_make_settings(profile: HardwareProfile, start: Draft) -> None:
    script = Script([*ALL, "apply"])
    finished = run(script, profile, start)
    assert finished.action is Action.APPLY
    made = finished.settings
    assert made.mailhost.fqdn == "mx1.mail.example.org"
    assert [str(address) for address in made.network.ports["port2"].addresses] == ["10.0.0.1/24", "2001:db8::1/64"]
    assert list(made.network.ports) == ["port1", "port2"]
    assert made.clock.timezone == "Europe/Zurich"
    assert made.domains[0].next_hop == "[10.0.0.25]:25"
    assert finished.secrets.admin
    assert "Strength: strong. It takes about 10^11 guesses." in script.text
    assert PASSWORD not in script.text
    assert PASSWORD not in repr(finished)


def test_server_mode_asks_for_users_and_for_no_server(profile: HardwareProfile, start: Draft) -> None:
    ports = ["done", ("192.0.2.10/24", "smtp imaps submissions"), (None, None), (None, None), (None, None), *LINKS]
    domains = ["add", ("Example.com",), "done"]
    users = ["add", ("Ann@Example.com", "Ann Lee", "sales@example.com", ""), "short", "finch and wren", "done"]
    script = Script(["server", *ADMIN, *ports, *BEYOND, *CLOCK, *MAILHOST, *domains, *users, *AFTER, "apply"])
    finished = run(script, profile, start)
    (ann,) = finished.settings.users
    assert (ann.address, ann.aliases) == ("ann@example.com", ("sales@example.com",))
    assert finished.settings.domains[0].server is None
    assert list(finished.secrets.users) == ["ann@example.com"]
    assert "The password is shorter than 8 characters." in script.text
    assert "finch and wren" not in script.text + repr(finished) + finished.draft.model_dump_json()


def test_transparent_mode_asks_for_a_bridge(profile: HardwareProfile, start: Draft) -> None:
    bridge = [
        "done",
        ("192.0.2.10/24", "ping, smtp"),
        (None, None),
        (None, None),
        ("172.16.0.1/24", "ssh"),
        (None, None),
        *LINKS,
    ]
    domains = ["add", ("Example.com", "192.0.2.25"), LOGIN, "done", ("Open", None)]
    smtp = [(None, None, None), (None, "Proxy", None), ("drop", "drop", "no")]
    script = Script(["transparent", *ADMIN, *bridge, *BEYOND, *CLOCK, *MAILHOST, *domains, *smtp, *AFTER, "apply"])
    finished = run(script, profile, start)
    network = finished.settings.network
    assert network.bridge
    assert ([str(one) for one in network.bridge.addresses], network.bridge.allow) == (
        ["192.0.2.10/24"],
        ("ping", "smtp"),
    )
    assert network.bridged(profile.port_names) == ("port1", "port2", "port4")
    assert finished.settings.transparent.fail_open
    assert {name: port.smtp for name, port in network.ports.items()} == {
        "port2": PortSmtp(outgoing=PickUp.PROXY),
        "port3": None,
        "port4": PortSmtp(incoming=PickUp.DROP, outgoing=PickUp.DROP, local=False),
    }
    assert script.forms[1][0].value == "192.168.1.99/24"  # what the first port had
    assert "Bridge         port1 port2 port4: 192.0.2.10/24 (ping smtp)" in script.text
    assert "example.com read along to 192.0.2.25" in script.text


def test_back_out_of_transparent_mode_gives_the_first_port_its_address(profile: HardwareProfile, start: Draft) -> None:
    script = Script(["transparent", Back(), *ALL, "apply"])
    settings = run(script, profile, start).settings
    assert settings.network.bridge is None
    assert script.forms[1][0].value == "192.168.1.99/24"


@pytest.mark.parametrize("name", ["gateway", "gateway-ipv6", "gateway-minimal", "transparent"])
def test_a_setup_keeps_what_no_page_asks(name: str, profile: HardwareProfile) -> None:
    before = parse_answers((ANSWERS / f"{name}.yaml").read_text(encoding="utf-8"), name)
    again = draft_of(before, None, profile.port_names)
    assert again.settings() == before
    if again.bridges:
        assert again.in_mode("gateway").ports["port1"] == again.bridge


def test_a_wrong_user_is_said_on_the_users_page(profile: HardwareProfile, start: Draft) -> None:
    domains = ["add", ("example.com",), "done"]
    wrong = ("ann@example.net", None, None, None)
    before = ["server", *ADMIN, *PORTS, *BEYOND, *CLOCK, *MAILHOST, *domains, "add"]
    script = Script([*before, wrong])
    with pytest.raises(AssertionError, match="the script ends"):
        flow.run(script, profile, start, lambda _: None)
    assert "example.net is not a protected domain" in script.text


def test_answer_file_of_a_run_gives_the_same_settings(profile: HardwareProfile, start: Draft) -> None:
    settings = run(Script([*ALL, "apply"]), profile, start).settings
    assert parse_answers(dump_answers(settings), "answers.yaml") == settings


def test_factory_defaults_are_offered(profile: HardwareProfile, start: Draft) -> None:
    script = Script([*ALL, "apply"])
    run(script, profile, start)
    addresses, allow = script.forms[1]
    assert (addresses.value, allow.value) == ("192.168.1.99/24", "ping ssh smtp")


def test_back_through_all_pages_loses_nothing(profile: HardwareProfile, start: Draft) -> None:
    """From the review over all pages back to the administrator, then forward with Enter alone."""
    back = [Back()] * 18
    forward = [*KEEP, "apply"]
    expected = run(Script([*ALL, "apply"]), profile, start).settings
    again = Script([*ALL, *back, *forward])
    assert run(again, profile, start).settings == expected


def test_back_keeps_what_was_typed_even_if_it_is_wrong(profile: HardwareProfile, start: Draft) -> None:
    wrong = Back(("192.0.2.300/24", "ping"))
    script = Script(
        [
            *MODE,
            *ADMIN,
            "done",
            wrong,
            Back(),
            "",
            (None,),
            *PORTS,
            *BEYOND,
            *CLOCK,
            *MAILHOST,
            *DOMAINS,
            *AFTER,
            "apply",
        ]
    )
    run(script, profile, start)
    assert script.forms[3][0].value == "192.0.2.300/24"


def test_a_domain_that_was_not_added_is_still_there_next_time(profile: HardwareProfile, start: Draft) -> None:
    typed = Back(("example.com", "10.0.0.25", "2525", "off"))
    domains = ["add", typed, Back(), (None, None), "add", (None, None, None, None), LOGIN, "done"]
    script = Script([*BEFORE_DOMAINS, *domains, *AFTER, "apply"])
    assert run(script, profile, start).settings.domains[0].port == 2525


def test_back_past_the_first_page_ends(profile: HardwareProfile, start: Draft) -> None:
    assert flow.run(Script([Back()]), profile, start, lambda _: None) is None


def test_domains_are_changed_and_removed(profile: HardwareProfile, start: Draft) -> None:
    second = ["add", ("example.net", "10.0.0.26", None, None), LOGIN]
    change = ["example.net", "change", (None, "10.0.0.27", None, None), ("pop3", None, "1995", "no")]
    domains = [*DOMAINS[:3], *second, *change, "example.com", "remove", "done"]
    settings = run(Script([*BEFORE_DOMAINS, *domains, *AFTER, "apply"]), profile, start).settings
    assert [(domain.name, str(domain.server)) for domain in settings.domains] == [("example.net", "10.0.0.27")]
    login = settings.domains[0].login
    assert login
    assert (login.protocol, login.port, login.tls, login.verify) == ("pop3", 1995, "tls", False)


def test_review_leads_to_one_page_and_back(profile: HardwareProfile, start: Draft) -> None:
    change = ["change", "mail host", ("mx2", None), "apply"]
    assert run(Script([*ALL, *change]), profile, start).settings.mailhost.host_name == "mx2"


def test_a_correction_that_breaks_another_page_is_not_applied(profile: HardwareProfile, start: Draft) -> None:
    """A port that takes the address of a domain's server: right on its own page, and shown on the review."""
    change = ["change", "network port2", ("10.0.0.25/24", None)]
    mend = ["change", "network port2", ("10.0.0.1/24", None), "apply"]
    script = Script([*ALL, *change, *mend])
    run(script, profile, start)
    assert "domains.0.server: 10.0.0.25 is the box itself" in script.text


RELAY = ("Smart.example.net", "587", "No", None, None, "box@example.net")


def test_a_smart_host_wants_its_password(profile: HardwareProfile, start: Draft, tmp_path: Path) -> None:
    path = tmp_path / "wizard-draft"
    secret = "wren~and=finch"
    script = Script([*ALL[:-3], RELAY, " ", "", Back(), (None,) * 6, secret, *CERTIFICATE, *LOG_SERVER, "apply"])
    finished = flow.run(script, profile, start, lambda draft: keep(draft, path))
    assert finished
    smarthost = finished.settings.smarthost
    assert smarthost
    assert (smarthost.next_hop, smarthost.user, smarthost.tls) == (
        "[smart.example.net]:587",
        "box@example.net",
        "verify",
    )
    assert finished.secrets.smarthost.plain == secret
    assert script.text.count("The password is empty, or has a blank at one of its ends.") == 2
    assert "Smart host     smart.example.net port 587, verify" in script.text
    assert secret not in script.text + repr(finished) + path.read_text()
    again = draft_of(finished.settings, finished.secrets, profile.port_names)
    assert again.settings() == finished.settings
    assert again.finished_secrets().smarthost == finished.secrets.smarthost
    assert again.but(smarthost=SmartHost()).settings().smarthost is None
    forgotten = Script(["change", "smart host", (None,) * 6, secret, "apply"])
    run(forgotten, profile, again.but(secrets=None, password=PASSWORD, screen="review"))
    assert "smart host: the password has to be typed" in forgotten.text


def test_both_directions_are_filtered_as_chosen(profile: HardwareProfile, start: Draft) -> None:
    filtering = run(Script([*ALL, "apply"]), profile, start).settings.filtering
    assert (filtering.incoming.antispam, filtering.incoming.antivirus, filtering.incoming.spam) == (
        "low",
        True,
        "quarantine",
    )
    assert (filtering.outgoing.antispam, filtering.outgoing.antivirus) == ("off", False)


def test_certificate_and_log_server(profile: HardwareProfile, start: Draft) -> None:
    port = ("192.0.2.10/24", "ping ssh smtp https http")
    server = log_server("10.0.0.140", name="Log.example.org", types="event, antivirus")
    pages = [*MODE, *ADMIN, "done", port, *PORTS[2:], *BEYOND, *CLOCK, *MAILHOST, *DOMAINS, *FILTERING, *ACCESS]
    script = Script([*pages, *SMARTHOST, (ACME, "postmaster@example.com"), server, "apply"])
    finished = run(script, profile, start)
    assert finished.settings.web.acme
    assert finished.settings.web.acme.directory == ACME
    assert str(finished.settings.logs.server) == "10.0.0.140 port 6514, tls: event, antivirus from information up"
    assert f"Certificate    ACME, {ACME}" in script.text
    again = draft_of(finished.settings, finished.secrets, profile.port_names)
    assert again.settings() == finished.settings
    without = again.but(acme=Acme(), log_server=LogServer()).settings()
    assert (without.web.acme, without.logs.server) == (None, None)


def test_rules_are_added_moved_and_kept(profile: HardwareProfile, start: Draft) -> None:
    rules = [
        *["add", whom(client="10.0.0.0/24, 10.9.0.0/16"), what()],
        *["add", whom(sender="/(news|list)-[0-9]+@partner.example/"), what(tls="yes", action="Bypass")],
        *["2", "up", "2", "change", whom(client="10.0.0.0/24"), Back(), whom(), what()],
        *["add", whom(sender="*@spam.example"), what(action="reject"), "3", "remove", "done"],
    ]
    script = Script([*BEFORE_RULES, *rules, *LAST, "apply"])
    finished = run(script, profile, start)
    first, second = finished.settings.access
    assert first.sender
    assert (first.sender.regex, first.tls, first.action) == (True, "yes", "bypass")
    assert ([str(one) for one in second.client], second.action) == (["10.0.0.0/24"], "relay")
    assert "Access rules   2, first bypass from /(news|list)-[0-9]+@partner.example/, encrypted yes" in script.text
    assert draft_of(finished.settings, None, profile.port_names).settings() == finished.settings


def test_a_rule_that_a_move_hides_is_said_on_the_list(profile: HardwareProfile, start: Draft) -> None:
    narrow = ["add", whom(client="10.0.0.7"), what(action="reject")]
    wide = ["add", whom(client="10.0.0.0/24"), what()]
    script = Script([*BEFORE_RULES, *narrow, *wide, "2", "up", "done", "2", "up", "done", *LAST, "save"])
    run(script, profile, start)
    assert "rule 2: 10.0.0.7/32 is decided by an earlier rule, number 1" in script.text


WRONG: dict[str, tuple[list[object], object, str]] = {
    "short password": (MODE, "short", "needs at least 8"),
    "dull password": (MODE, "aaaaaaaaaaaa", "Repeats like"),
    "no password": (MODE, "", "A password is needed"),
    "first guess": (
        MODE,
        "Password123!",
        "guessed within a million tries. This is similar to a commonly used password",
    ),
    "key of no type": ([*MODE, PASSWORD], ("hello",), "'hello' is not a type of SSH key"),
    "cut key": ([*MODE, PASSWORD], (KEY[:40],), "is not a whole ssh-ed25519 key"),
    "no prefix": ([*MODE, *ADMIN, "done"], ("192.0.2.10", "ping"), "'192.0.2.10' is not an address with its network"),
    "no address": ([*MODE, *ADMIN, "done"], ("192.0.2.300/24", "ping"), "'192.0.2.300/24' is not an address"),
    "network address": ([*MODE, *ADMIN, "done"], ("192.0.2.0/24", "ping"), "is the network itself"),
    "unknown service": ([*MODE, *ADMIN, "done"], ("192.0.2.10/24", "ping telnet"), "cannot be 'telnet'"),
    "redirects that lead nowhere": (
        [*MODE, *ADMIN, "done"],
        ("192.0.2.10/24", "ping http"),
        "http only leads to https",
    ),
    "overlap": ([*MODE, *ADMIN, *PORTS[:2]], ("192.0.2.20/25", "ping"), "overlaps 192.0.2.0/24 of port1"),
    "same address": ([*MODE, *ADMIN, *PORTS[:2]], ("192.0.2.10/24", "ping"), "is also an address of port1"),
    "gateway elsewhere": ([*MODE, *ADMIN, *PORTS], ("198.51.100.1", ""), "is in no port's network"),
    "gateway is the box": ([*MODE, *ADMIN, *PORTS], ("192.0.2.10", ""), "is the box itself"),
    "two gateways": ([*MODE, *ADMIN, *PORTS], ("192.0.2.1 192.0.2.2", ""), "are both for IPv4"),
    "four name servers": ([*MODE, *ADMIN, *PORTS], (None, "192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5"), "only 3"),
    "name server by name": ([*MODE, *ADMIN, *PORTS], (None, "dns.example.net"), "is not an IP address"),
    "VLAN of no port": ([*TO_LINKS, "add"], ("port9.10", None, None, "172.16.0.1/24", None), "has no such port"),
    "VLAN of no number": (
        [*TO_LINKS, "add"],
        ("port1.x", None, None, "172.16.0.1/24", None),
        "is not the name of a VLAN",
    ),
    "VLAN without address": ([*TO_LINKS, "add"], ("port1.10", None, None, "", None), "without an address does nothing"),
    "VLAN in the network of a port": (
        [*TO_LINKS, "add"],
        ("port1.10", None, None, "192.0.2.77/28", None),
        "Addresses: the network 192.0.2.64/28 overlaps 192.0.2.0/24 of port1",
    ),
    "bond of one port": ([*TO_LINKS, "add"], ("bond1", "port3", None, "172.16.0.1/24", None), "Ports: a bond has two"),
    "bond of a port in use": (
        [*TO_LINKS, "add"],
        ("bond1", "port2 port3", None, "172.16.0.1/24", None),
        "Ports: is a port of bond1",
    ),
    "port as a link": ([*TO_LINKS, "add"], ("port3", None, None, "172.16.0.1/24", None), "is not the name of a bond"),
    "unknown zone": ([*MODE, *ADMIN, *PORTS, *BEYOND], ("Atlantis", ""), "'Atlantis' is not a known time zone"),
    "too many zones": ([*MODE, *ADMIN, *PORTS, *BEYOND], ("america", ""), "type more of the name"),
    "bad time server": ([*MODE, *ADMIN, *PORTS, *BEYOND], (None, "ntp_1"), "is not a domain name"),
    "no host name": (ALL[:11], ("", "example.org"), "is not a host name"),
    "full name as host name": (ALL[:11], ("mx1.example.org", "example.org"), "the domain goes into local_domain"),
    "local domain of one part": (ALL[:11], ("mx1", "local"), "at least two parts"),
    "domain of one part": ([*ALL[:12], "add"], ("example", "10.0.0.25", None, None), "at least two parts"),
    "no server": ([*ALL[:12], "add"], ("example.com", "", None, None), "Its mail server: "),
    "server is the box": ([*ALL[:12], "add"], ("example.com", "10.0.0.1", None, None), "10.0.0.1 is the box itself"),
    "domain is the box": ([*ALL[:12], "add"], ("mx1.mail.example.org", "10.0.0.25", None, None), "box's own name"),
    "port of words": ([*ALL[:12], "add"], ("example.com", "10.0.0.25", "smtp", None), "Port: "),
    "port out of range": ([*ALL[:12], "add"], ("example.com", "10.0.0.25", "70000", None), "65535"),
    "no address of the bridge": (["transparent", *ADMIN, "done"], ("", "ping"), "Addresses: "),
    "users' service at the bridge": (["transparent", *ADMIN, "done"], (None, "imaps"), "transparent mode has no imaps"),
    "unknown protocol": (
        [*ALL[:12], "add", ("example.com", "10.0.0.25", None, None)],
        ("ldap", None, None, None),
        "cannot be 'ldap'",
    ),
    "unknown level": ([*BEFORE_DOMAINS, *DOMAINS], ("highest", None, None), "cannot be 'highest'"),
    "maybe viruses": ([*BEFORE_DOMAINS, *DOMAINS], (None, "maybe", None), "Antivirus: "),
    "spam to nowhere": ([*BEFORE_DOMAINS, *DOMAINS, FILTERING[0]], (None, None, "bounce"), "cannot be 'bounce'"),
    "smart host is the box": (ALL[:-3], ("10.0.0.1", None, None, None, None, None), "10.0.0.1 is the box itself"),
    "nameless smart host": (ALL[:-3], ("192.0.2.80", None, None, None, None, None), "Certificate: is missing"),
    "password in the clear": (
        ALL[:-3],
        ("smart.example.net", None, None, "may", None, "box"),
        "a password goes over encrypted lines alone",
    ),
    "user of two words": (ALL[:-3], ("smart.example.net", "587", None, None, None, "a b"), "one word without a colon"),
    "client by name": ([*BEFORE_RULES, "add"], whom(client="host.example.net"), "Clients: "),
    "client's host bits": ([*BEFORE_RULES, "add"], whom(client="10.0.0.5/24"), "10.0.0.0/24 is right for the network"),
    "half an expression": ([*BEFORE_RULES, "add"], whom(sender="/(news/"), "is not a regular expression"),
    "rule behind another": (
        [*BEFORE_RULES, "add", whom(client="10.0.0.0/24"), what(), "add"],
        whom(client="10.0.0.7"),
        "is decided by an earlier rule, number 1",
    ),
    "rule for nobody": ([*BEFORE_RULES, "add", whom()], what(), "says nothing of whom it is for"),
    "open relay": ([*BEFORE_RULES, "add", whom(client="0.0.0.0/0")], what(), "makes the box an open relay"),
    "unknown action": ([*BEFORE_RULES, "add", OFFICE], what(action="accept"), "cannot be 'accept'"),
    "unknown login": ([*BEFORE_RULES, "add", OFFICE], what(login="maybe"), "cannot be 'maybe'"),
    "unknown encryption": ([*BEFORE_RULES, "add", OFFICE], what(tls="some"), "cannot be 'some'"),
    "directory without https": (ALL[:-2], ("http://acme.example", None), "is not the address of an ACME directory"),
    "contact of one word": (ALL[:-2], (ACME, "somebody"), "Contact: "),
    "certificate without http": (ALL[:-2], (ACME, None), "no port lets in http, by which the authority looks"),
    "log server is the box": (ALL[:-1], log_server("10.0.0.1", name="log.example.org"), "10.0.0.1 is the box itself"),
    "nameless log server": (ALL[:-1], log_server("10.0.0.140"), "Certificate: is missing"),
    "no records": (ALL[:-1], log_server("log.example.org", types=""), "nothing would be sent"),
    "records of another kind": (ALL[:-1], log_server("log.example.org", types="history, spam"), "cannot be 'spam'"),
    "unknown transport": (ALL[:-1], log_server("log.example.org", transport="relp"), "cannot be 'relp'"),
    "unknown verify": ([*ALL[:12], "add"], ("example.com", "10.0.0.25", None, "ldap"), "cannot be 'ldap'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_gets_its_sentence_on_its_page(case: str, profile: HardwareProfile, start: Draft) -> None:
    before, wrong, sentence = WRONG[case]
    script = Script([*before, wrong])
    with pytest.raises(AssertionError, match="the script ends"):
        flow.run(script, profile, start, lambda _: None)
    assert sentence in script.text
    assert "Review" not in script.shown
    if isinstance(wrong, tuple):
        first, again = script.forms[-2:]
        assert [one.path for one in first] == [one.path for one in again]
        assert [one.value for one in again] == [
            old.value if new is None else new for old, new in zip(first, wrong, strict=True)
        ]


def test_a_list_without_a_port_for_mail_is_said_on_the_network_page(profile: HardwareProfile, start: Draft) -> None:
    script = Script([*MODE, *ADMIN, "done", (None, "ping"), *[("", None)] * 3, *LINKS, (None, None)])
    with pytest.raises(AssertionError, match="the script ends"):
        flow.run(script, profile, start, lambda _: None)
    assert "no port lets in smtp" in script.text


def test_vlans_and_bonds(profile: HardwareProfile, start: Draft) -> None:
    links = [
        *["add", ("Port2.20", None, None, "172.16.0.1/30", "ping, ssh")],
        *[
            "add",
            ("bond1", "port3, port4", None, "10.1.0.1/24", "smtp"),
            "bond1",
            "change",
            (None, None, "802.3ad", None, None),
        ],
        "done",
    ]
    script = Script([*MODE, *ADMIN, *PORTS[:-1], *links, *BEYOND, *CLOCK, *MAILHOST, *DOMAINS, *AFTER, "apply"])
    finished = run(script, profile, start)
    network = finished.settings.network
    assert (list(network.ports), network.made) == (["port1", "port2", "port2.20", "bond1"], ("bond1", "port2.20"))
    assert (network.bonds["bond1"].ports, network.bonds["bond1"].mode) == (("port3", "port4"), "802.3ad")
    assert "bond1          port3 port4 by 802.3ad: 10.1.0.1/24 (smtp)" in script.text
    assert draft_of(finished.settings, None, profile.port_names).settings() == finished.settings


@pytest.fixture
def loaded(places: Places, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a `loadkeys` was asked for that has no screen to do it to, a line a time."""
    (places.root / "bin").mkdir()
    program, calls = places.root / "bin/loadkeys", places.root / "loaded"
    program.write_text(f'#!/bin/sh\nshift 3\necho "$@" >>{calls}\n[ "$1" != trfu ] || exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{places.root / 'bin'}:{os.environ['PATH']}")
    return calls


def at_the_screen(
    answers: list[object], places: Places, profile: HardwareProfile, applied: list[tuple[Settings, Secrets]]
) -> Session:
    return replace(session(Script(answers), places, profile, applied), keyboard=Keyboard())


def test_a_screen_is_asked_for_its_keyboard_before_the_password(
    profile: HardwareProfile, places: Places, loaded: Path
) -> None:
    """Nobody sees what is typed there, so the keys have to mean what is written on them by then."""

    class Typist(Script):
        def secret(self, head: Head, label: str, remark: Remark = no_remark) -> Answer[str]:
            assert loaded.read_text().split() == ["us", "de-latin1-nodeadkeys"]
            return super().secret(head, label, remark)

    applied: list[tuple[Settings, Secrets]] = []
    script = Typist([*MODE, "de", *ALL[1:], "apply"])
    assert replace(session(script, places, profile, applied), keyboard=Keyboard()).run()
    assert applied[0][0].keyboard.layout == "de"
    assert "Keyboard       German, Austrian" in script.text
    assert loaded.read_text().split() == ["us", "de-latin1-nodeadkeys"]  # and it stays
    assert draft_of(applied[0][0], None, profile.port_names).settings() == applied[0][0]


def test_who_leaves_finds_the_keyboard_as_it_was_and_who_comes_back_as_chosen(
    profile: HardwareProfile, places: Places, loaded: Path
) -> None:
    assert not at_the_screen([*MODE, "fr", Back(), Back(), Back()], places, profile, []).run()
    assert loaded.read_text().split() == ["us", "fr-latin9", "us"]
    applied: list[tuple[Settings, Secrets]] = []
    assert at_the_screen(["continue", *MODE, "", *ALL[1:], "apply"], places, profile, applied).run()
    assert loaded.read_text().split() == ["us", "fr-latin9", "us", "fr-latin9"]
    assert applied[0][0].keyboard.layout == "fr"


def test_a_layout_that_is_not_taken_is_told(profile: HardwareProfile, places: Places, loaded: Path) -> None:
    script = Script([*MODE, "tr-f", Back(), Back(), Back()])
    assert not replace(session(script, places, profile, []), keyboard=Keyboard()).run()
    assert "Its layout is what it was: loadkeys --quiet --console /dev/tty0 trfu ended with status 1" in script.text


def test_other_terminals_have_keyboards_of_their_own(profile: HardwareProfile, places: Places, loaded: Path) -> None:
    script = Script([*ALL, "apply"])
    assert session(script, places, profile, []).run()
    assert "Keyboard" not in script.text
    assert not loaded.exists()


def test_the_keyboards_page_by_its_name(profile: HardwareProfile, places: Places, loaded: Path) -> None:
    """Over SSH too: it is the box's keyboard that is set."""
    applied: list[tuple[Settings, Secrets]] = []
    session(Script([*ALL, "apply"]), places, profile, applied).run()
    settings, secrets = applied[0]
    again = session(Script(["gb", "apply"]), places, profile, applied)
    assert replace(again, settings=settings, secrets=secrets, page="keyboard").run()
    assert applied[1][0].keyboard.keymap == "uk"
    assert not loaded.exists()  # applying does it


def test_several_zones_are_offered(profile: HardwareProfile, start: Draft) -> None:
    script = Script([*ALL[:10], ("indian", ""), "Indian/Maldives", *MAILHOST, *DOMAINS, *AFTER, "apply"])
    assert run(script, profile, start).settings.clock.timezone == "Indian/Maldives"


def test_draft_is_kept_without_secrets_and_resumes(profile: HardwareProfile, start: Draft, tmp_path: Path) -> None:
    path = tmp_path / "wizard-draft"
    with pytest.raises(AssertionError, match="the script ends"):
        flow.run(Script([*MODE, *ADMIN, *PORTS]), profile, start, lambda draft: keep(draft, path))
    assert PASSWORD not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    resumed = kept(path, start)
    assert resumed.screen == "network"
    rest = [*BEYOND, *CLOCK, *MAILHOST, *DOMAINS, *AFTER, "change", "administrator", PASSWORD, (None,), "apply"]
    script = Script(list(rest))
    finished = run(script, profile, resumed)
    assert "the password has to be typed again" in script.text
    assert finished.settings == run(Script([*ALL, "apply"]), profile, start).settings


def test_a_damaged_draft_is_ignored(start: Draft, tmp_path: Path) -> None:
    path = tmp_path / "wizard-draft"
    path.write_text('{"screen": 7')
    assert kept(path, start) is start


def session(
    script: Script, places: Places, profile: HardwareProfile, applied: list[tuple[Settings, Secrets]]
) -> Session:
    return Session(script, profile, places, lambda settings, secrets, _: applied.append((settings, secrets)))


def test_saved_answer_file_repeats_what_was_applied(profile: HardwareProfile, places: Places) -> None:
    applied: list[tuple[Settings, Secrets]] = []
    script = Script([*ALL, "save", "both", "apply"])
    assert session(script, places, profile, applied).run()
    folder = places.state / "saved"
    hidden = folder / "secrets.yaml"
    assert parse_answers((folder / "answers.yaml").read_text(), "answers.yaml") == applied[0][0]
    assert parse_secrets(hidden.read_text(), "secrets.yaml") == applied[0][1]
    assert hidden.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in hidden.read_text()
    assert not places.wizard_draft.exists()


def test_secrets_are_saved_only_if_asked(profile: HardwareProfile, places: Places) -> None:
    session(Script([*ALL, "save", "answers", "apply"]), places, profile, []).run()
    assert [path.name for path in (places.state / "saved").iterdir()] == ["answers.yaml"]


def test_a_look_around_before_apply(profile: HardwareProfile, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network to come is a namespace of a real box: tests/container looks around in it."""
    found = [good("link", "port1", "connected"), bad("gateway", "192.0.2.1", "nobody answers", "the right port?")]
    monkeypatch.setattr(place, "rehearsed", lambda *_: found)
    script = Script([*ALL, "look", "apply"])
    applied: list[tuple[Settings, Secrets]] = []
    assert session(script, places, profile, applied).run()
    assert "bad   gateway      192.0.2.1: nobody answers" in script.text
    assert "1 of 2 are well." in script.text
    again = Script([*KEEP, "look", "apply"])
    assert replace(session(again, places, profile, applied), settings=applied[0][0], secrets=applied[0][1]).run()
    assert "This box is in service." in again.text


def test_the_self_test_is_offered_once_the_settings_are_in_force(
    profile: HardwareProfile, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs a box in service: tests/container tries one."""
    found = [good("clean", "example.com", "taken"), bad("virus", "example.com", "taken", "look for definitions")]
    monkeypatch.setattr(selftest, "checks", lambda *_: iter(found))
    script = Script([*ALL, "apply", "test", "finish"])
    assert session(script, places, profile, []).run()
    assert "good  clean        example.com: taken\nbad   virus        example.com: taken" in script.text
    assert "-> look for definitions" in script.text


@pytest.mark.parametrize(("page", "asked"), [("administrator", ["", (None,)]), ("clock", [(None, None)])])
def test_one_page_of_a_box_in_service(profile: HardwareProfile, places: Places, page: str, asked: list[object]) -> None:
    applied: list[tuple[Settings, Secrets]] = []
    session(Script([*ALL, "apply"]), places, profile, applied).run()
    settings, secrets = applied[0]
    again = session(Script([*asked, "apply"]), places, profile, applied)
    assert replace(again, settings=settings, secrets=secrets, page=page).run()
    assert applied[1] == (settings, secrets)


def test_all_screens_of_the_network_and_back_out_of_them(profile: HardwareProfile, places: Places) -> None:
    applied: list[tuple[Settings, Secrets]] = []
    session(Script([*ALL, "apply"]), places, profile, applied).run()
    settings, secrets = applied[0]
    changed = [("192.0.2.77/24", None), *[(None, None)] * 4, "apply"]
    again = session(Script(list(changed)), places, profile, applied)
    assert replace(again, settings=settings, secrets=secrets, page="network").run()
    assert str(applied[1][0].network.ports["port1"].addresses[0]) == "192.0.2.77/24"
    left = session(
        Script([(None, None), Back(("10.0.0.1/24", "")), Back(("192.0.2.77/24", ""))]), places, profile, applied
    )
    assert not replace(left, settings=settings, secrets=secrets, page="network").run()
    assert len(applied) == 2


def test_a_refused_apply_returns_to_the_review_with_everything_kept(profile: HardwareProfile, places: Places) -> None:
    tries: list[Settings] = []

    def apply(settings: Settings, _secrets: Secrets, _say: object) -> None:
        tries.append(settings)
        if len(tries) == 1:
            raise Refused([Problem("postfix check", "", "port 25 is taken")])

    script = Script([*ALL, "apply", "apply"])
    assert Session(script, profile, places, apply).run()
    assert tries[0] == tries[1]
    assert "port 25 is taken" in script.text


def test_setup_of_a_box_in_service_starts_from_its_settings(profile: HardwareProfile, places: Places) -> None:
    applied: list[tuple[Settings, Secrets]] = []
    session(Script([*ALL, "apply"]), places, profile, applied).run()
    settings, secrets = applied[0]
    routed = settings.model_copy(update={"network": parse_answers(_with_route(settings), "answers.yaml").network})
    again = Script([*KEEP, "apply"])
    keep_all = replace(session(again, places, profile, applied), settings=routed, secrets=secrets)
    assert keep_all.run()
    assert applied[1] == (routed, secrets)


def _with_route(settings: Settings) -> str:
    return dump_answers(settings).replace(
        "  gateways:", "  routes:\n  - {to: 10.9.0.0/16, via: 10.0.0.254}\n  gateways:"
    )


def test_ports_are_known_by_address_link_and_light(profile: HardwareProfile, places: Places) -> None:
    for name, files in {
        "port1": {"address": "52:54:00:00:00:01", "carrier": "1", "speed": "1000"},
        "port2": {"address": "52:54:00:00:00:02", "carrier": "0", "speed": "-1"},
        "port3": {"address": "52:54:00:00:00:03"},
    }.items():
        (places.root / "sys/class/net" / name).mkdir(parents=True)
        for file, text in files.items():
            (places.root / "sys/class/net" / name / file).write_text(f"{text}\n")
    script = Script([*MODE, *ADMIN, "port2", "done", Back(), Back(), Back(), Back()])
    assert not session(script, places, profile, []).run()
    assert [choice.label for choice in script.menus[1]] == [
        "52:54:00:00:00:01, link 1000 Mbit/s",
        "52:54:00:00:00:02, no link",
        "52:54:00:00:00:03, switched off",
        "Go on",
    ]
    assert "port2: the box has no such port." in script.text  # on the machine of the tests
    assert "Port 1 of 3: 52:54:00:00:00:01, link 1000 Mbit/s. Without" in script.text


def test_only_ports_that_are_there_are_asked(profile: HardwareProfile, places: Places) -> None:
    assert present_ports(places, profile) == profile.port_names
    for name in ("port1", "port2"):
        (places.root / "sys/class/net" / name).mkdir(parents=True)
    assert present_ports(places, profile) == ("port1", "port2")


def test_answers_go_to_the_labelled_volume(
    profile: HardwareProfile, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a `mount` that knows only ext4, as it would be for a stick of that kind."""
    device = places.root / "dev/disk/by-label/POSTERN"
    device.parent.mkdir(parents=True)
    device.touch()
    programs = places.root / "programs"
    programs.mkdir()
    for name, body in (("mount", 'case "$*" in *vfat*) exit 32;; esac'), ("umount", "")):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{places.root}/calls\n{body}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    script = Script([*ALL, "save", "answers", "apply"])
    session(script, places, profile, []).run()
    assert "answers.yaml written to volume POSTERN" in script.text
    assert (places.run / "save/answers.yaml").exists()
    calls = (places.root / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["mount", "mount", "umount"]


def test_an_unfinished_setup_can_begin_anew(profile: HardwareProfile, places: Places) -> None:
    applied: list[tuple[Settings, Secrets]] = []
    with pytest.raises(AssertionError, match="the script ends"):
        session(Script([*ALL]), places, profile, applied).run()
    assert not session(Script([Back()]), places, profile, applied).run()  # and what was typed is still there
    script = Script(["anew", Back()])
    assert not session(script, places, profile, applied).run()
    assert "not finished, at the page: review." in script.text
    assert kept(places.wizard_draft, factory(profile.port_names)).domains == ()
    forget(places)
    assert not places.wizard_draft.exists()


def test_two_setups_at_once(profile: HardwareProfile, places: Places) -> None:
    with turn(places.run / LOCK, "console tty1"), pytest.raises(Refused, match="is being set up on console tty1"):
        session(Script([]), places, profile, []).run()
