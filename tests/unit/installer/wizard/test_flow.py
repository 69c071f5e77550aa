from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.host.errors import Problem, Refused
from hardware.profile import HardwareProfile
from installer import selftest
from installer.apply.places import Places
from installer.preflight import place
from installer.preflight.finding import bad, good
from installer.wizard import flow
from installer.wizard.draft import Draft, draft_of, factory, keep, kept
from installer.wizard.pages.review import Action
from installer.wizard.session import Session, present_ports
from installer.wizard.turn import LOCK, turn
from installer.wizard.typed import SmartHost
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
    ("192.0.2.10/24", "ping ssh smtp"),
    ("10.0.0.1/24, 2001:db8::1/64", "ping,smtp"),
    (None, None),
    (None, None),
]
BEYOND: list[object] = [("192.0.2.1", "192.0.2.53")]
CLOCK: list[object] = [("zurich", "192.0.2.123")]
MAILHOST: list[object] = [("MX1", "mail.example.org.")]
LOGIN: tuple[None, ...] = (None, None, None, None)
DOMAINS: list[object] = ["add", ("Example.com", "10.0.0.25", None, None), LOGIN, "done"]
FILTERING: list[object] = [("Low", None, None), (None, "off", None)]
SMARTHOST: list[object] = [(None,) * 6]
AFTER = [*FILTERING, *SMARTHOST]
BEFORE_DOMAINS: list[object] = [*MODE, *ADMIN, *PORTS, *BEYOND, *CLOCK, *MAILHOST]
ALL: list[object] = [*BEFORE_DOMAINS, *DOMAINS, *AFTER]


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
    assert PASSWORD not in script.text
    assert PASSWORD not in repr(finished)


def test_server_mode_asks_for_users_and_for_no_server(profile: HardwareProfile, start: Draft) -> None:
    ports = [("192.0.2.10/24", "smtp imaps submissions"), (None, None), (None, None), (None, None)]
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
    bridge = [("192.0.2.10/24", "ping, smtp"), (None, None), (None, None), ("172.16.0.1/24", "ssh"), (None, None)]
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


def test_setup_in_transparent_mode_keeps_what_no_page_asks(profile: HardwareProfile) -> None:
    before = parse_answers((ANSWERS / "transparent.yaml").read_text(encoding="utf-8"), "transparent.yaml")
    again = draft_of(before, None, profile.port_names)
    assert again.settings() == before
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
    """From the review back to the first page, then forward with Enter alone."""
    back = [Back()] * 13  # review, smart host, two of filtering, domains, mail host, clock, beyond, four ports, admin
    after = [*[(None, None, None)] * 2, *SMARTHOST]
    forward = ["", "", (None,), *[(None, None)] * 4, (None, None), (None, None), (None, None), "done", *after, "apply"]
    expected = run(Script([*ALL, "apply"]), profile, start).settings
    again = Script([*ALL, *back, *forward])
    assert run(again, profile, start).settings == expected


def test_back_keeps_what_was_typed_even_if_it_is_wrong(profile: HardwareProfile, start: Draft) -> None:
    wrong = Back(("192.0.2.300/24", "ping"))
    script = Script([*MODE, *ADMIN, wrong, "", (None,), *PORTS, *BEYOND, *CLOCK, *MAILHOST, *DOMAINS, *AFTER, "apply"])
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
    script = Script([*ALL[:-1], RELAY, " ", "", Back(), (None,) * 6, secret, "apply"])
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


