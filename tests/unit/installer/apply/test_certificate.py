"""Certificates that cannot be the box's, each with its sentence: openssl's own, made here."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from installer.apply import certificate, device
from installer.apply.certificate import Pair
from installer.apply.places import Places
from tests.authority import DAYS, WEAK, Authority, Signed

NAME = "mx1.example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Signed:
    return authority.sign(NAME)


def complaints(chain: str, key: str, now: datetime | None = None, name: str = NAME) -> list[str]:
    return [problem.message for problem in certificate.problems(Pair(chain, key), name, now)]


def test_a_good_one(authority: Authority, own: Signed) -> None:
    assert complaints(own.text, own.key) == []
    assert complaints(own.text + authority.between.text, own.key) == []
    assert complaints(own.text + authority.between.text + authority.root.text, own.key) == []


def test_what_it_says(authority: Authority, own: Signed) -> None:
    said = certificate.read(own.text)
    assert (said.subject, said.issuer, said.names) == (f"CN={NAME}", "CN=One between", (NAME,))
    assert timedelta(days=DAYS - 1) < said.ends - datetime.now(UTC) <= timedelta(days=DAYS)


def test_a_star_stands_for_one_label(authority: Authority) -> None:
    star = authority.sign("*.example.org")
    assert complaints(star.text, star.key) == []
    (wrong,) = complaints(star.text, star.key, name="mx1.mail.example.org")
    assert wrong == "is for *.example.org, and the box is mx1.mail.example.org"


def test_another_key(authority: Authority, own: Signed) -> None:
    other = authority.sign(NAME)
    assert complaints(own.text, other.key) == ["the private key is that of another certificate"]
    assert complaints(own.text, other.key.replace("M", "N")) == ["its private key cannot be read by openssl"]


def test_the_wrong_way_round(authority: Authority, own: Signed) -> None:
    said = complaints(authority.between.text + own.text, own.key)
    assert said == [
        f"is for no name, and the box is {NAME}",
        "the key is that of certificate 2",
        "certificate 1 (CN=One between) is not signed by certificate 2",
    ]


def test_one_left_out(authority: Authority, own: Signed) -> None:
    said = complaints(own.text + authority.root.text, own.key)
    assert said == [f"certificate 1 (CN={NAME}) is not signed by certificate 2"]


def test_too_late_and_too_early(authority: Authority, own: Signed) -> None:
    late = datetime.now(UTC) + timedelta(days=DAYS + 1)
    assert complaints(own.text, own.key, late) == [f"certificate 1 ended on {certificate.read(own.text).ends:%Y-%m-%d}"]
    early = datetime(2020, 1, 1, tzinfo=UTC)
    (said,) = complaints(own.text, own.key, early)
    assert said.endswith("and it is 2020-01-01")


def test_too_weak(authority: Authority) -> None:
    weak = authority.sign(NAME, kind=WEAK)
    assert complaints(weak.text, weak.key) == ["certificate 1 is too weak: its key or its signature's hash"]


def test_what_only_looks_like_one(own: Signed) -> None:
    broken = own.text.replace("M", "N")
    assert complaints(broken, own.key) == ["certificate 1 cannot be read by openssl"]


def test_what_an_authority_gave_is_not_believed(authority: Authority, own: Signed, tmp_path: Path) -> None:
    places = Places(tmp_path)
    chain, key = places.acme / NAME / "cert.pem", places.acme / "private" / NAME / "key.pem"
    for path, text in ((chain, own.text + authority.between.text), (key, own.key)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert certificate.given(places, NAME) == Pair(own.text + authority.between.text, own.key)
    elsewhere = tmp_path / "elsewhere"
    chain.rename(elsewhere)
    with pytest.raises(Refused, match="cannot be read"):
        certificate.given(places, NAME)
    chain.symlink_to(elsewhere)
    with pytest.raises(Refused, match="cannot be read"):
        certificate.given(places, NAME)
    chain.unlink()
    os.mkfifo(chain)
    with pytest.raises(Refused, match="cannot be read"):
        certificate.given(places, NAME)
    chain.unlink()
    chain.write_text("nonsense")
    with pytest.raises(Refused, match="ACME: is not a certificate in PEM form"):
        certificate.given(places, NAME)


def test_an_authoritys_certificate_is_shown_for_its_name_alone(own: Signed, tmp_path: Path) -> None:
    places, pair = Places(tmp_path), Pair(own.text, own.key)
    made = places.device / "certificate/made"
    made.mkdir(parents=True)  # as the box's openssl would; this machine's may be older
    (made / "name").write_text(NAME)
    device.ensure(places, NAME)
    assert (device.take(places, pair, NAME), device.take(places, pair, NAME)) == (True, False)
    assert (device.source(places), (places.device / "tls/cert.pem").read_text()) == ("acme", own.text)
    assert not device.ensure(places, NAME, acme=True)
    assert device.ensure(places, NAME)
    assert device.source(places) == "made"
    device.take(places, pair, "mx2.example.org")
    assert device.ensure(places, NAME, acme=True)
    assert [path.name for path in made.parent.iterdir()] == ["made"]
