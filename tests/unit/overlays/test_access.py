"""Access rules: patterns, the order of rules, the answers to Postfix, and that no rule opens the relay by accident."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from overlays.access.pattern import Pattern
from overlays.access.policy import SEPARATELY, Policy, Rules
from overlays.access.settings import AccessRule, problems, relaying

MATCHES = [
    ("*", "ann@example.com", True),
    ("*", "", True),
    ("*@example.com", "ann@example.com", True),
    ("*@example.com", "Ann@EXAMPLE.com", True),
    ("*@example.com", "ann@example.com.evil.example", False),
    ("*@example.com", "ann@mail.example.com", False),
    ("*@*example.com", "ann@mail.example.com", True),
    ("ann@example.com", "joann@example.com", False),
    ("?nn@example.com", "ann@example.com", True),
    ("?nn@example.com", "nn@example.com", False),
    ("a.n@example.com", "axn@example.com", False),
    ("a+b(c)[d]{2}|^$\\@example.com", "a+b(c)[d]{2}|^$\\@example.com", True),
    ("<>", "<>", True),
    ("*@bücher.example", "ann@BÜCHER.example", True),
    ("*@example.com", "ann\n@example.com", True),
    ("ann@example.com", "ann@example.com\n", False),
]
EXPRESSIONS = [
    (r"(ann|bob)@example\.com", "bob@example.com", True),
    (r"(ann|bob)@example\.com", "BOB@Example.COM", True),
    (r"ann@example\.com", "joann@example.com", False),
    (r"ann@example\.com", "ann@example.com.evil.example", False),
    (r"ann|bob@example\.com", "ann", True),
    (r"ann|bob@example\.com", "ann@elsewhere.example", False),
    (r"[^@]+@([a-z0-9-]+\.)*example\.com", "x@a.b.example.com", True),
    (r".*", "<>", True),
]
HOSTILE = [r"(a+)+", r"(a|a)*", r"(a|aa)+b", r"(.*a){20}", r"(\w+\s?)+!", r"((a?){0,99}){0,9}b", r".*.*.*.*.*x"]
WRONG_EXPRESSIONS = {
    "(ann": "'(ann' is not a regular expression: unclosed group",
    "a)|(b": "'a)|(b' is not a regular expression: unopened group",
    r"(?=ann)x": "look-around, including look-ahead and look-behind, is not supported",
    r"(a)\1": "backreferences are not supported",
    "a{1000}": "'a{1000}' counts beyond 99, which would be slow",
    "(((a{99}){99}){99}){99}": "ompiled regex exceeds size limit",
    "[z-a]": "invalid character class range",
    "a" * 201: "is longer than 200 characters",
    "a\nb": "holds the control character U+000A",
    " ": "is empty: such as *@example.com is right",
}


@pytest.mark.parametrize(("pattern", "text", "expected"), MATCHES)
def test_stars_and_question_marks(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern=pattern).matches(text) is expected


@pytest.mark.parametrize(("pattern", "text", "expected"), EXPRESSIONS)
def test_a_regular_expression_is_about_the_whole_text(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern=pattern, regex=True).matches(text) is expected


@pytest.mark.parametrize("pattern", HOSTILE)
def test_no_text_makes_a_match_slow(pattern: str) -> None:
    """Each of these takes Python's own engine longer than the universe has."""
    made = Pattern(pattern=pattern, regex=True)
    began = time.perf_counter()
    made.matches("a" * 2000 + "!")
    Pattern(pattern="*a*a*a*a*a*a*a*a*b").matches("a" * 2000)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("pattern", WRONG_EXPRESSIONS)
def test_a_wrong_expression_gets_its_sentence(pattern: str) -> None:
    with pytest.raises(ValidationError, match=".") as raised:
        Pattern(pattern=pattern, regex=True)
    assert WRONG_EXPRESSIONS[pattern] in str(raised.value)