WRONG: dict[str, tuple[list[object], object, str]] = {
    "short password": (MODE, "short", "needs at least 8"),
    "dull password": (MODE, "aaaaaaaaaaaa", "different characters"),
    "no password": (MODE, "", "A password is needed"),
    "first guess": (MODE, "Password123!", "first one that an attacker tries"),
    "key of no type": ([*MODE, PASSWORD], ("hello",), "'hello' is not a type of SSH key"),
    "cut key": ([*MODE, PASSWORD], (KEY[:40],), "is not a whole ssh-ed25519 key"),
    "no prefix": ([*MODE, *ADMIN], ("192.0.2.10", "ping"), "'192.0.2.10' is not an address with its network"),
    "no address": ([*MODE, *ADMIN], ("192.0.2.300/24", "ping"), "'192.0.2.300/24' is not an address"),
    "network address": ([*MODE, *ADMIN], ("192.0.2.0/24", "ping"), "is the network itself"),
    "unknown service": ([*MODE, *ADMIN], ("192.0.2.10/24", "ping telnet"), "cannot be 'telnet'"),
    "redirects that lead nowhere": ([*MODE, *ADMIN], ("192.0.2.10/24", "ping http"), "http only leads to https"),
    "overlap": ([*MODE, *ADMIN, PORTS[0]], ("192.0.2.20/25", "ping"), "overlaps 192.0.2.0/24 of port1"),
    "same address": ([*MODE, *ADMIN, PORTS[0]], ("192.0.2.10/24", "ping"), "is also an address of port1"),
    "gateway elsewhere": ([*MODE, *ADMIN, *PORTS], ("198.51.100.1", ""), "is in no port's network"),
    "gateway is the box": ([*MODE, *ADMIN, *PORTS], ("192.0.2.10", ""), "is the box itself"),
    "two gateways": ([*MODE, *ADMIN, *PORTS], ("192.0.2.1 192.0.2.2", ""), "are both for IPv4"),
    "four name servers": ([*MODE, *ADMIN, *PORTS], (None, "192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5"), "only 3"),
    "name server by name": ([*MODE, *ADMIN, *PORTS], (None, "dns.example.net"), "is not an IP address"),
    "unknown zone": ([*MODE, *ADMIN, *PORTS, *BEYOND], ("Atlantis", ""), "'Atlantis' is not a known time zone"),
    "too many zones": ([*MODE, *ADMIN, *PORTS, *BEYOND], ("america", ""), "type more of the name"),
    "bad time server": ([*MODE, *ADMIN, *PORTS, *BEYOND], (None, "ntp_1"), "is not a domain name"),
    "no host name": (ALL[:9], ("", "example.org"), "is not a host name"),
    "full name as host name": (ALL[:9], ("mx1.example.org", "example.org"), "the domain goes into local_domain"),
    "local domain of one part": (ALL[:9], ("mx1", "local"), "at least two parts"),
    "domain of one part": ([*ALL[:10], "add"], ("example", "10.0.0.25", None, None), "at least two parts"),
    "no server": ([*ALL[:10], "add"], ("example.com", "", None, None), "Its mail server: "),
    "server is the box": ([*ALL[:10], "add"], ("example.com", "10.0.0.1", None, None), "10.0.0.1 is the box itself"),
    "domain is the box": ([*ALL[:10], "add"], ("mx1.mail.example.org", "10.0.0.25", None, None), "box's own name"),
    "port of words": ([*ALL[:10], "add"], ("example.com", "10.0.0.25", "smtp", None), "Port: "),
    "port out of range": ([*ALL[:10], "add"], ("example.com", "10.0.0.25", "70000", None), "65535"),
    "no address of the bridge": (["transparent", *ADMIN], ("", "ping"), "Addresses: "),
    "users' service at the bridge": (["transparent", *ADMIN], (None, "imaps"), "transparent mode has no imaps"),
    "unknown protocol": (
        [*ALL[:10], "add", ("example.com", "10.0.0.25", None, None)],
        ("ldap", None, None, None),
        "cannot be 'ldap'",
    ),
    "unknown level": ([*BEFORE_DOMAINS, *DOMAINS], ("highest", None, None), "cannot be 'highest'"),
    "maybe viruses": ([*BEFORE_DOMAINS, *DOMAINS], (None, "maybe", None), "Antivirus: "),
    "spam to nowhere": ([*BEFORE_DOMAINS, *DOMAINS, FILTERING[0]], (None, None, "bounce"), "cannot be 'bounce'"),
    "smart host is the box": (ALL[:-1], ("10.0.0.1", None, None, None, None, None), "10.0.0.1 is the box itself"),
    "nameless smart host": (ALL[:-1], ("192.0.2.80", None, None, None, None, None), "Certificate: is missing"),
    "password in the clear": (
        ALL[:-1],
        ("smart.example.net", None, None, "may", None, "box"),
        "a password goes over encrypted lines alone",
    ),
    "user of two words": (ALL[:-1], ("smart.example.net", "587", None, None, None, "a b"), "one word without a colon"),
    "unknown verify": ([*ALL[:10], "add"], ("example.com", "10.0.0.25", None, "ldap"), "cannot be 'ldap'"),
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
    script = Script([*MODE, *ADMIN, (None, "ping"), *[("", None)] * 3, (None, None)])
    with pytest.raises(AssertionError, match="the script ends"):
        flow.run(script, profile, start, lambda _: None)
    assert "no port lets in smtp" in script.text


def test_several_zones_are_offered(profile: HardwareProfile, start: Draft) -> None:
    script = Script([*ALL[:8], ("indian", ""), "Indian/Maldives", *MAILHOST, *DOMAINS, *AFTER, "apply"])
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
    assert not (places.run / "wizard-draft").exists()


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
    again = Script(
        [
            "",
            "",
            (None,),
            *[(None, None)] * 4,
            *[(None, None)] * 3,
            "done",
            *[(None,) * 3] * 2,
            *SMARTHOST,
            "look",
            "apply",
        ]
    )
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
    again = Script(
        ["", "", (None,), *[(None, None)] * 4, *[(None, None)] * 3, "done", *[(None,) * 3] * 2, *SMARTHOST, "apply"]
    )
    keep_all = replace(session(again, places, profile, applied), settings=routed, secrets=secrets)
    assert keep_all.run()
    assert applied[1] == (routed, secrets)


def _with_route(settings: Settings) -> str:
    return dump_answers(settings).replace(
        "  gateways:", "  routes:\n  - {to: 10.9.0.0/16, via: 10.0.0.254}\n  gateways:"
    )


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


def test_two_setups_at_once(profile: HardwareProfile, places: Places) -> None:
    with turn(places.run / LOCK, "console tty1"), pytest.raises(Refused, match="is being set up on console tty1"):
        session(Script([]), places, profile, []).run()
