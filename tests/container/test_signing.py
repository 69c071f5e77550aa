"""DKIM: what a protected domain sends to the world is signed by the box; dkimpy verifies it with the published key."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hardware.host import run
from tests.container.box import until
from tests.container.lab import TRUSTED, Lab, lab
from tests.container.test_filtering import FILTERING, delivered, dns, letter, send
from tests.peers import Peers
from tests.peers import inside as host_path

# In place of the name server is the record itself: the peers' tree has no resolver of this network.
_VERIFY = """
import dkim, sys
name, record, path = sys.argv[1:]
records = {name.encode(): record.encode()}
print(dkim.verify(open(path, "rb").read(), dnsfunc=lambda asked, timeout=5: records.get(asked)))
"""


@pytest.fixture(scope="module")
def signing(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box that signs for example.net, with the selector `box`."""
    with lab(root, peers, FILTERING, "dk") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


def told(of: Lab) -> dict[str, str]:
    """What the box says of the record that example.net's owner publishes."""
    (one,) = json.loads(of.box.run("postern", "dkim", "--json").stdout)
    return {str(name): str(value) for name, value in one.items()}


def verifies(of: Lab, content: bytes) -> bool:
    (of.folder / "signed").write_bytes(content)
    words = ("-c", _VERIFY, "box._domainkey.example.net.", told(of)["value"], host_path(of.folder / "signed"))
    return run.run(of.peers.command("python3", *words)).stdout.strip() == "True"


def test_what_the_domain_sends_to_the_world_is_signed(signing: Lab) -> None:
    message = letter("signed", sender="cid@example.net").as_bytes()
    said = send(signing, message, "bob@outside.example", sender="cid@example.net", client=signing.client(TRUSTED))
    assert said == "250"
    (content,) = delivered(signing, "signed")
    assert b" d=example.net;" in content
    assert verifies(signing, content)
    assert not verifies(signing, content.replace(b"Good morning", b"Bad morning"))


@pytest.mark.parametrize(
    ("sender", "subject"), [("ann@example.com", "of another domain"), ("cid@example.net", "forged")]
)
def test_nothing_else_is_signed(signing: Lab, sender: str, subject: str) -> None:
    """Not for a domain that does not want it, and not what a stranger says that the domain has sent."""
    client = signing.client(TRUSTED) if sender == "ann@example.com" else signing.stranger()
    recipient = "bob@outside.example" if sender == "ann@example.com" else "ann@example.com"
    assert send(signing, letter(subject, sender=sender).as_bytes(), recipient, sender=sender, client=client) == "250"
    (content,) = delivered(signing, subject)
    assert b"DKIM-Signature" not in content


@contextmanager
def name_server(of: Lab, address: str, *strings: str) -> Iterator[None]:
    """The box asks another name server, which has one TXT record."""
    asked = of.box.path("etc/resolv.conf")
    before = asked.read_text()
    argv = of.peers.command(
        *("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--group=root", "--pid-file="),
        *(f"--listen-address={address}", "--bind-interfaces", "--local=/#/"),
        "--txt-record=" + ",".join(("box._domainkey.example.net", *strings)),
        namespace=of.outside.namespace,
    )
    of.outside.host(f"{address}/24")
    with run.spawn(argv, log=of.folder / "dkim-dns.log"):
        until(lambda: of.outside.answers(address, 53), "the name server", (of.folder / "dkim-dns.log").read_text)
        asked.write_text(f"nameserver {address}\n")
        try:
            yield
        finally:
            asked.write_text(before)


def test_the_record_is_told_with_what_dns_says_of_it(signing: Lab) -> None:
    one = told(signing)
    assert (one["name"], one["type"], one["published"]) == ("box._domainkey.example.net", "TXT", "missing")
    assert "example.net is NOT PUBLISHED" in signing.box.run("postern", "dkim").stdout
    # As a zone file has it: the strings between quotes are the value.
    name, _, kind, _, *strings, _ = shlex.split(one["zone"])
    assert (name, kind, "".join(strings)) == (f"{one['name']}.", "TXT", one["value"])
    with name_server(signing, "192.0.2.54", *strings):
        assert told(signing)["published"] == "right"
        assert "example.net is published\n" in signing.box.run("postern", "dkim").stdout
    with name_server(signing, "192.0.2.55", "v=DKIM1; p=MIIBIjAN"):
        assert told(signing)["published"] == "other"


def test_dns_that_does_not_answer_is_no_answer(signing: Lab) -> None:
    asked = signing.box.path("etc/resolv.conf")
    before = asked.read_text()
    asked.write_text("nameserver 192.0.2.99\n")
    try:
        assert told(signing)["published"] == "unknown"
    finally:
        asked.write_text(before)
