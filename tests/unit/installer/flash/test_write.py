"""Written and read back: what arrives, what a bad disk does, and what a killed run leaves."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import sys
import time
from pathlib import Path

import pytest

import build
from hardware.host import files, run
from hardware.host.errors import Refused
from installer.flash import commands, mark, receipt, write
from installer.flash.disk import Disk, opened
from installer.flash.image import Image
from installer.flash.target import Target
from tests.unit.installer.flash.conftest import IMAGE_MIB, MIB, content

KILLS = 10
_ROOT = Path(__file__).parents[4]
_RUN = "import sys; sys.path.insert(0, {root!r}); import build; from installer.flash import commands; "
_RUN += "commands.flash(build.parser().parse_args(sys.argv[1:]))"


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def flash(image: Image, disk: Path) -> Path:
    """Flash a file; the receipt."""
    made = disk.with_name("receipt.json")
    words = ["flash", str(image.folder), str(disk), "--yes", "--serial", disk.name, "--receipt", str(made)]
    assert commands.flash(build.parser().parse_args(words)) == 0
    return made


def test_the_disk_has_the_image_and_behind_it_what_it_had_but_for_the_table(image: Image, disk: Path) -> None:
    before = disk.read_bytes()
    flash(image, disk)
    after = disk.read_bytes()
    assert after[: IMAGE_MIB * MIB] == content()
    assert after[IMAGE_MIB * MIB : -MIB] == before[IMAGE_MIB * MIB : -MIB]
    assert after[-MIB:] == bytes(MIB)  # the copy of a partition table


def test_a_piece_stays_as_it_is_while_the_next_one_is_made(image: Image) -> None:
    blocks, whole = image.blocks(), content()
    before = next(blocks)
    seen = [(before.at, before.end)]
    for block in blocks:
        assert bytes(before.data or b"") == whole[before.at : before.end]
        before = block
        seen.append((block.at, block.end))
    assert seen == [
        (first * MIB, end * MIB) for first, end in ((0, 1), (1, 2), (3, 4), (4, 6), (13, 16), (16, 20), (20, 21))
    ]


def test_a_file_is_made_with_the_images_length(image: Image, tmp_path: Path) -> None:
    flash(image, tmp_path / "new.img")
    assert (tmp_path / "new.img").read_bytes() == content()


def test_where_nothing_can_be_cleared_zeros_are_written(
    image: Image, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Disk, "forget", lambda *_: False)
    flash(image, disk)
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()


@pytest.mark.parametrize(
    ("bit", "where"),
    [
        (MIB * 8, "0 to 2"),
        (MIB * 8 * 4 + 5, "3 to 6"),
        (MIB * 8 * 12, "6 to 13"),  # where the image has nothing
        (MIB * 8 * IMAGE_MIB - 1, "21 to 24"),
    ],
)
def test_one_flipped_bit_is_found_and_the_disk_does_not_start(
    image: Image, disk: Path, monkeypatch: pytest.MonkeyPatch, bit: int, where: str
) -> None:
    """No disk at hand flips bits, so this one is made to, once the image is on it."""
    body = write._body

    def then_flip(to: Disk, *rest: object) -> tuple[memoryview, memoryview]:
        written = body(to, *rest)  # type: ignore[arg-type]  # handed through
        with disk.open("r+b") as file:
            file.seek(bit // 8)
            byte = file.read(1)[0]
            file.seek(bit // 8)
            file.write(bytes([byte ^ 1 << bit % 8]))
        to.flush()
        return written

    monkeypatch.setattr(write, "_body", then_flip)
    with pytest.raises(Refused, match=f"what was read back is not what was written, from {where} MiB"):
        flash(image, disk)
    assert mark.read(disk).startswith("not finished: Postern 1.2.3 for fortimail-100, begun 20")
    assert disk.read_bytes()[510:512] != b"\x55\xaa"


def test_a_disk_that_does_not_work_is_told_in_a_line(image: Image, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(Refused, match=r"sdx: cannot be written or read: Input/output error \(the disk does not start"):
        flash(image, disk)
    assert mark.read(disk)


def test_killed_at_ten_moments_the_disk_says_what_happened(image: Image, disk: Path) -> None:
    """It is as it was, or not finished and without boot sector, or whole; and the next run makes it whole."""
    fresh = disk.read_bytes()[: 1 << 20]
    moments = random.Random(4)  # noqa: S311 - nobody has to guess them
    words = ["flash", image.folder, disk, "--yes", "--serial", disk.name, "--receipt", disk.with_name("r.json")]
    argv = [sys.executable, "-c", _RUN.format(root=str(_ROOT)), *map(str, words)]
    began = time.monotonic()
    run.run(argv, timeout=120)
    whole = time.monotonic() - began
    seen = []
    for _ in range(KILLS):
        disk.write_bytes(fresh.ljust(40 * MIB, b"?"))
        with run.spawn(argv, log=disk.with_name("log")) as process:
            while not mark.read(disk) and process.poll() is None:
                time.sleep(0.001)  # nothing announces what another program has written
            time.sleep(moments.uniform(0, whole / 3))
            os.killpg(process.pid, 9)
            process.wait()
        start = disk.read_bytes()[: 1 << 20]
        finished = disk.read_bytes()[: IMAGE_MIB * MIB] == content()
        said = mark.read(disk)
        assert finished or re.match(r"not finished: Postern 1\.2\.3 for fortimail-100, begun 20", said), start[:80]
        assert finished or start == mark.made(said.removeprefix("not finished: "))
        seen.append(finished)
    assert not all(seen), "no run was interrupted"
    flash(image, disk)
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()


def test_the_receipt_says_what_was_done_and_a_changed_one_does_not_pass(
    image: Image, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = flash(image, disk)
    capsys.readouterr()
    check = ["receipt", str(made)]
    assert commands.check_receipt(build.parser().parse_args(check)) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["image_sha256"] == image.manifest.disk_sha256
    assert (facts["disk"], facts["profile"], facts["disk_bytes"]) == (str(disk), "fortimail-100", 40 * MIB)
    text = made.read_text()
    for word, other in (("1.2.3", "1.2.4"), (str(disk), "/dev/sdy"), (facts["image_sha256"], "0" * 64)):
        made.write_text(text.replace(word, other))
        with pytest.raises(Refused, match="is not what was signed"):
            commands.check_receipt(build.parser().parse_args(check))
    made.write_text(text)
    receipt.default_key().unlink()  # another machine
    with pytest.raises(Refused, match="was signed by another key"):
        commands.check_receipt(build.parser().parse_args(check))
    key = json.loads(text)["key"]
    assert commands.check_receipt(build.parser().parse_args([*check, "--key", key])) == 0


def test_the_key_is_its_owners_alone(image: Image, disk: Path) -> None:
    flash(image, disk)
    assert receipt.default_key().stat().st_mode & 0o777 == 0o600


def test_progress_says_rate_and_time_left() -> None:
    class Said:
        text = ""

        def progress(self, text: str) -> None:
            self.text = text

    said, times = Said(), iter([0.0, 4.0])
    progress = write.Progress(said, 400 * MIB, lambda: next(times))  # type: ignore[arg-type]  # all that it needs
    progress.spare(100 * MIB)
    progress.add(100 * MIB)
    assert said.text == "100 of 300 MiB, 26 MB/s, 8 s left"


def test_two_runs_do_not_write_one_disk(image: Image, disk: Path) -> None:
    with opened(Target(disk, None, 40 * MIB), image.length):
        before = files.digest(disk)
        with pytest.raises(Refused, match="is being written by another run"):
            flash(image, disk)
        assert files.digest(disk) == before
