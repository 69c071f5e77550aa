"""The certificate that the box shows: its own until another one is given, the same for web and mail, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hardware.host import run
from hardware.host.run import Completed
from tests.authority import RSA, WEAK, Authority, Signed
from tests.container.box import Box, box
from tests.container.network import Segment, segments
from tests.peers import Peers

NAME = "mx1.example.org"
ADDRESS, HERE = "192.0.2.10", "192.0.2.77"
PASSWORD = "Wren-builds~31-low"
ANSWERS = """
format: 1
mode: gateway
network:
  ports:
    port1: {addresses: [192.0.2.10/24], allow: [ping, smtp, https]}
mailhost: {host_name: mx1, local_domain: example.org}
domains:
  - {name: example.com, server: 192.0.2.25}
"""
SHOWN = {"web": ("443",), "mail": ("25", "-starttls", "smtp")}


@pytest.fixture(scope="module")
def net() -> Iterator[Segment]:
    with segments(1, "ce") as nets:
        yield nets[0]


@pytest.fixture(scope="module")
def fresh(root: Path, net: Segment) -> Iterator[Box]:
    """A box of its own in service; the tests here are its life, in their order."""
    with box(root, [net]) as made:
        made.start({"postern.answers": ANSWERS, "postern.secrets": f"format: 1\nadmin: {{password: {PASSWORD}}}\n"})
        net.host(f"{HERE}/24")
        yield made
        made.require_well(PASSWORD, "PRIVATE KEY")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Signed:
    return authority.sign(NAME, kind=RSA)


def shown(peers: Peers, net: Segment) -> dict[str, str]:
    """What web and mail server show: the text of all their certificates, in one line."""
    said = {}
    for what, (port, *words) in SHOWN.items():
        argv = ["openssl", "s_client", "-showcerts", "-connect", f"{ADDRESS}:{port}", *words]
        done = run.run(peers.command(*argv, namespace=net.namespace), stdin="", check=False, timeout=30)
        blocks = done.stdout.split("-----BEGIN CERTIFICATE-----\n")[1:]
        said[what] = "".join(block.partition("-----END CERTIFICATE-----")[0] for block in blocks)
    return said


def bodies(*texts: str) -> str:
    """Certificates without the lines around them, as `shown` gives them."""
    return "".join(line + "\n" for text in texts for line in text.splitlines() if "-----" not in line)


def take(of: Box, chain: str, key: str) -> Completed:
    of.path("run/own.pem").write_text(chain)
    of.path("run/own.key").write_text(key)
    return of.run("postern", "certificate", "import", "/run/own.pem", "/run/own.key", check=False)


def status(of: Box) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(of.run("postern", "status", "--json").stdout)
    return found


def made_here(of: Box) -> str:
    return of.path("var/lib/postern/device/certificate/made/cert.pem").read_text()


def test_at_first_it_is_the_boxs_own(fresh: Box, peers: Peers, net: Segment) -> None:
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(made_here(fresh)))
    found = status(fresh)["certificate"]
    assert (found["source"], found["names"]) == ("made", [NAME])


def test_what_cannot_be_shown_is_refused(fresh: Box, authority: Authority, own: Signed) -> None:
    before = status(fresh)["generation"]
    other, weak = authority.sign("mail.example.net"), authority.sign(NAME, kind=WEAK)
    for chain, key, sentence in (
        (own.text, other.key, "web.certificate: the private key is that of another certificate"),
        (other.text, other.key, "web.certificate: is for mail.example.net, and the box is mx1.example.org"),
        (authority.between.text + own.text, own.key, "web.certificate: the key is that of certificate 2"),
        (weak.text, weak.key, "web.certificate: certificate 1 is too weak"),
        (own.key, own.key, "web.certificate: holds a private key"),
        (own.text, own.text, "web.key: is not one private key"),
    ):
        refused = take(fresh, chain, key)
        assert refused.status == 2
        assert sentence in refused.stderr
    assert status(fresh)["generation"] == before


def test_another_one_is_shown_by_all(fresh: Box, peers: Peers, net: Segment, authority: Authority, own: Signed) -> None:
    done = take(fresh, own.text + authority.between.text, own.key)
    assert done.status == 0, done.stderr
    _, _, reloaded = done.stdout.partition("reloaded ")
    assert {"nginx", "postfix"} <= set(re.findall(r"\w+", reloaded))
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(own.text, authority.between.text))
    found = status(fresh)["certificate"]
    assert (found["source"], found["names"], found["days_left"]) == ("own", [NAME], 89)


def test_its_key_is_seen_nowhere(fresh: Box, own: Signed) -> None:
    secret = own.key.splitlines()[3]
    assert secret not in fresh.run("postern", "settings", "show").stdout
    said = fresh.run(
        "grep", "-rls", "--exclude-dir=proc", secret, "/etc", "/run", "/var/lib", "/tmp", check=False
    ).stdout
    kept = {path for path in said.split() if path != "/run/own.key"}
    assert {path.rpartition("/")[2] for path in kept} == {"key.pem", "secrets.yaml"}
    modes = fresh.run("stat", "-Lc", "%a %U:%G", *sorted(kept)).stdout.split("\n")
    assert set(filter(None, modes)) == {"640 root:proxy", "600 root:root"}


def test_it_is_shown_after_a_restart(fresh: Box, peers: Peers, net: Segment, own: Signed, authority: Authority) -> None:
    fresh.stop()
    fresh.start()
    net.host(f"{HERE}/24")  # the cable is a new one
    fresh.run("systemctl", "is-system-running", "--wait", check=False)
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(own.text, authority.between.text))


def test_the_way_back(fresh: Box, peers: Peers, net: Segment) -> None:
    fresh.run("postern", "certificate", "remove")
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(made_here(fresh)))
    assert [path.name for path in fresh.path("var/lib/postern/device/certificate").iterdir()] == ["made"]
    again = fresh.run("postern", "certificate", "remove", check=False)
    assert (again.status, "nothing to remove" in again.stderr) == (2, True)


def test_another_key_of_its_own_making(fresh: Box, peers: Peers, net: Segment) -> None:
    before = made_here(fresh)
    said = fresh.run("postern", "certificate", "renew").stdout
    assert "made by the box itself" in said
    assert made_here(fresh) != before
    assert shown(peers, net) == dict.fromkeys(SHOWN, bodies(made_here(fresh)))
