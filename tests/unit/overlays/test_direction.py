"""Incoming or outgoing, at both levels."""

from __future__ import annotations

import pytest

from overlays.direction import Direction, of_connection, of_message

SERVERS = {"192.0.2.25", "2001:db8:1::25"}
DOMAINS = {"example.com", "xn--bcher-kva.example"}


@pytest.mark.parametrize(
    ("destination", "direction"),
    [
        ("192.0.2.25", Direction.INCOMING),
        ("2001:db8:1::25", Direction.INCOMING),
        ("192.0.2.26", Direction.OUTGOING),
    ],
)
def test_a_connections_destination_decides(destination: str, direction: Direction) -> None:
    assert of_connection(destination, SERVERS) is direction


@pytest.mark.parametrize(
    ("domain", "direction"),
    [
        ("example.com", Direction.INCOMING),
        ("EXAMPLE.com", Direction.INCOMING),
        ("xn--bcher-kva.example", Direction.INCOMING),
        ("sub.example.com", Direction.OUTGOING),
        ("outside.example", Direction.OUTGOING),
        ("", Direction.OUTGOING),
    ],
)
def test_a_recipients_domain_decides(domain: str, direction: Direction) -> None:
    assert of_message(domain, DOMAINS) is direction


@pytest.mark.parametrize(
    ("destination", "domain"), [("192.0.2.25", "outside.example"), ("192.0.2.26", "example.com")], ids=["in", "out"]
)
def test_the_levels_can_differ(destination: str, domain: str) -> None:
    assert of_connection(destination, SERVERS) is not of_message(domain, DOMAINS)
