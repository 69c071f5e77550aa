"""The box is no open relay: mail goes to protected domains or comes from whom a rule names, however addresses look."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.container.client import Client
from tests.container.lab import ADMIN, INSIDE_BOX, NEIGHBOUR, OUTSIDE_BOX, REJECTED, TRUSTED, Lab

WORLD = "victim@outside.example"

# What a stranger tries: sender, recipient and parameters, each as it goes over the line.
ATTEMPTS = {
    "plain": ("someone@example.edu", WORLD, ""),
    "percent hack": ("someone@example.edu", "victim%outside.example@example.com", ""),
    "percent hack through the box": ("someone@example.edu", "victim%outside.example@mx1.mail.example.org", ""),
    "percent hack through its address": ("someone@example.edu", "victim%outside.example@[192.0.2.10]", ""),
    "percent hack without a domain": ("someone@example.edu", "victim%outside.example", ""),
    "source route": ("someone@example.edu", "@example.com:victim@outside.example", ""),
    "source route through the box": ("someone@example.edu", "@mx1.mail.example.org:victim@outside.example", ""),
    "source route of two": ("someone@example.edu", "@[192.0.2.10],@example.com:victim@outside.example", ""),
    "bang path": ("someone@example.edu", "outside.example!victim", ""),
    "bang path at a protected domain": ("someone@example.edu", "outside.example!victim@example.com", ""),
    "bang path at the box": ("someone@example.edu", "outside.example!victim@mx1.mail.example.org", ""),
    "bang path at its address": ("someone@example.edu", "outside.example!victim@[192.0.2.10]", ""),
    "quoted address": ("someone@example.edu", '"victim@outside.example"', ""),
    "quoted local part at a protected domain": ("someone@example.edu", '"victim@outside.example"@example.com', ""),
    "quoted local part at the box": ("someone@example.edu", '"victim@outside.example"@mx1.mail.example.org', ""),
    "quoted local part at its address": ("someone@example.edu", '"victim@outside.example"@[192.0.2.10]', ""),
    "quoted percent": ("someone@example.edu", '"victim%outside.example"@example.com', ""),
    "quoted domain": ("someone@example.edu", 'victim@"outside.example"', ""),
    "two at-signs": ("someone@example.edu", "victim@outside.example@example.com", ""),
    "null sender": ("", WORLD, ""),
    "sender of a protected domain": ("ann@example.com", WORLD, ""),
    "sender of the box": ("root@mx1.mail.example.org", WORLD, ""),
    "sender of its local domain": ("postmaster@mail.example.org", WORLD, ""),
    "sender at its address": ("someone@[192.0.2.10]", WORLD, ""),
    "sender at the loopback": ("someone@localhost", WORLD, ""),
    "sender without a domain": ("postmaster", WORLD, ""),
    "postmaster elsewhere": ("someone@example.edu", "postmaster@outside.example", ""),
    "address literal elsewhere": ("someone@example.edu", "victim@[192.0.2.80]", ""),
    "bare address elsewhere": ("someone@example.edu", "victim@192.0.2.80", ""),
    "IPv6 literal elsewhere": ("someone@example.edu", "victim@[IPv6:2001:db8:1::77]", ""),
    "literal of the box": ("someone@example.edu", "victim@[192.0.2.10]", ""),
    "literal of the loopback": ("someone@example.edu", "victim@[127.0.0.1]", ""),
    "nobody at the box": ("someone@example.edu", "victim@mx1.mail.example.org", ""),
    "AUTH parameter": ("someone@example.edu", WORLD, "AUTH=ann@example.com"),
    "empty AUTH parameter": ("someone@example.edu", WORLD, "AUTH=<>"),
    "8BITMIME and SIZE": ("someone@example.edu", WORLD, "BODY=8BITMIME SIZE=100"),
    "mixed case": ("someone@example.edu", "Victim@OutSide.Example", ""),
    "trailing dot": ("someone@example.edu", "victim@outside.example.", ""),
    "protected domain with a trailing dot": ("someone@example.edu", "nobody-here@example.com.", ""),
    "subdomain of a protected domain": ("someone@example.edu", "victim@mail.example.com", ""),
    "protected domain as subdomain": ("someone@example.edu", "victim@example.com.outside.example", ""),
    "look-alike of a protected domain": ("someone@example.edu", "victim@exаmple.com", "SMTPUTF8"),
    "full-width at-sign": ("someone@example.edu", "victim＠outside.example", "SMTPUTF8"),
    "encoded at-sign": ("someone@example.edu", "victim=40outside.example@mx1.mail.example.org", ""),
    "host with a port": ("someone@example.edu", "victim@outside.example:25", ""),
    "program": ("someone@example.edu", '"|/usr/bin/id"@mx1.mail.example.org', ""),
    "file": ("someone@example.edu", '"/tmp/file"@mx1.mail.example.org', ""),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_strangers_attempt_is_refused(gateway: Lab, name: str) -> None:
    gateway.example_com.know_only("ann@example.com")
    _require_refused(gateway, gateway.stranger, *ATTEMPTS[name])


def test_a_login_is_not_offered(gateway: Lab) -> None:
    with gateway.stranger() as client:
        assert not client.has_extn("auth")
        assert client.say("AUTH PLAIN AGFubgBwYXNzd29yZA==")[0] in range(500, 560)
        assert client.say("MAIL FROM:<someone@example.edu>")[0] == 250
        assert client.say(f"RCPT TO:<{WORLD}>")[0] in range(500, 560)


@pytest.mark.parametrize("name", ["localhost", "mx1.mail.example.org", "[127.0.0.1]", "[10.0.0.66]"])
def test_a_stranger_who_takes_another_name_is_a_stranger(gateway: Lab, name: str) -> None:
    with gateway.stranger() as client:
        assert client.say(f"EHLO {name}")[0] == 250
        client.say("XCLIENT ADDR=10.0.0.66 NAME=client.example.net")
        client.say("XFORWARD ADDR=10.0.0.66")
        if client.say("MAIL FROM:<someone@example.edu>")[0] == 250:
            assert client.say(f"RCPT TO:<{WORLD}>")[0] in range(500, 560)


def test_a_program_on_the_box_does_not_relay(gateway: Lab) -> None:
    script = f"""
