"""What becomes of a message for each of its recipients."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from hardware.parts import OperationMode
from overlays.quarantine import policy as policies
from overlays.quarantine.policy import (
    SYSTEM,
    Decision,
    DomainPolicy,
    Judgement,
    Kind,
    Origin,
    Personal,
    Policy,
    Senders,
    SpamAction,
    Way,
    decide,
)

POLICY = Policy(
    mode=OperationMode.GATEWAY,
    fqdn="mx1.mail.example.org",
    web="https://mx1.mail.example.org/quarantine/",
    domains={
        "example.com": DomainPolicy(threshold=5),
        "example.net": DomainPolicy(threshold=10, spam=SpamAction.SUBJECT),
        "example.org": DomainPolicy(threshold=5, spam=SpamAction.HEADER),
        "off.example": DomainPolicy(antivirus=False),
    },
    others=DomainPolicy(threshold=7),
)
NOBODY = Origin()
EVE = Origin(("bounce@lists.example", "eve@outside.example"), ip_address("192.0.2.7"))
DELIVER = Decision(Way.DELIVER)
VIRUS = Decision(Way.KEEP, SYSTEM, Kind.VIRUS)


@pytest.mark.parametrize(
    ("recipient", "score", "decision"),
    [
        ("ann@example.com", 4.99, DELIVER),
        ("ann@example.com", 5, Decision(Way.KEEP, "ann@example.com")),
        ("Ann@EXAMPLE.com", 5, Decision(Way.KEEP, "ann@example.com")),
        ("ann@example.net", 9.9, DELIVER),
        ("ann@example.net", 10, Decision(Way.MARK_SUBJECT)),
        ("ann@example.org", 99, Decision(Way.MARK_HEADER)),
        ("ann@off.example", 999, DELIVER),
        ("ann@sub.example.com", 6.9, DELIVER),
        ("ann@sub.example.com", 7, Decision(Way.KEEP, SYSTEM, Kind.BULK)),
        ("ann@outside.example", 7, Decision(Way.KEEP, SYSTEM, Kind.BULK)),
        ("Postern-SelfTest@example.com", 99, Decision(Way.DROP)),
        ("postern-selftest@selftest.invalid", 0, Decision(Way.DROP)),
        ("postern-selftests@example.com", 99, Decision(Way.KEEP, "postern-selftests@example.com")),
    ],
)
def test_score_against_the_recipients_own_threshold(recipient: str, score: float, decision: Decision) -> None:
    assert decide(POLICY, Judgement(score), NOBODY, recipient) == decision


def test_whom_a_recipient_welcomes_is_delivered_but_no_virus() -> None:
    wanted = Personal(welcome=["eve@outside.example"])
    assert decide(POLICY, Judgement(99), EVE, "ann@example.com", wanted) == DELIVER
    assert decide(POLICY, Judgement(99), EVE, "ann@example.com", Personal(welcome=["outside.example"])) != DELIVER
    assert decide(POLICY, Judgement(99, virus=True), EVE, "ann@example.com", wanted) == VIRUS


def test_whom_a_recipient_blocks_is_kept_whatever_the_score() -> None:
    blocked = Personal(block=["bounce@lists.example"])
    assert decide(POLICY, Judgement(-9), EVE, "ann@example.com", blocked) == KEPT
    assert decide(POLICY, Judgement(-9), EVE, "ann@off.example", blocked) == Decision(Way.KEEP, "ann@off.example")
    assert decide(POLICY, Judgement(-9), EVE, "ann@example.net", blocked) == Decision(Way.MARK_SUBJECT)
    assert decide(POLICY, Judgement(-9), EVE, "ann@example.com", Personal(block=["lists.example"])) == DELIVER


def test_a_virus_is_the_administrators_unless_nobody_looks_for_any() -> None:
    assert decide(POLICY, Judgement(0, virus=True), NOBODY, "ann@example.net") == VIRUS
    assert decide(POLICY, Judgement(0, virus=True), NOBODY, "ann@outside.example") == VIRUS
    assert decide(POLICY, Judgement(0, virus=True), NOBODY, "ann@off.example") == DELIVER


EVES = Senders(addresses=("eve@outside.example",))
WHOLE = Senders(domains=("outside.example",))
NETWORK = Senders(networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
LIKES, HATES = Personal(welcome=EVES.addresses), Personal(block=EVES.addresses)
KEPT = Decision(Way.KEEP, "ann@example.com")


@pytest.mark.parametrize(
    ("system", "domain", "personal", "score", "decision"),
    [
        ({"welcome": WHOLE, "block": EVES}, {"block": EVES}, HATES, 99, DELIVER),
        ({"block": NETWORK}, {"welcome": EVES}, LIKES, 0, KEPT),
        ({}, {"welcome": NETWORK, "block": NETWORK}, HATES, 99, DELIVER),
        ({}, {"block": WHOLE}, LIKES, 0, KEPT),
        ({}, {}, LIKES, 99, DELIVER),
        ({}, {}, HATES, 0, KEPT),
        ({}, {}, Personal(EVES.addresses, EVES.addresses), 99, DELIVER),
        ({}, {}, Personal(), 99, KEPT),
    ],
)
def test_lists_in_their_order(
    system: dict[str, Senders], domain: dict[str, Senders], personal: Personal, score: float, decision: Decision
) -> None:
    changed = POLICY.domains["example.com"].model_copy(update=domain)
    policy = POLICY.model_copy(update={**system, "domains": {"example.com": changed}})
    assert decide(policy, Judgement(score), EVE, "ann@example.com", personal) == decision


@pytest.mark.parametrize("address", ["ann@example.com", "a.n_n+x=y-z@mail.example.com", "0@xn--bcher-kva.example"])
def test_an_address_has_a_mailbox_of_its_own(address: str) -> None:
    assert POLICY.owner_of(address.upper()) == address


@pytest.mark.parametrize(
    "address",
    [
        *("..@example.com", "a..b@example.com", ".a@example.com", "a/b@example.com", "a*b@example.com", "ann", ""),
        *("a@../etc", "a@example.com/..", '"a b"@example.com', "a@b@example.com", "a\0b@example.com"),
        *("bücher@example.com", "a@[192.0.2.1]"),
    ],
)
def test_what_cannot_name_a_folder_is_kept_for_the_administrator(address: str) -> None:
    assert POLICY.owner_of(address) == SYSTEM


def test_the_rendered_policy_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.json"
    path.write_text(POLICY.model_dump_json())
    assert policies.load(path) == POLICY
