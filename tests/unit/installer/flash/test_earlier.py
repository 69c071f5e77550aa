"""An installation over an earlier one: what is told of it, when its data can be kept, and that it stays then.

Tables as sfdisk and systemd-repart make them, and GRUB's squashfs, are in tests/machine/test_medium.py.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

import build
from hardware.host import files, run
from hardware.host.errors import Refused
from hardware.host.log import Steps
from installer.flash import commands, earlier, image, machine, mark, receipt, table
from installer.flash.disk import Disk
from installer.flash.place import Here
from installer.flash.target import Target, Wanted
from tests.unit.installer.flash.conftest import MIB, Lsblk, image_of, noise

SLOTS = {"esp": (1, 2), "boot-a": (2, 3), "root-a": (3, 10), "boot-b": (10, 11), "root-b": (11, 15)}  # MiB
IMAGE, DISK, ROOT = 16 * MIB, 40 * MIB, 9  # the image's last MiB, with its table's copy, is where a box's data begins
DATA = (15 * MIB, DISK - 40 * table.SECTOR)
VAR = UUID("4d21b016-b534-45c2-a9fb-5c16e091fd2d")
PLAIN = UUID(int=0xA)


def gpt(size: int, parts: dict[str, tuple[int, int]], disk: int = 1) -> tuple[bytes, bytes]:
    """What lies at the start and at the end of a disk with these partitions (first byte, and the one behind)."""
    entries = b""
    for number, (name, (first, end)) in enumerate(parts.items(), 1):
        kind, own = (VAR if name == "data" else PLAIN).bytes_le, UUID(int=number).bytes_le
        place = struct.pack("<QQQ", first // table.SECTOR, end // table.SECTOR - 1, 0)
        entries += kind + own + place + name.encode("utf-16-le").ljust(72, b"\0")
    entries = entries.ljust(128 * 128, b"\0")
    last = size // table.SECTOR - 1

    def header(here: int, other: int, at: int) -> bytes:
        def with_sum(crc: int) -> bytes:
            lead = struct.pack("<8sIII4x", b"EFI PART", 0x10000, 92, crc)
            places = struct.pack("<QQQQ", here, other, 34, last - 33)
            rest = struct.pack("<16sQIII", UUID(int=disk).bytes_le, at, 128, 128, zlib.crc32(entries))
            return lead + places + rest

        return with_sum(zlib.crc32(with_sum(0))).ljust(table.SECTOR, b"\0")

    boot = bytes(510) + b"\x55\xaa"
    return boot + header(1, last, 2) + entries, entries + header(last, 1, last - 32)


def slots(**other: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return {name: (first * MIB, end * MIB) for name, (first, end) in (SLOTS | other).items()}


def content() -> bytes:
    """An image: table at both ends, its loader's program, a root."""
    start, end = gpt(IMAGE, slots())
    made = bytearray(IMAGE)
    made[: len(start)], made[-len(end) :] = start, end
    made[: table.CODE] = noise(1)[: table.CODE]
    made[3 * MIB : ROOT * MIB] = noise(ROOT - 3)
    return bytes(made)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_of(content(), tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk that a box lived on: an older image, and a data partition (ext4)."""
    made, tree = tmp_path_factory.mktemp("used"), tmp_path_factory.mktemp("var")
    generation = tree / "lib/postern/generations/0007"
    generation.mkdir(parents=True)
    (tree / "lib/postern/current").symlink_to("generations/0007")
    (generation / "settings.yaml").write_text("mailhost:\n  host_name: mx1\n  local_domain: mail.example.org\n")
    (tree / "spool").mkdir()
    (tree / "spool/mail").write_bytes(noise(2))
    path = made / "sdx"
    with path.open("wb") as file:
        file.truncate(DISK)
        file.write(noise(15))
        lie(file.fileno(), slots() | {"data": DATA})
        file.seek(2 * MIB)  # GRUB's squashfs, as far as it is looked at
        text = b'set version="1.1.0"\nset arguments="postern.profile=vm-bios quiet"\n'
        file.write((b"hsqs".ljust(40, b"\0") + struct.pack("<Q", 2 * MIB)).ljust(MIB - 9, b"\1") + text)
    words = ("-E", f"offset={DATA[0]}", "-d", tree, path, f"{(DATA[1] - DATA[0]) >> 10}k")
    run.run(["mkfs.ext4", "-q", "-F", "-b", "4096", *words])
    return path


def lie(handle: int, parts: dict[str, tuple[int, int]], size: int = DISK, disk: int = 1) -> None:
    """Put a table onto a disk."""
    start, end = gpt(size, parts, disk)
    os.pwrite(handle, start, 0)
    os.pwrite(handle, end, size - len(end))


@pytest.fixture
def disk(used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    copy = tmp_path / "disks/sdx"
    copy.parent.mkdir()
    run.run(["cp", "--sparse=always", used, copy])
    return copy


def flash(folder: Path, disk: Path, *words: str) -> receipt.Facts:
    made = disk.with_name("receipt.json")
    argv = ["flash", str(folder), str(disk), "--yes", "--serial", disk.name, "--receipt", str(made), *words]
    assert commands.flash(build.parser().parse_args(argv)) == 0
    return receipt.verified(made, receipt.public_key(receipt.default_key()))


def refusal(folder: Path, disk: Path, *words: str) -> str:
    before = files.digest(disk)
    with pytest.raises(Refused) as refused:
        flash(folder, disk, *words)
    assert files.digest(disk) == before
    return str(refused.value)


def data(disk: Path) -> bytes:
    return disk.read_bytes()[DATA[0] : DATA[1]]


def whole(disk: Path, before: bytes) -> None:
    """The image is there, and the data, and a table at both ends that tells of both."""
    now, new = disk.read_bytes(), content()
    assert now[table.BYTES : DATA[0]] == new[table.BYTES : DATA[0]]
    assert now[: table.CODE] == new[: table.CODE]
    assert now[DATA[0] : DATA[1]] == before[DATA[0] : DATA[1]]
    start, end = gpt(DISK, slots() | {"data": DATA})
    assert now[table.CODE : len(start)] == start[table.CODE :]
    assert now[-len(end) :] == end
    assert now[DATA[1] : -len(end)] == bytes(DISK - DATA[1] - len(end))


def test_the_data_stays_and_all_else_is_the_images(
    folder: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = disk.read_bytes()
    facts = flash(folder, disk, "--keep-data")
    whole(disk, before)
    assert facts.result == "written and read back; the data partition was kept"
    said = capsys.readouterr().out
    assert f"{disk} has Postern 1.2.3 for fortimail-100, and its data as before; the receipt is" in said
    assert "on it:   Postern 1.1.0 for vm-bios with settings and mail of mx1.mail.example.org" in said


def test_what_is_there_is_told_also_to_scripts(
    folder: Path, disk: Path, lsblk: Lsblk, capsys: pytest.CaptureFixture[str]
) -> None:
    lsblk(disk)
    assert commands.flash(build.parser().parse_args(["flash", str(folder), "--json"])) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["earlier"] == {"version": "1.1.0", "profile": "vm-bios", "host": "mx1.mail.example.org", "problem": ""}


def test_a_script_has_to_say_what_becomes_of_the_data(folder: Path, disk: Path) -> None:
    assert refusal(folder, disk) == (
        f"{disk}: holds settings and mail of mx1.mail.example.org "
        "(--keep-data keeps them, --overwrite-data agrees to losing them)"
    )
    before = data(disk)
    assert flash(folder, disk, "--overwrite-data").result == receipt.WRITTEN
    assert disk.read_bytes()[:IMAGE] == content()
    assert data(disk) != before
    assert not earlier.look(disk, DISK, image.load(folder).table)
    assert "holds no earlier installation's data (leave out --keep-data)" in refusal(folder, disk, "--keep-data")


def test_a_person_is_told_what_will_be_lost_and_what_stays(
    folder: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    for words, said in (
        ([], f"Everything on {disk} will be lost, settings and mail of mx1.mail.example.org too."),
        (["--keep-data"], "Its data partition stays: settings and mail of mx1.mail.example.org."),
    ):
        with pytest.raises(Refused, match="not confirmed"):
            commands.flash(build.parser().parse_args(["flash", str(folder), str(disk), *words]))
        assert said in capsys.readouterr().out


Layout = dict[str, tuple[int, int]]
OTHERS: dict[str, tuple[Layout, str]] = {
    "moved": (
        slots(**{"boot-b": (10, 12), "root-b": (12, 15)}) | {"data": DATA},
        "its partition boot-b has 2 MiB at 10, and the image's has 1 MiB at 10",
    ),
    "fewer": (
        {name: place for name, place in slots().items() if name != "boot-a"} | {"data": DATA},
        "it has no partition boot-a, and the image has one",
    ),
    "more": (
        slots() | {"data": (DATA[0], 30 * MIB), "music\x1b[2J": (30 * MIB, 40 * MIB - MIB)},
        r"it has a partition 'music\x1b[2J', which the image does not know",
    ),
    "inside": (
        slots() | {"data": (14 * MIB, DATA[1])},
        "its data partition has 25 MiB at 14, which lies outside of what is left of the disk",
    ),
    "behind": (
        slots() | {"data": (DATA[0], 80 * MIB)},
        "its data partition has 65 MiB at 15, which lies outside of what is left of the disk",
    ),
}


@pytest.mark.parametrize(("parts", "reason"), OTHERS.values(), ids=OTHERS)
def test_beside_other_partitions_nothing_is_kept(folder: Path, disk: Path, parts: Layout, reason: str) -> None:
    with disk.open("r+b") as file:
        lie(file.fileno(), parts)
    hint = "(save what is on it, then --overwrite-data)"
    assert refusal(folder, disk, "--keep-data") == f"{disk}: its data cannot be kept: {reason} {hint}"
    with pytest.raises(Refused, match="its data cannot be kept"):  # whoever writes looks again
        Here().write(image.load(folder), Target(disk, None, DISK), "", Steps(4), keep=True)


def test_a_disk_of_others_has_nothing_of_ours(folder: Path, disk: Path) -> None:
    with disk.open("r+b") as file:
        lie(file.fileno(), slots() | {"data": DATA}, disk=2)
    assert "holds no earlier installation's data" in refusal(folder, disk, "--keep-data")


def test_a_damaged_table_is_no_table(folder: Path, disk: Path) -> None:
    start = disk.read_bytes()[: table.BYTES]
    for place in (table.SECTOR, table.SECTOR + 30, 2 * table.SECTOR + 5):
        damaged = bytearray(start)
        damaged[place] ^= 1
        assert table.parse(bytes(damaged)) is None
    assert table.parse(start[:-1]) is None


def test_a_disk_that_was_made_larger_keeps_its_data(folder: Path, disk: Path) -> None:
    """The copy of the table stays where the table says it is; the box's next start moves it."""
    before = disk.read_bytes()
    with disk.open("r+b") as file:
        file.truncate(DISK + 8 * MIB)
    flash(folder, disk, "--keep-data")
    now = disk.read_bytes()
    assert now[DATA[0] : DISK] == before[DATA[0] :]
    assert earlier.look(disk, len(now), image.load(folder).table)


def tear(number: int, half: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Let the power go in the write with this number, of which one half arrives; whether there was such a write."""
    done = [0]
    through = Disk.write

    def until(disk: Disk, at: int, block: memoryview) -> None:
        done[0] += 1
        if done[0] == number:
            middle = len(block) // 2 // table.SECTOR * table.SECTOR
            through(disk, at + half * middle, block[middle:] if half else block[:middle])
            raise OSError(errno.EIO, "the power went")
        through(disk, at, block)

    monkeypatch.setattr(Disk, "write", until)
    return lambda: done[0] >= number


@pytest.mark.parametrize("half", [0, 1])
def test_whenever_the_power_goes_the_data_is_there_and_the_next_run_keeps_it(
    folder: Path, used: Path, disk: Path, half: int
) -> None:
    """Each write of a run is torn once. The disk says that it is not finished unless it is as before, or as to be."""
    before, after, found = used.read_bytes(), content(), image.load(folder)

    def keep() -> None:
        Here().write(found, Target(disk, None, DISK), "an image", Steps(4), keep=True)

    for number in range(1, 100):
        run.run(["cp", "--sparse=always", used, disk])
        with pytest.MonkeyPatch.context() as patch:
            torn = tear(number, half, patch)
            with suppress(Refused):
                keep()
        if not torn():
            break
        now = disk.read_bytes()
        assert now[DATA[0] : DATA[1]] == before[DATA[0] : DATA[1]]
        assert mark.read(disk) or now[MIB : DATA[0]] in (before[MIB : DATA[0]], after[MIB : DATA[0]])
        there = earlier.look(disk, DISK, found.table)
        assert there
        assert (there.host, there.problem) == ("mx1.mail.example.org", "")
        keep()
        whole(disk, before)
    assert number > 5


def test_what_is_not_finished_says_whose_data_it_has(folder: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tear(4, 0, monkeypatch)
    assert "the power went" in refusal_of_a_torn_run(folder, disk)
    (one,) = machine.look(disk, Wanted(IMAGE, None, image.load(folder).table)).candidates
    assert one.contents.startswith("not finished: Postern 1.2.3 for fortimail-100, begun 20")
    assert one.contents.endswith("; settings and mail of mx1.mail.example.org")


def refusal_of_a_torn_run(folder: Path, disk: Path) -> str:
    with pytest.raises(Refused) as refused:
        flash(folder, disk, "--keep-data")
    return str(refused.value)
