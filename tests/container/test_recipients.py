"""Protected domains: each to its own server, and each recipient asked for there."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.container.box import until
from tests.container.lab import Lab
from tests.container.mailserver import MailServer, Message

_fresh = (f"person-{number}" for number in itertools.count())


def _letter(subject: str) -> bytes:
    return f"Subject: {subject}\r\n\r\nText\r\n".encode()


def _arrived(server: MailServer, subject: str) -> list[Message]:
    return [one for one in server.received() if f"Subject: {subject}\r\n".encode() in one.content]


def test_each_domain_goes_to_its_own_server_and_port(gateway: Lab) -> None:
    gateway.example_com.know_only("ann@example.com")
    places = {
        "example.com": gateway.example_com,
        "example.net": gateway.example_net,
        "example.org": gateway.example_org,
    }
    with gateway.stranger() as client:
        for domain in places:
            client.sendmail("someone@example.edu", f"ann@{domain}", _letter(f"for {domain}"))
    gateway.until_empty()
    for domain, its in places.items():
        assert {server: len(_arrived(server, f"for {domain}")) for server in gateway.servers} == {
            server: int(server is its) for server in gateway.servers
        }


def test_one_message_to_three_domains_is_split(gateway: Lab) -> None:
    gateway.example_com.know_only("ann@example.com")
    everyone = [f"ann@{domain}" for domain in ("example.com", "example.net", "example.org")]
    with gateway.stranger() as client:
        client.sendmail("someone@example.edu", everyone, _letter("for all three"))
    gateway.until_empty()
    servers = (gateway.example_com, gateway.example_net, gateway.example_org)
    found = [_arrived(server, "for all three") for server in servers]
    assert [[one.recipients for one in messages] for messages in found] == [[(who,)] for who in everyone]


def test_an_unknown_recipient_is_refused_by_asking_the_server(gateway: Lab) -> None:
    name = f"{next(_fresh)}@example.com"
    gateway.example_com.know_only("ann@example.com")
    with gateway.stranger() as client:
        code, text = client.try_recipient(name)
        assert code == 550, text
        assert "not confirmed by the mail server of this domain" in text
        assert client.try_recipient("ann@example.com")[0] == 250
    assert name in gateway.example_com.asked


def test_a_new_mailbox_has_its_mail_after_a_minute_at_most(gateway: Lab) -> None:
    assert gateway.box.run("postconf", "-h", "address_verify_negative_expire_time").stdout.strip() == "1m"


def test_without_verification_every_recipient_is_taken_unasked(gateway: Lab) -> None:
    name = f"{next(_fresh)}@example.org"
    with gateway.stranger() as client:
        assert client.try_recipient(name)[0] == 250
    assert name not in gateway.example_org.asked


def test_a_server_that_is_down_defers_and_has_its_mail_when_it_is_back(gateway: Lab) -> None:
    server = gateway.example_net
    known, unasked = f"{next(_fresh)}@example.net", f"{next(_fresh)}@example.net"
    with gateway.stranger() as client:
        assert client.try_recipient(known)[0] == 250
        server.stop()
        try:
            code, text = client.try_recipient(unasked)
            assert 400 <= code < 500, text
            client.say("RSET")
            client.sendmail("someone@example.edu", known, _letter("kept meanwhile"))
            until(lambda: list(gateway.box.var.glob("spool/postfix/deferred/*/*")), "the message in the queue")
            assert gateway.box.run("postern", "status").stdout.count("1 deferred") == 1
        finally:
            server.start()
        gateway.box.run("postqueue", "-f")
        until(lambda: _arrived(server, "kept meanwhile"), "the kept message", gateway.box.tail)
    gateway.until_empty()
    assert len(_arrived(server, "kept meanwhile")) == 1


def test_a_killed_mail_server_loses_no_accepted_mail(gateway: Lab) -> None:
    server = gateway.example_net
    name = f"{next(_fresh)}@example.net"
    with gateway.stranger() as client:
        assert client.try_recipient(name)[0] == 250
        server.stop()
        client.say("RSET")
        client.sendmail("someone@example.edu", name, _letter("over a kill"))
    gateway.box.run("systemctl", "kill", "--signal=KILL", "postfix.service")
    until(lambda: gateway.outside.answers("192.0.2.10", 25), "Postfix again", gateway.box.tail)
    server.start()
    until(lambda: gateway.box.run("postqueue", "-f", check=False).status == 0, "the queue to be asked for")
    until(lambda: _arrived(server, "over a kill"), "the kept message", gateway.box.tail)
    assert len(_arrived(server, "over a kill")) == 1


@pytest.mark.parametrize("name", ["postmaster", "postmaster@mx1.mail.example.org", "abuse@mail.example.org"])
def test_the_boxs_own_postmaster_is_the_one_that_the_settings_name(gateway: Lab, name: str) -> None:
    gateway.example_com.know_only("postmaster@example.com")
    subject = f"to {name}"
    with gateway.stranger() as client:
        for line in ("MAIL FROM:<someone@example.edu>", f"RCPT TO:<{name}>"):
            assert client.say(line)[0] == 250
        client.data(_letter(subject))
    gateway.until_empty()
    assert [one.recipients for one in _arrived(gateway.example_com, subject)] == [("postmaster@example.com",)]


def test_the_server_is_given_the_trace_that_shows_where_it_came_from(gateway: Lab) -> None:
    with gateway.stranger() as client:
        client.sendmail("someone@example.edu", "ann@example.org", _letter("traced"))
    gateway.until_empty()
    (message,) = _arrived(gateway.example_org, "traced")
    assert re.match(
        rb"Received: from client.example.net \(client.example.net \[192.0.2.77\]\).*?by mx1.mail.example.org",
        message.content,
        re.DOTALL,
    )
