"""Virus definitions from files, with ClamAV's own sigtool, clamscan and clamd. Sets that ClamAV has signed cannot be
made here; that sigtool's yes is enough is shown in the unit lane, with a program that says it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import until
from tests.container.lab import Lab, lab
from tests.container.test_filtering import FILTERING, attached, delivered, dns, letter, send
from tests.peers import Peers

MARK = b"postern own signature"
OWN = f"Mine.Test:0:*:{MARK.hex()}\n"
HEAD = "ClamAV-VDB:24 Nov 2026 09-00 +0000:27000:2000000:90:{}:{}:builder:1795000000"


@pytest.fixture(scope="module")
def scanning(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box whose definitions change."""
    with lab(root, peers, FILTERING, "vd") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


def put(of: Lab, name: str, content: str | bytes) -> str:
    path = of.box.path(f"/tmp/{name}")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return f"/tmp/{name}"


def refusal(of: Lab, *words: str) -> str:
    """The one line that a refusal is."""
    said = of.box.run("postern", "definitions", *words, check=False)
    assert said.status == 2, said
    (line,) = said.stderr.splitlines()
    return line


def there(of: Lab) -> set[str]:
    return {path.name for path in (of.box.var / "lib/clamav").iterdir() if not path.name.startswith("freshclam")}


@pytest.mark.parametrize("digest", ["0" * 32, "d41d8cd98f00b204e9800998ecf8427e"], ids=["damaged", "not signed"])
def test_what_clamav_has_not_signed_is_refused(scanning: Lab, digest: str) -> None:
    """A head that can be read, over content with another digest, or with a digest that nobody has signed."""
    before = there(scanning)
    file = put(scanning, "daily.cvd", HEAD.format(digest, "c2lnbmF0dXJl").ljust(512).encode())
    hint = "fetch it again from ClamAV or from your mirror"
    assert refusal(scanning, file) == f"{file}: is damaged, or not signed by ClamAV ({hint})"
    assert there(scanning) == before == {"postern-test.hdb", "postern-test.ndb"}


def test_what_the_scanner_could_not_load_is_refused(scanning: Lab) -> None:
    file = put(scanning, "mine.ndb", "no:signature:at:all\n")
    assert f"{file}: cannot be loaded" in refusal(scanning, "--unsigned", file)
    assert send(scanning, letter("scanned as before").as_bytes()) == "250"
    delivered(scanning, "scanned as before")


def test_ones_own_are_scanned_for_at_once_and_not_after_they_are_gone(scanning: Lab) -> None:
    file = put(scanning, "mine.ndb", OWN)
    assert "is not signed by ClamAV (if it is your own, --unsigned" in refusal(scanning, file)
    said = scanning.box.run("postern", "definitions", "--unsigned", file).stdout
    assert "mine.ndb taken " in said
    message = attached("a mark of ours", b"so " + MARK + b".", "mark.bin")
    until(lambda: "virus found: Mine.Test.UNOFFICIAL" in send(scanning, message), "the set to be loaded")
    told = json.loads(scanning.box.run("postern", "definitions", "--json").stdout)
    assert told["source"] == "files that `postern definitions FILE` takes"
    assert [(one["name"], one["signatures"], one["signed"]) for one in told["sets"]] == [("mine.ndb", 1, False)]
    scanning.box.run("postern", "definitions", "--remove", "mine.ndb")
    until(lambda: send(scanning, message) == "250", "the set to be gone")


def test_nobodys_files_are_read_with_roots_eyes(scanning: Lab) -> None:
    """What sudo's caller may not open, the command does not open for him."""
    secret = put(scanning, "main.cvd", "secret")
    scanning.box.run("chmod", "0600", secret)
    said = scanning.box.run("sudo", "-u", "admin", "/usr/bin/postern", "definitions", secret, check=False)
    assert (said.status, said.stderr) == (2, f"{secret}: cannot be copied: Permission denied\n")
