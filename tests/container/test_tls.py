"""Encryption wherever the other side has it."""

from __future__ import annotations

import ssl

import pytest

from hardware.host import run
from tests.container.client import NAME
from tests.container.lab import OUTSIDE_BOX, Lab


def _swaks(gateway: Lab, *words: str) -> str:
    argv = gateway.peers.command(
        "swaks",
        *("--server", OUTSIDE_BOX, "--ehlo", NAME, "--from", "someone@example.edu", "--header", *words),
        namespace=gateway.outside.namespace,
    )
    return run.run(argv, timeout=60).stdout


def test_a_client_that_asks_for_it_is_encrypted(gateway: Lab) -> None:
    said = _swaks(gateway, "Subject: in by TLS", "--to", "ann@example.org", "--tls")
    assert "TLS started with cipher TLSv1.3" in said
    assert "CN=mx1.mail.example.org" in said.replace(" ", "").replace('"', "")
    gateway.until_empty()
    (message,) = (one for one in gateway.example_org.received() if b"in by TLS" in one.content)
    assert b"using TLSv1.3" in message.content


def test_a_client_that_does_not_is_served_as_well(gateway: Lab) -> None:
    _swaks(gateway, "Subject: in without TLS", "--to", "ann@example.org")
    gateway.until_empty()
    assert [one for one in gateway.example_org.received() if b"in without TLS" in one.content]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_protocol_is_refused(gateway: Lab, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    client = gateway.stranger()
    with pytest.raises(ssl.SSLError):
        client.starttls(context=context)
    client.close()


def test_a_server_that_has_it_is_sent_to_encrypted(gateway: Lab) -> None:
    gateway.example_com.know_only("ann@example.com")
    with gateway.stranger() as client:
        everyone = ["ann@example.com", "ann@example.org"]
        client.sendmail("someone@example.edu", everyone, b"Subject: out\r\nX-Case: out by TLS\r\n\r\nX\r\n")
    gateway.until_empty()
    encrypted = [
        one.tls
        for server in (gateway.example_com, gateway.example_org)
        for one in server.received()
        if b"out by TLS" in one.content
    ]
    assert encrypted == [True, False]
