"""What the proxy reads of its rendered configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hardware.host import documents
from hardware.host.errors import Refused
from overlays.transparent.proxy import Configuration
from overlays.transparent.rules import Limits, Starttls
from overlays.transparent.scan import Scanner, Spam, Unfiltered

RENDERED = Path(__file__).parents[3] / "golden/transparent/etc/postern/proxy.yaml"
TEXT = RENDERED.read_text(encoding="utf-8")


def test_what_the_example_renders_to_is_understood() -> None:
    found = documents.read(RENDERED, Configuration)
    assert found.servers == {"192.0.2.25": Starttls.TERMINATE, "2001:db8:1::25": Starttls.PASS}
    assert found.judge == Scanner("filter.mail.example.org", found.spam, Spam.QUARANTINE, "[SPAM]")


def test_where_nobody_filters_nothing_is_asked() -> None:
    found = documents.parse(TEXT.replace("filter: true", "filter: false"), "proxy.yaml", Configuration)
    assert isinstance(found.judge, Unfiltered)


def test_limits_are_the_protocols_unless_a_test_shortens_them() -> None:
    assert documents.read(RENDERED, Configuration).limits == Limits()
    short = documents.parse(f"{TEXT}\nlimits: {{command: 1}}\n", "proxy.yaml", Configuration)
    assert short.limits == replace(Limits(), command=1)
    with pytest.raises(Refused):
        documents.parse(f"{TEXT}\nlimits: {{patience: 1}}\n", "proxy.yaml", Configuration)


@pytest.mark.parametrize(("right", "wrong"), [("sessions:", "sessios:"), (": pass,", ": pas,")])
def test_one_misspelt_word_is_refused(right: str, wrong: str) -> None:
    assert right in TEXT
    with pytest.raises(Refused):
        documents.parse(TEXT.replace(right, wrong), "proxy.yaml", Configuration)