# The rules of the table below, which has for each case what is not as in USUAL, and the answer's first word.
RULES = """
format: 1
rules:
  - {sender: "*@spam.example", action: reject}
  - {client: 10.0.0.99, action: reject}
  - {recipient: "*@void.example.com", action: discard}
  - sender: {pattern: '(news|list)-\\d+@partner\\.example', regex: true}
    reverse_dns: "*.partner.example"
    action: bypass
  - {client: 10.0.1.0/24, tls: no, action: reject}
  - {client: [10.0.0.0/24, "2001:db8:2::/64"], sender: "*@example.com", action: relay}
  - {authentication: authenticated, tls: yes, recipient: "*@archive.example", action: bypass}
  - {authentication: authenticated, sender: "<>", action: reject}
  - {authentication: "not", reverse_dns: unknown, recipient: "vip@example.com", action: reject}
  - {recipient: "*@bücher.example", action: relay, open_relay: true}
  - {client: 10.0.0.0/16, recipient: "?*@example.org", action: bypass}
"""
USUAL = {
    "instance": "1.1.1",
    "client_address": "192.0.2.77",
    "client_name": "unknown",
    "client_port": "40000",
    "sender": "someone@example.edu",
    "recipient": "ann@example.com",
    "sasl_username": "",
    "encryption_protocol": "",
}
TAKE, RELAY, BYPASS, REJECT, DISCARD = "access_take", "access_relay", "access_bypass", "REJECT", "access_discard"
LOGGED_IN, TLS, INSIDE = {"sasl_username": "ann"}, {"encryption_protocol": "TLSv1.3"}, {"client_address": "10.0.0.5"}
PARTNER = {"client_name": "mx.partner.example"}
OURS = INSIDE | {"sender": "ann@example.com"}
DECISIONS: list[tuple[dict[str, str], str]] = [
    ({}, TAKE),
    ({"recipient": "victim@outside.example"}, TAKE),  # Postfix's guard refuses it
    ({"sender": ""}, TAKE),
    ({"sender": "x@spam.example"}, REJECT),
    ({"sender": "X@SPAM.Example"}, REJECT),
    ({"sender": "x@spam.example.org"}, TAKE),
    ({"sender": "spam.example"}, TAKE),
    ({"sender": "x@spam.example"} | LOGGED_IN, REJECT),
    ({"client_address": "10.0.0.99"}, REJECT),
    ({"client_address": "10.0.0.99", "sender": "ann@example.com"}, REJECT),
    ({"recipient": "x@void.example.com"}, DISCARD),
    ({"recipient": "x@void.example.com", "client_address": "10.0.0.99"}, REJECT),
    ({"recipient": "x@void.example.com"} | OURS, DISCARD),
    ({"recipient": "x@sub.void.example.com"}, TAKE),
    ({"sender": "news-12@partner.example"} | PARTNER, BYPASS),
    ({"sender": "news-@partner.example"} | PARTNER, TAKE),
    ({"sender": "old-news-12@partner.example"} | PARTNER, TAKE),
    ({"sender": "news-12@partner.example.com"} | PARTNER, TAKE),
    ({"sender": "news-12@partner.example"}, TAKE),
    ({"sender": "news-12@partner.example", "client_name": "partner.example"}, TAKE),
    ({"sender": "news-12@partner.example", "client_name": "mx.partner.example.net"}, TAKE),
    ({"client_address": "10.0.1.1"}, REJECT),
    ({"client_address": "10.0.1.1"} | TLS, TAKE),
    ({"client_address": "10.0.1.1", "recipient": "ann@example.org"} | TLS, BYPASS),
    (OURS, RELAY),
    (OURS | {"recipient": "victim@outside.example"}, RELAY),
    (INSIDE, TAKE),
    (INSIDE | {"sender": ""}, TAKE),
    (OURS | {"client_address": "10.0.2.5"}, TAKE),
    (OURS | {"client_address": "2001:db8:2::5"}, RELAY),
    (OURS | {"client_address": "IPv6:2001:db8:2::5"}, RELAY),
    (OURS | {"client_address": "2001:db8:3::5"}, TAKE),
    (LOGGED_IN | TLS | {"recipient": "x@archive.example"}, BYPASS),
    (LOGGED_IN | {"recipient": "x@archive.example"}, TAKE),
    (TLS | {"recipient": "x@archive.example"}, TAKE),
    (LOGGED_IN | {"sender": ""}, REJECT),
    (LOGGED_IN | {"sender": "ann@example.com"}, TAKE),
    ({"recipient": "vip@example.com"}, REJECT),
    ({"recipient": "vip@example.com"} | PARTNER, TAKE),
    ({"recipient": "vip@example.com"} | LOGGED_IN, TAKE),
    ({"recipient": "ann@bücher.example"}, RELAY),
    ({"recipient": "ann@xn--bcher-kva.example"}, RELAY),
    ({"recipient": "ann@BÜCHER.example"}, RELAY),
    ({"recipient": "ann@bucher.example"}, TAKE),
    (INSIDE | {"recipient": "ann@example.org"}, BYPASS),
    (INSIDE | {"recipient": "@example.org"}, TAKE),
    (INSIDE | {"recipient": "postmaster"}, TAKE),
    ({"recipient": "ann@example.org"}, TAKE),
    ({"recipient": '"victim@outside.example"@example.com'}, TAKE),
    ({"sender": "\udcff\x00@x"}, TAKE),
]


def policy(rules: str = RULES) -> Policy:
    return Policy(Rules.model_validate(yaml.safe_load(rules)).rules)


