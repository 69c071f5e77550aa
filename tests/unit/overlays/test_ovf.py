"""The form of an OVF package, and the answer file that the box makes of what was typed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.host.errors import Refused
from overlays import ovf
from overlays.problems import problems
from overlays.settings import dump_answers, parse_answers, parse_secrets
from tests.ovf import TYPED, environment

ANSWERS = Path(__file__).parents[2] / "answers"


def refusal(**typed: str) -> list[str]:
    with pytest.raises(Refused) as refused:
        ovf.read(environment(**typed), "ovf-env.xml")
    return str(refused.value).splitlines()


def in_base64(name: str) -> str:
    return base64.b64encode((ANSWERS / name).read_bytes()).decode()


def test_the_form_makes_an_answer_file_without_problems() -> None:
    assert set(TYPED) == {one.key for one in ovf.PROPERTIES}
    typed = ovf.read(environment(**TYPED), "ovf-env.xml")
    assert typed
    settings, secrets = parse_answers(typed.answers, "a"), parse_secrets(typed.secrets.decode(), "s")
    assert list(problems(settings, profiles.load("vmware"), "a", secrets)) == []
    assert [str(one) for one in settings.network.dns] == ["192.0.2.53", "192.0.2.54"]
    assert settings.mailhost.fqdn == "mx1.mail.example.org"
    assert [str(domain.server) for domain in settings.domains] == ["192.0.2.25"]
    assert secrets.shadow_field == TYPED["password_hash"]


@pytest.mark.parametrize("one", [one for one in ovf.PROPERTIES if one.path], ids=lambda one: str(one.key))
def test_every_property_leads_to_a_setting(one: ovf.Property) -> None:
    """A wrong value is refused at the path that the property names, so the path is one of the settings'."""
    typed = ovf.read(environment(**(TYPED | {one.key: "?? wrong"})), "ovf-env.xml")
    assert typed
    with pytest.raises(Refused) as refused:
        parse_secrets(typed.secrets.decode(), "s") if one.secret else parse_answers(typed.answers, "a")
    found = [problem.path for problem in refused.value.problems]
    assert any(path.startswith(one.path) or one.path.startswith(path) for path in found), found


def test_whole_files_go_in_base64() -> None:
    typed = ovf.read(environment(answers=in_base64("gateway.yaml"), secrets=in_base64("secrets.yaml")), "ovf-env.xml")
    assert typed
    assert typed.secrets == (ANSWERS / "secrets.yaml").read_bytes()
    same = parse_answers((ANSWERS / "gateway.yaml").read_text(), "a")
    assert dump_answers(parse_answers(typed.answers, "b")) == dump_answers(same)


def test_a_form_that_stayed_empty_is_none() -> None:
    assert ovf.read(environment(**dict.fromkeys(TYPED, "")), "ovf-env.xml") is None
    assert ovf.read(environment(), "ovf-env.xml") is None


def test_every_problem_at_once() -> None:
    typed = {
        "hostname": "mx1",
        "answers": "format: 1",
        "domain": "example.com",
        "secrets": "Zg==",
        "password_hash": "x",
    }
    assert refusal(**typed) == [
        "ovf-env.xml: postern.hostname: is not a property (did you mean host_name?)",
        "ovf-env.xml: postern.answers: stands in place of what is set too: domain (one or the other)",
        "ovf-env.xml: postern.secrets: stands in place of what is set too: password_hash (one or the other)",
        "ovf-env.xml: postern.answers: is not a file in base64 (`base64 -w0 answers.yaml` makes it)",
    ]
    assert refusal(password_hash="x") == [
        "ovf-env.xml: postern.password_hash: alone sets nothing up (the settings are missing, or an answer file)"
    ]


@pytest.mark.parametrize("text", ["", "no XML", "<Environment>"])
def test_what_is_no_environment(text: str) -> None:
    with pytest.raises(Refused, match=r"^ovf-env.xml: is not XML: "):
        ovf.read(text, "ovf-env.xml")
