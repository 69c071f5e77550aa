"""Which box comes up on what: every twin, the wrong model, a damaged root."""

from __future__ import annotations

import pytest

from hardware.parts import Dmi
from hardware.twin import FACTORY_NET
from images import recipe
from images.steps import boot
from images.steps.layout import layout
from images.tools import Tools
from tests.machine.conftest import MakeBox
from tests.machine.twin import WELCOME, Box

TABLE = layout(recipe.load("appliance").layout)


@pytest.mark.parametrize("profile", ["pcengines-apu2", "vm-uefi"])
def test_a_twin_boots_to_the_wizard_and_names_its_profile(box: MakeBox, profile: str) -> None:
    with box(profile).on(ports=(FACTORY_NET,)) as line:
        assert f"Hardware profile: {profile}" in line.expect(WELCOME)


def test_another_model_is_refused(box: MakeBox) -> None:
    other = Dmi(manufacturer="PC Engines", product="apu2", board="apu2")
    with box("vm-bios").on(ports=(FACTORY_NET,), dmi=other) as line:
        said = line.expect(r"cannot be set up with this image")
        assert "vm-bios" in said
        assert "pcengines-apu2" in said


def test_one_flipped_byte_stops_the_slot_and_the_other_one_takes_over(box: MakeBox) -> None:
    """A byte that every boot reads. The kernel panics on it; then the boot loader starts slot B by itself."""
    made = box("vm-bios")
    flip_and_fill_b(made, made.tools)
    with made.on(ports=(FACTORY_NET,)) as line:
        line.expect("Postern: slot A")
        line.until_off()  # the panic restarts the machine
    assert "not set up" not in made.heard[-1]
    with made.on(ports=(FACTORY_NET,)) as line:
        line.expect("Postern: slot B")
        line.expect(WELCOME)


def flip_and_fill_b(box: Box, tools: Tools) -> None:
    """Copy slot A to B and call it good, then flip one byte of the superblock's block in A."""
    raw = box.raw()
    with raw.open("r+b") as disk:
        for name in ("boot", "root"):
            disk.seek(TABLE[f"{name}-a"].start)
            content = disk.read(TABLE[f"{name}-a"].bytes)
            disk.seek(TABLE[f"{name}-b"].start)
            disk.write(content)
        disk.seek(TABLE["root-a"].start + 100)
        byte = disk.read(1)[0]
        disk.seek(-1, 1)
        disk.write(bytes([byte ^ 1]))
    grubenv = box.folder / "grubenv"
    grubenv.write_bytes(boot.environment_block(["ORDER=A B", "A_OK=1", "A_TRY=0", "B_OK=1", "B_TRY=0"]))
    esp = f"{raw}@@{TABLE['esp'].start}"
    tools.run("mcopy", "-o", "-i", esp, grubenv, "::/grub/grubenv", env={"MTOOLS_SKIP_CHECK": "1"})
    tools.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, box.disk.path)