@pytest.mark.parametrize(("differs", "answer"), DECISIONS, ids=[str(number) for number in range(len(DECISIONS))])
def test_the_first_rule_that_matches_decides(differs: dict[str, str], answer: str) -> None:
    assert policy().answer(USUAL | differs).split()[0] == answer


def test_without_rules_nobody_may_more_than_postfix_lets_everyone() -> None:
    assert policy("format: 1").answer(USUAL | OURS | LOGGED_IN) == TAKE


def test_recipients_of_one_message_that_are_decided_otherwise_come_separately() -> None:
    """A discard or a header holds for a whole message in Postfix: it must not reach recipients that it is not for."""
    asked = policy()
    void, refused = {"recipient": "x@void.example.com"}, {"sender": "x@spam.example"}
    assert asked.answer(USUAL).split()[0] == TAKE
    assert asked.answer(USUAL | void) == SEPARATELY
    assert asked.answer(USUAL) == "access_none"  # the header is there already
    assert asked.answer(USUAL | refused).startswith("REJECT")
    later = {"instance": "1.1.2"}
    assert asked.answer(USUAL | void | later).split()[0] == DISCARD
    assert asked.answer(USUAL | later) == SEPARATELY
    assert asked.answer(USUAL | void | later) == "DUNNO"
    trusted = {"instance": "1.1.3"} | OURS
    assert [asked.answer(USUAL | trusted) for _ in range(3)] == [RELAY, "DUNNO", "DUNNO"]


def test_only_so_many_transactions_are_remembered() -> None:
    asked = policy()
    for number in range(5000):
        asked.answer(USUAL | {"instance": f"1.1.{number}"})
    assert asked.answer(USUAL | {"instance": "1.1.4999"}) == "access_none"
    assert asked.answer(USUAL | {"instance": "1.1.0"}) == TAKE


@pytest.mark.parametrize("missing", ["client_address", "sender", "recipient", "instance"])
def test_a_question_that_lacks_something_gets_no_answer(missing: str) -> None:
    with pytest.raises(KeyError):
        policy().answer({name: value for name, value in USUAL.items() if name != missing})


def rule(**settings: Any) -> AccessRule:
    return AccessRule.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "networks"),
    [
        ({"client": "10.0.0.0/24", "action": "relay"}, ["10.0.0.0/24"]),
        ({"client": "10.0.0.0/24", "action": "bypass"}, ["10.0.0.0/24"]),
        ({"client": "10.0.0.0/24", "action": "reject"}, []),
        ({"client": "10.0.0.0/24", "action": "discard"}, []),
        ({"client": "10.0.0.0/24", "authentication": "authenticated", "action": "relay"}, []),
        ({"client": "0.0.0.0/0", "authentication": "authenticated", "action": "relay"}, []),
        ({"client": ["0.0.0.0/0", "10.0.0.0/24"], "action": "bypass"}, ["10.0.0.0/24"]),
        ({"sender": "*@example.com", "action": "bypass"}, []),
        ({"sender": "*@example.com", "action": "relay", "open_relay": True}, ["0.0.0.0/0", "::/0"]),
        ({"client": "0.0.0.0/1", "action": "relay", "open_relay": True}, ["0.0.0.0/1"]),
    ],
)
def test_postfix_itself_knows_whom_rules_let_send_to_everywhere(settings: dict[str, Any], networks: list[str]) -> None:
    assert [str(network) for network in relaying((rule(**settings),))] == networks


HIDDEN: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"client": "10.0.0.0/24"}, {"client": "10.0.0.5"}, True),
    ({"client": "10.0.0.0/24"}, {"client": "10.0.0.5", "sender": "a@example.com"}, True),
    ({"client": "10.0.0.0/24", "sender": "a@example.com"}, {"client": "10.0.0.5"}, False),
    ({"client": "10.0.0.0/24"}, {"sender": "a@example.com"}, False),
    ({"sender": "a@example.com"}, {"sender": "a@example.com"}, True),
    ({"sender": "a@example.com"}, {"sender": "a@example.com", "tls": "yes"}, True),
    ({"sender": "a@example.com", "tls": "yes"}, {"sender": "a@example.com"}, False),
    ({"sender": "a@example.com"}, {"recipient": "a@example.com"}, False),
    ({"tls": "no"}, {"tls": "yes"}, False),
]


@pytest.mark.parametrize(("earlier", "later", "hidden"), HIDDEN)
def test_a_rule_that_never_decides_is_a_problem(earlier: dict[str, Any], later: dict[str, Any], hidden: bool) -> None:
    found = list(problems((rule(**earlier, action="reject"), rule(**later, action="discard"))))
    assert bool(found) is hidden
    assert all("is decided by an earlier rule, number 1" in one.message for one in found)
