"""A damaged root: before the box starts, and while it runs."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from hardware.host import grubenv
from hardware.twin import FACTORY_NET, ImageFile
from images.steps import boot
from tests.machine.conftest import MakeBox
from tests.machine.disk import NO_CHECK, TABLE, copy_slot_a_to_b, filled_stick, flip
from tests.machine.twin import LOGIN, PASSWORD, USB, WELCOME
from tests.machine.walks import ANSWERS, SECRETS

BLOCK = 4096


def test_one_flipped_byte_is_never_served(box: MakeBox, tmp_path: Path) -> None:
    """In slot A it lies where every boot reads: the kernel panics, and slot B comes up by itself. In slot B it comes
    later, while the box is in service, where nobody has read so far: whoever reads it gets a panic and no data."""
    made = box("pcengines-apu2")
    raw = made.raw()
    copy_slot_a_to_b(raw)
    flip(raw, TABLE["root-a"].start + 100)
    environment = tmp_path / "grubenv"
    environment.write_bytes(grubenv.render(boot.FIRST_STATE | {"B_OK": "1"}))
    esp = f"{raw}@@{TABLE['esp'].start}"
    made.tools.run("mcopy", "-o", "-i", esp, environment, "::/grub/grubenv", env=NO_CHECK)
    made.disk = ImageFile(raw)
    stick = filled_stick(made.tools, tmp_path / "stick.img", ANSWERS.format(port=25), SECRETS)
    reads = tmp_path / "reads"
    trace = ("-trace", "blk_co_preadv", "-D", str(reads))
    with made.on(ports=(FACTORY_NET,), restart=True, extra=(*USB, *trace)) as line:
        assert "Postern: slot B" not in line.expect("Postern: slot A")
        assert "not set up" not in line.expect("Postern: slot B")
        assert "Hardware profile: pcengines-apu2" in line.expect(WELCOME)
        made.put_in(stick)
        line.expect(LOGIN)
        line.log_in()
        untouched = unread(reads.read_text(), TABLE["root-b"].start, used(raw))
        line.root(f"dd if=/dev/mapper/root of=/dev/null bs={BLOCK} skip=1 count=1")
        flip(raw, TABLE["root-b"].start + untouched * BLOCK)
        line.send(f"sudo -k; sudo dd if=/dev/mapper/root of=/dev/null bs={BLOCK} skip={untouched} count=1")
        line.answer((r"password for admin: $", PASSWORD))
        said = line.expect(r"Postern: slot [AB]")  # it starts again by itself
        assert "Kernel panic - not syncing: dm-verity device corrupted" in said
        assert "records out" not in said


def used(raw: Path) -> int:
    """How many blocks the squashfs in slot B has, by its superblock (bytes_used, 64 bits at 40)."""
    with raw.open("rb") as disk:
        disk.seek(TABLE["root-b"].start + 40)
        return int.from_bytes(disk.read(8), "little") // BLOCK


def unread(trace: str, start: int, blocks: int) -> int:
    """The block in the middle of the largest part of the root that the emulator was never asked for."""
    touched = {-1, blocks}
    for hit in re.finditer(r"blk_co_preadv .*offset (\d+) bytes (\d+)", trace):
        first, last = int(hit[1]) - start, int(hit[1]) - start + int(hit[2]) - 1
        touched.update(range(max(0, first // BLOCK), min(blocks, last // BLOCK + 1)))
    places = sorted(touched)
    gap, after = max((after - before, after) for before, after in pairwise(places))
    assert gap > 2, "the whole root was read"
    return after - gap // 2
