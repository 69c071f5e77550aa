"""DKIM records: the domain's owner gets a line for the zone, and hears whether DNS has it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from installer.apply import device
from installer.apply.places import Places
from installer.box import dkim
from installer.box.dkim import Published
from overlays.settings import Signature

SIGNED = Signature("example.com", "box")


def test_the_line_holds_the_key_in_strings_that_fit(tmp_path: Path) -> None:
    places = Places(tmp_path)
    device.ensure_dkim(places, [SIGNED.file])
    asked: list[str] = []

    def lookup(name: str) -> tuple[str, ...]:
        asked.append(name)
        return ()

    (one,) = dkim.records(places, (SIGNED,), lookup)
    assert asked == [one.name] == ["box._domainkey.example.com"]
    assert one.published is Published.MISSING
    assert one.value.startswith("v=DKIM1; k=rsa; p=MII")
    name, clas, kind, _, *strings, _ = shlex.split(one.zone)
    assert (name, clas, kind, "".join(strings)) == ("box._domainkey.example.com.", "IN", "TXT", one.value)
    assert [len(string) <= 255 for string in strings] == [True, True]


def test_a_key_that_is_not_made_yet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"example.com has no key yet \(`postern apply` makes it\)"):
        list(dkim.records(Places(tmp_path), (SIGNED,), lambda _: ()))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, Published.UNKNOWN),
        ((), Published.MISSING),
        (("v=DKIM1; k=rsa; p=AbC",), Published.RIGHT),
        (("p=Ab C;",), Published.RIGHT),
        (("v=DKIM1; k=rsa; p=abc",), Published.OTHER),
        (("v=DKIM1; k=rsa; p=",), Published.OTHER),
        (("v=DKIM1; k=ed25519; p=AbC",), Published.OTHER),
        (("v=DKIM1; k=rsa; p=AbC", "v=DKIM1; k=rsa; p=AbC"), Published.OTHER),
    ],
)
def test_what_dns_has_is_compared_as_a_verifier_reads_it(found: tuple[str, ...] | None, said: Published) -> None:
    assert dkim.compare("v=DKIM1; k=rsa; p=AbC", found) is said
