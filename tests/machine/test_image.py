"""Nothing in an image is secret or one box's own, and no driver is missing: seen in the files that are flashed."""

from __future__ import annotations

import mmap
import re
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from images import recipe
from images.archive import Archive
from images.recipe import ELEMENTS
from images.steps.layout import layout
from images.tools import Tools

PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}")
# As crypt(5) has them: method, parameters or salt, and at least 22 characters of hash.
PASSWORD_HASH = re.compile(
    rb"\$(?:1|2[aby]|5|6|7|y|gy)\$[./=,A-Za-z0-9]{2,64}\$(?:[./A-Za-z0-9]{2,64}\$)?[./A-Za-z0-9]{22,}"
)
# Published with the programs: what GnuTLS, Dovecot, libcrypt and nettle test themselves with, and what sshd compares
# the password of nobody with.
SELF_TESTS = ("libgnutls.so.30", "libdovecot.so.0")
KNOWN = (b"$2a$00$abcdefgh", b"$2a$10$xxxxxxxx", b"$5$rounds=1000$0123456789abcdef", b"$6$rounds=1000$0123456789abcdef")
# Of hypervisors, servers and small boxes that no twin stands for; and what becomes of ports.
DRIVERS = {
    *("hv_netvsc", "hv_storvsc", "vmw_pvscsi", "vmxnet3", "xen-blkfront", "xen-netfront"),
    *("bnxt_en", "e1000e", "igb", "igc", "ixgbe", "megaraid_sas", "mlx5_core", "mpt3sas", "r8169", "tg3"),
    *("8021q", "bonding", "bridge", "nf_tables"),
}
BLOCK = 1 << 20


@pytest.fixture(scope="module")
def parts(image: Callable[[str], Path], toolbox: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the disk image holds, unpacked: the folders root, boot (slot A) and esp, and the file initrd."""
    folder = tmp_path_factory.mktemp("parts")
    raw, table = folder / "image.raw", layout(recipe.load("appliance").layout)
    toolbox.run("zstd", "--quiet", "-d", image("vm-bios") / "image.raw.zst", "-o", raw)
    for name in ("root", "boot"):
        part = folder / f"{name}.squashfs"
        _cut(raw, table[f"{name}-a"].start, table[f"{name}-a"].bytes, part)
        toolbox.run("unsquashfs", "-quiet", "-no-progress", "-d", folder / name, part)
        part.unlink()
    (folder / "esp").mkdir()
    fat = f"{raw}@@{table['esp'].start}"
    toolbox.run("mcopy", "-s", "-i", fat, "::*", folder / "esp", env={"MTOOLS_SKIP_CHECK": "1"})
    toolbox.run("zstd", "--quiet", "-d", "--rm", folder / "boot/initrd", "-o", folder / "initrd")
    raw.unlink()
    yield folder
    shutil.rmtree(folder)  # 600 MB


def test_no_private_key_is_in_the_image(parts: Path) -> None:
    assert _holding(parts, PRIVATE_KEY) == []
    assert [path.name for path in parts.rglob("ssh_host_*")] == []
    assert list((parts / "root/etc/ssl/private").iterdir()) == []


def test_no_number_of_an_account_was_left_to_chance(parts: Path) -> None:
    """What packages make by themselves is numbered from 100 up, in an order that differs from host to host."""
    fixed = (ELEMENTS / "debian-root/fixed-ids").read_text()
    for name in ("passwd", "group"):
        for row in (parts / "root/etc" / name).read_text().splitlines():
            account, _, number, *_ = row.split(":")
            if 100 < int(number) < 900:
                assert re.search(rf"^(?:user|group) {account} {number}\b", fixed, re.MULTILINE), row


def test_no_password_is_in_the_image(parts: Path) -> None:
    assert _holding(parts, PASSWORD_HASH) == []
    etc = parts / "root/etc"
    for table in ("shadow", "gshadow"):
        assert not (etc / table).exists(), table  # made at each boot: an account without a line there cannot log in
    assert {line.split(":")[1] for line in (etc / "passwd").read_text().splitlines()} == {"x"}


def test_no_identity_is_in_the_image(parts: Path) -> None:
    """A box makes its own machine id, random seed and name; what it writes starts empty."""
    root = parts / "root"
    assert (root / "etc/machine-id").read_bytes() == b""
    assert not (root / "etc/hostname").exists()
    assert [path for path in (root / "var").rglob("*") if path.name != "log"] == []
    assert [path for path in _files(root) if path.name in ("random-seed", "credential.secret")] == []


def test_drivers_that_no_twin_would_miss_are_in_the_image(parts: Path) -> None:
    assert {path.stem for path in (parts / "root/usr/lib/modules").rglob("*.ko")} >= DRIVERS


def test_the_machine_that_built_it_left_no_trace(parts: Path, archive: Archive) -> None:
    """Neither its name nor its mirrors nor its folders stand in what the box reads."""
    home, name = str(Path.home()).encode(), socket.gethostname().encode()
    mirrors = {found.encode() for source in archive.sources for found in re.findall(r"https?://([^/\s]+)", source)}
    words = (
        mirrors | ({home} if len(home) > len("/root") else set()) | ({name} if len(name) > len("localhost") else set())
    )
    where = [parts / "root/etc", parts / "root/usr/lib/postern", parts / "root/usr/lib/systemd", parts / "esp"]
    found = [path for folder in where for path in _files(folder) if any(word in path.read_bytes() for word in words)]
    assert found == []


def _holding(folder: Path, pattern: re.Pattern[bytes]) -> list[str]:
    """Every file below `folder` in which the pattern is found, what is known aside."""
    found = []
    for path in _files(folder):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if any(not match.group().startswith(KNOWN) for match in pattern.finditer(content)):
                found.append(str(path.relative_to(folder)))
    return [name for name in found if not Path(name).name.startswith(SELF_TESTS)]


def _files(folder: Path) -> Iterator[Path]:
    """The regular files below a folder that have content."""
    for path in folder.rglob("*"):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size:
            yield path


def _cut(disk: Path, start: int, size: int, target: Path) -> None:
    with disk.open("rb") as source, target.open("wb") as part:
        source.seek(start)
        while size and (block := source.read(min(BLOCK, size))):
            part.write(block)
            size -= len(block)