import smtplib
client = smtplib.SMTP("127.0.0.1", 25)
client.ehlo()
client.mail("someone@example.edu")
print(client.rcpt("{WORLD}")[0])
"""
    assert gateway.box.run("python3", "-I", "-c", script).stdout.strip() == "554"


def test_a_rule_relays_for_its_network(gateway: Lab) -> None:
    with gateway.client(TRUSTED) as client:
        client.sendmail("ann@example.com", [WORLD], b"Subject: to the world\r\n\r\nX\r\n")
    gateway.until_empty()
    assert [one for one in gateway.world.received() if one.recipients == (WORLD,) and b"to the world" in one.content]


@pytest.mark.parametrize("source", [NEIGHBOUR, REJECTED])
def test_a_rule_relays_for_nobody_else(gateway: Lab, source: str) -> None:
    _require_refused(gateway, lambda: gateway.client(source), "ann@example.com", WORLD, "")


def test_a_rule_shuts_a_client_out(gateway: Lab) -> None:
    with gateway.client(REJECTED) as client:
        code, text = client.try_recipient("someone@example.org")
    assert (code, "refused by access rule" in text) == (554, True)


def test_a_forged_source_address_gets_no_connection(gateway: Lab) -> None:
    """A stranger who takes a trusted client's address outside: the answer would go elsewhere."""
    gateway.outside.host(f"{TRUSTED}/32")
    assert not gateway.outside.answers(OUTSIDE_BOX, 25, TRUSTED)
    gateway.outside.ip("address", "del", f"{TRUSTED}/32", "dev", gateway.outside.cable)
    assert gateway.inside.answers(INSIDE_BOX, 25, TRUSTED)
    assert not gateway.desk.answers(INSIDE_BOX, 25, ADMIN)


def _require_refused(gateway: Lab, connect: Callable[[], Client], sender: str, recipient: str, parameters: str) -> None:
    """The attempt ends with 5xx before any content, and nothing waits or is delivered."""
    before = [server.count() for server in gateway.servers]
    with connect() as client:
        answers = [client.say(f"MAIL FROM:<{sender}> {parameters}".rstrip())]
        if answers[0][0] == 250:
            answers.append(client.say(f"RCPT TO:<{recipient}>"))
        answers.append(client.say("DATA"))
    assert all(500 <= code < 560 for code, _ in answers if code != 250), answers
    assert [code for code, _ in answers].count(250) < 2, answers
    assert gateway.queued() == []
    assert [server.count() for server in gateway.servers] == before
