"""A backup of one box, restored onto another: the same /etc to the byte, the same keys, nothing readable on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, box, until
from tests.container.lab import PASSWORD, Lab
from tests.container.network import segments

PASSPHRASE = "seven wrens sing at dusk"
OWN = {"etc/machine-id"}  # what is the box's and not the settings'


@pytest.fixture(scope="module")
def fresh(root: Path) -> Iterator[Box]:
    """A box that nobody has set up."""
    with segments(4, "bk") as nets, box(root, nets) as made:
        made.start(stage="factory")
        yield made
        made.require_well(PASSWORD, PASSPHRASE)


def everything(of: Box, folder: str) -> dict[str, tuple[int, int, int, str]]:
    """Of each file its mode, owner, group, and the digest of what it holds or where it leads."""
    top = of.path(folder)
    found = {}
    for path in sorted(top.rglob("*")):
        name = f"{folder}/{path.relative_to(top)}"
        if name in OWN or (path.is_dir() and not path.is_symlink()):
            continue
        status = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        found[name] = (status.st_mode, status.st_uid, status.st_gid, hashlib.sha256(content).hexdigest())
    return found


def test_it_makes_another_box_the_same(gateway: Lab, fresh: Box) -> None:
    said = gateway.box.run("postern", "backup", "/run/gw.backup", stdin=f"{PASSPHRASE}\n").stdout
    assert "Not in it: mail, queue, quarantine" in said
    data = gateway.box.path("run/gw.backup").read_bytes()
    for hidden in (PASSPHRASE.encode(), b"PRIVATE KEY", b"$6$", b"example.com"):
        assert hidden not in data
    fresh.path("run/gw.backup").write_bytes(data)
    wrong = fresh.run("postern", "restore", "/run/gw.backup", "--yes", stdin="another passphrase\n", check=False)
    assert (wrong.status, fresh.stage) == (2, "factory")
    assert "cannot be opened" in wrong.stderr
    said = fresh.run("postern", "restore", "/run/gw.backup", "--yes", stdin=f"{PASSPHRASE}\n").stdout
    assert "The box has the keys of the backup" in said
    assert fresh.stage == "in-service"
    assert everything(fresh, "etc") == everything(gateway.box, "etc")
    assert everything(fresh, "var/lib/postern/device") == everything(gateway.box, "var/lib/postern/device")


def test_the_keys_are_in_use(gateway: Lab, fresh: Box) -> None:
    """SSH shows the host key, mail the certificate, that the first box has."""

    def shown(of: Box) -> tuple[str, str]:
        keys = of.run("ssh-keyscan", "-t", "ed25519", "127.0.0.1").stdout
        words = ("openssl", "s_client", "-connect", "127.0.0.1:25", "-starttls", "smtp", "-showcerts")
        certificate = of.run(*words, stdin="", check=False).stdout
        return keys, certificate.partition("-----BEGIN")[2].partition("-----END")[0]

    until(lambda: shown(fresh) == shown(gateway.box), "the same keys", lambda: shown(fresh))
    assert all(shown(fresh))
