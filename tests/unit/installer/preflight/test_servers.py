"""A server that is silent is waited for once, whatever the number of its domains: each would wait as long."""

from __future__ import annotations

import smtplib
import socket
from itertools import chain
from unittest import mock

import pytest

from installer.preflight import servers
from overlays.settings import Settings, parse_answers

ANSWERS = """
format: 1
mode: gateway
network: {ports: {port1: {addresses: [192.0.2.10/24], allow: [smtp]}}}
mailhost: {host_name: mx1, local_domain: example.org}
domains: [{name: example.com, server: 192.0.2.25}, {name: example.net, server: 192.0.2.25}]
"""


def protecting(host: str, port: int) -> Settings:
    """Settings with that server, which may be this host: no answer file may say so."""
    made = parse_answers(ANSWERS, "answers")
    domains = tuple(one.model_copy(update={"server": host, "port": port}) for one in made.domains)
    return made.model_copy(update={"domains": domains})


def test_a_silent_server_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        where = full.getsockname()
        with socket.create_connection(where):  # nobody takes it: there is no room for another one
            connect = mock.patch.object(smtplib.SMTP, "connect", autospec=True, side_effect=smtplib.SMTP.connect)
            with connect as asked:
                found = list(chain.from_iterable(servers.protected(protecting(*where))))
    assert [one.about.partition(" ")[0] for one in found] == ["example.com", "example.net"]
    assert {one.said for one in found} == {"does not answer: timed out"}
    assert asked.call_count == 1
