"""DKIM: what a protected domain sends to the world is signed by the box; dkimpy verifies it with the published key."""

from __future__ import annotations

from collections.abc import Iterator
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


def record(of: Lab) -> str:
    """What the domain's owner publishes."""
    (key,) = of.box.var.glob("lib/postern/device/dkim/*example.net*")
    public = of.box.run("openssl", "pkey", "-in", "/" + str(Path("var", key.relative_to(of.box.var))), "-pubout").stdout
    return f"v=DKIM1; k=rsa; p={''.join(public.splitlines()[1:-1])}"


def verifies(of: Lab, content: bytes) -> bool:
    (of.folder / "signed").write_bytes(content)
    words = ("-c", _VERIFY, "box._domainkey.example.net.", record(of), host_path(of.folder / "signed"))
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
