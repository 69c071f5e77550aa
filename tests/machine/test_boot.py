"""A damaged root: before the box starts, and while it runs. The boot menu, in the starts that this takes."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from hardware.host import grubenv
from hardware.twin import FACTORY_NET, ImageFile
from images.steps import boot
from tests.machine.conftest import MakeBox
from tests.machine.disk import NO_CHECK, TABLE, copy_slot_a_to_b, filled_stick, flip
from tests.machine.screen import ENTER
from tests.machine.twin import LOGIN, PASSWORD, PROMPT, USB, WELCOME, Line
from tests.machine.walks import ANSWERS, SECRETS

BLOCK = 4096
MENU_PASSWORD = "menu words 12"
MENU = "Enter G,F,B,I,Q,or H:"


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
        look_into_the_menu(line)
        assert "not set up" not in line.expect("Postern: slot B")
        assert "Hardware profile: pcengines-apu2" in line.expect(WELCOME)
        made.put_in(stick)
        line.expect(LOGIN)
        line.log_in()
        line.send("sudo postern loader-password")
        line.answer(("Password of the boot loader's menu: $", MENU_PASSWORD), ("Once more: $", MENU_PASSWORD))
        line.expect(PROMPT)
        untouched = unread(reads.read_text(), TABLE["root-b"].start, used(raw))
        line.root(f"dd if=/dev/mapper/root of=/dev/null bs={BLOCK} skip=1 count=1")
        flip(raw, TABLE["root-b"].start + untouched * BLOCK)
        line.send(f"sudo -k; sudo dd if=/dev/mapper/root of=/dev/null bs={BLOCK} skip={untouched} count=1")
        line.answer((r"password for admin: $", PASSWORD))
        said = line.expect("Press any key to display configuration menu")  # it starts again by itself
        assert "Kernel panic - not syncing: dm-verity device corrupted" in said
        assert "records out" not in said
        change_by_the_menu(line)


def look_into_the_menu(line: Line) -> None:
    """A key leads into it; what is looked at and what is not agreed to change nothing."""
    line.expect("Press any key to display configuration menu")
    line.press(ENTER)
    said = line.expect(MENU)
    assert "Postern: slot A" in said
    assert "Postern: slot B" not in said
    line.press("i")
    said = line.expect(MENU)
    assert re.search(r"Slot A: version [\s\S]*Slot B: version [\s\S]*Default: slot A, on hd0", said)
    assert "formatted" not in said
    line.press("f")
    assert "All data on the data disk will be lost" in line.expect("N to leave it as it is")
    line.press("n")
    line.expect(MENU)
    line.press("yh")  # to Y, which nobody asked for, it says nothing
    assert "formatted" not in line.expect(MENU)
    line.press("q")


def change_by_the_menu(line: Line) -> None:
    """The data disk is to be formatted, and the other slot is started."""
    line.press("m")
    assert "(slot A)" in line.expect(MENU)
    line.press("b")
    line.answer(("Enter username: ", "admin"), ("Enter password: ", "other words 12"))
    line.expect(MENU)
    line.press("F")
    line.answer(("Enter username: ", "admin"), ("Enter password: ", MENU_PASSWORD))
    line.expect("N to leave it as it is")
    line.press("Y")
    assert "The data disk is formatted at the next start" in line.expect(MENU)
    line.press("B")
    line.expect("Starting slot A")
    line.expect("Postern: slot A, version")


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
