"""What the filter is told about each recipient, and which of its parts run."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from hardware import profile
from overlays.filtering.settings import THRESHOLDS, Antispam
from overlays.overlay import overlays
from overlays.render import render_boot, services
from overlays.settings import Settings, parse_answers

PROFILE = profile.load("fortimail-100")
OFF = {"incoming": {"antispam": "off", "antivirus": False}, "outgoing": {"antivirus": False}}
PARTS = {"valkey-server", "unbound", "clamav-daemon", "clamav-freshclam", "rspamd"}


def settings(filtering: dict[str, Any], domain: dict[str, Any] | None = None, dns: bool = True) -> Settings:
    document = {
        "format": 1,
        "mode": "gateway",
        "network": {"ports": {"port1": {"addresses": ["192.0.2.10/24"]}}, "dns": ["192.0.2.53"] if dns else []},
        "mailhost": {"host_name": "mx1", "local_domain": "example.org"},
        "domains": [
            {"name": "example.com", "server": "192.0.2.25", "filtering": domain or {}},
            {"name": "bücher.example", "server": "192.0.2.25"},
        ],
        "filtering": filtering,
    }
    return parse_answers(yaml.safe_dump(document, allow_unicode=True), "answers.yaml")


def policy(of: Settings) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_boot(of, None, PROFILE)["etc/postern/filtering.json"].text)
    return found


def parts(of: Settings) -> set[str]:
    return {service.unit.rpartition(".")[0] for service in services(of)} & PARTS


def test_without_a_word_mail_is_filtered() -> None:
    told = policy(settings({}))
    assert told["domains"]["example.com"]["antivirus"] is True
    assert (told["domains"]["example.com"]["tag"], told["domains"]["example.com"]["reject"]) == (6, 15)
    assert (told["outgoing"]["tag"], told["outgoing"]["antivirus"]) == (None, True)


def test_a_domain_is_known_in_every_form_of_its_name() -> None:
    assert set(policy(settings({}))["domains"]) == {"example.com", "xn--bcher-kva.example", "bücher.example"}


def test_a_domain_goes_its_own_way_where_it_says_so() -> None:
    told = policy(settings({"incoming": {"antispam": "high", "reject": False}}, {"antispam": "off", "reject": True}))
    assert told["domains"]["example.com"]["tag"] is None
    assert told["domains"]["bücher.example"]["tag"] == THRESHOLDS[Antispam.HIGH].tag
    assert told["domains"]["bücher.example"]["reject"] is None


def test_stricter_levels_have_lower_thresholds() -> None:
    tags = [THRESHOLDS[level].tag or 0 for level in (Antispam.LOW, Antispam.MEDIUM, Antispam.HIGH)]
    assert tags == sorted(tags, reverse=True)
    for level in (Antispam.LOW, Antispam.MEDIUM, Antispam.HIGH):
        scores = THRESHOLDS[level]
        assert (scores.greylist or 0) < (scores.tag or 0) < (scores.reject or 0)


def test_greylisting_can_be_switched_off() -> None:
    assert policy(settings({}))["domains"]["example.com"]["greylist"] == 4
    assert policy(settings({"greylisting": {"enabled": False}}))["domains"]["example.com"]["greylist"] is None


def test_senders_are_told_apart() -> None:
    told = policy(settings({"block": ["x@EXAMPLE.edu", "bücher.example", "192.0.2.1", "2001:db8::/32"]}))
    assert told["block"] == {
        "addresses": ["x@example.edu"],
        "domains": ["xn--bcher-kva.example", "bücher.example"],
        "networks": ["192.0.2.1/32", "2001:db8::/32"],
    }


@pytest.mark.parametrize(
    ("filtering", "domain", "running"),
    [
        (OFF, {}, set()),
        ({}, {}, PARTS - {"clamav-freshclam"}),
        (OFF, {"antivirus": True}, {"clamav-daemon", "rspamd", "unbound"}),
        (OFF, {"dkim": "box"}, {"rspamd", "unbound"}),
        ({"definitions": {"source": "official"}}, {}, PARTS),
    ],
)
def test_only_what_is_needed_runs(filtering: dict[str, Any], domain: dict[str, Any], running: set[str]) -> None:
    of = settings(filtering, domain)
    assert parts(of) == running
    milters = [
        line for line in render_boot(of, None, PROFILE)["etc/postfix/main.cf"].text.splitlines() if "_milters" in line
    ]
    assert milters == [f"smtpd_milters = {'inet:127.0.0.1:11332' if running else ''}"]


def test_without_name_servers_there_is_no_resolver() -> None:
    assert "unbound" not in parts(settings({}, dns=False))


def test_conditions_of_services_are_properties() -> None:
    named = [service.when for overlay in overlays().values() for service in overlay.services if service.when]
    assert named
    for name in named:
        assert isinstance(getattr(settings({}), name), bool)
