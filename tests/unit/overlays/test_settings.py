"""Settings as values: written and read back, their secrets kept, what follows from them."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardware import profile
from hardware.host.run import run
from overlays.admin.settings import AdminSecrets
from overlays.problems import problems
from overlays.settings import (
    Secrets,
    Settings,
    dump_answers,
    dump_secrets,
    factory,
    parse_answers,
    parse_secrets,
    schema,
    secrets_schema,
)

ANSWERS = Path(__file__).parents[2] / "answers"
EXAMPLES = sorted(path for path in ANSWERS.glob("*.yaml") if "secrets" not in path.stem)
PASSWORD = "correct horse battery staple"


def example(name: str) -> Settings:
    return parse_answers((ANSWERS / f"{name}.yaml").read_text(encoding="utf-8"), name)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_dumped_is_what_was_read(path: Path) -> None:
    settings = parse_answers(path.read_text(encoding="utf-8"), path.name)
    assert parse_answers(dump_answers(settings), "again") == settings


def test_secrets_come_back_and_are_never_shown() -> None:
    secrets = parse_secrets(f"format: 1\nadmin: {{password: {PASSWORD}}}\n", "secrets.yaml")
    assert parse_secrets(dump_secrets(secrets), "again") == secrets
    for shown in (repr(secrets), str(secrets), repr(secrets.admin), f"{secrets.admin}", str(secrets.model_dump())):
        assert PASSWORD not in shown


def test_a_password_is_hashed_before_it_is_kept() -> None:
    kept = "$6$salt$" + "x" * 86
    secrets = Secrets(format=1, admin=AdminSecrets.model_validate({"password": PASSWORD}))
    hashed = secrets.hashed(lambda plain: kept if plain == PASSWORD else "")
    assert hashed.shadow_field == kept
    assert PASSWORD not in dump_secrets(hashed)
    assert hashed.hashed(lambda _: pytest.fail("hashed twice")) == hashed
    with pytest.raises(ValueError, match="not hashed"):
        _ = secrets.shadow_field


def test_without_a_password_none_matches() -> None:
    assert Secrets(format=1).shadow_field == "*"


def test_names_are_kept_in_one_form() -> None:
    (bücher, _) = example("gateway-ipv6").domains
    assert bücher.name == "xn--bcher-kva.example"
    assert bücher.names == ("xn--bcher-kva.example", "bücher.example")
    assert bücher.next_hop == "[2001:db8:2::25]:25"


def test_a_protected_local_domain_belongs_to_its_server() -> None:
    assert example("gateway-minimal").own_domains == ("mx1.example.com",)
    assert example("gateway").own_domains == ("mx1.mail.example.org", "mail.example.org")


def test_addresses_by_what_their_ports_let_in() -> None:
    network = example("gateway-ipv6").network
    assert network.allowing("ssh") == (ip_address("172.16.0.1"),)
    assert example("gateway-ipv6").smtp_hosts == ("192.0.2.10", "[2001:db8:1::10]", "[2001:db8:2::1]", "10.0.0.1")
    assert example("gateway-ipv6").smtp_share(64) == 16


def test_the_access_service_is_asked_where_something_is_to_be_decided() -> None:
    plain = example("gateway-minimal")
    judging = plain.model_copy(update={"filtering": example("gateway").filtering})
    ruled = plain.model_copy(update={"access": example("gateway").access})
    for settings, asks in ((plain, False), (judging, True), (ruled, True)):
        assert settings.asks_access is asks
        assert ("policy.sock" in " ".join(settings.relay_checks)) is asks
        assert settings.relay_checks[-1] == "reject_unauth_destination"


def test_one_value_may_stand_for_a_list_of_one() -> None:
    document = yaml.safe_load((ANSWERS / "gateway-minimal.yaml").read_text(encoding="utf-8"))
    document["network"] |= {"gateways": "192.0.2.1", "dns": "192.0.2.53"}
    document["access"] = [{"client": "0.0.0.0/0", "action": "relay", "open_relay": True}]
    settings = parse_answers(yaml.safe_dump(document), "answers.yaml")
    assert settings.network.gateways == (ip_address("192.0.2.1"),)
    assert problems(settings, profile.load("fortimail-100")) == []  # the flag says that it is meant


def test_off_is_not_false() -> None:
    text = "format: 1\nmode: gateway\nnetwork: {ports: {}}\nmailhost: {host_name: a, local_domain: b.example}\n"
    settings = parse_answers(f"{text}domains: [{{name: c.example, server: d.example, verify: off}}]\n", "answers.yaml")
    assert settings.domains[0].verify == "off"


@pytest.mark.parametrize("name", profile.names())
def test_the_factory_decides_nothing_but_a_ping_on_the_first_port(name: str) -> None:
    settings = factory(profile.load(name))
    assert [str(rule.port) for rule in settings.network.accepts] == ["port1", "port1"]
    assert all("icmp" in rule.match for rule in settings.network.accepts)
    assert settings.network.gateways == ()


@pytest.mark.parametrize("document", [schema(), secrets_schema()], ids=["answers", "secrets"])
def test_the_schema_says_what_the_models_say(document: dict[str, Any]) -> None:
    assert document["properties"]["format"]["const"] == 1
    assert document["additionalProperties"] is False


@pytest.mark.parametrize("path", [*EXAMPLES, *ANSWERS.glob("*secrets.yaml")], ids=lambda path: path.stem)
def test_the_schema_takes_the_examples(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(secrets_schema() if "secrets" in path.stem else schema()), encoding="utf-8")
    run([sys.executable, "-m", "check_jsonschema", "--schemafile", file, path])


def test_every_text_in_settings_has_a_type_that_refuses_line_breaks() -> None:
    """A bare `str` in a model would carry anything into a file: every one has a validator of its own."""
    from pydantic import BaseModel

    def bare(model: type[BaseModel], seen: set[type[BaseModel]]) -> list[str]:
        if model in seen:
            return []
        seen.add(model)
        found = []
        for name, field in model.model_fields.items():
            parts = [field.annotation, *_arguments(field.annotation)]
            found += [f"{model.__name__}.{name}" for part in parts if part is str and not field.metadata]
            for part in parts:
                if isinstance(part, type) and issubclass(part, BaseModel):
                    found += bare(part, seen)
        return found

    def _arguments(annotation: Any) -> list[Any]:
        if hasattr(annotation, "__metadata__"):  # Annotated: a checked type, not to be looked into
            return []
        return [deeper for part in getattr(annotation, "__args__", ()) for deeper in (part, *_arguments(part))]

    assert bare(Settings, set()) == []
