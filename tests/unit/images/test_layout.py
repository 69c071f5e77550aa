"""The partitions of an image, and the disk image that they are placed into."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from images import recipe
from images.recipe import Sizes
from images.steps import disk, layout
from images.tools import Tools

MIB = 1 << 20
SIZES = Sizes(esp_mib=34, boot_mib=32, root_mib=64)


@pytest.mark.parametrize("sizes", [SIZES, recipe.load("appliance").layout])
def test_partitions_are_aligned_apart_and_inside(sizes: Sizes) -> None:
    table = layout.layout(sizes)
    parts = table.partitions
    assert [part.name for part in parts] == ["bios", "esp", "boot-a", "root-a", "boot-b", "root-b"]
    assert all(part.start % MIB == part.bytes % MIB == 0 for part in parts)
    assert all(before.start + before.bytes <= after.start for before, after in pairwise(parts))
    # The partition table takes 34 sectors at the beginning and 33 at the end.
    assert parts[0].start >= 34 * 512
    assert parts[-1].start + parts[-1].bytes <= table.bytes - 33 * 512


def test_both_slots_have_the_same_room() -> None:
    table = layout.layout(SIZES)
    assert [(table[f"{kind}-a"].size_mib, table[f"{kind}-b"].size_mib) for kind in ("boot", "root")] == [
        (32, 32),
        (64, 64),
    ]


def test_identifiers_never_change() -> None:
    """Boxes in service find their partitions by them: neither sizes nor versions make new ones."""
    found = layout.layout(SIZES)
    assert [part.uuid for part in found.partitions] == [
        part.uuid for part in layout.layout(recipe.load("appliance").layout).partitions
    ]
    assert [part.uuid[-4:] for part in found.partitions] == ["0001", "0002", "0003", "0004", "0005", "0006"]
    assert (found["esp"].uuid, found["root-a"].uuid, found["root-b"].uuid) == (layout.ESP, layout.ROOT_A, layout.ROOT_B)
    assert layout.ROOT_A == "6b7c1a54-4a8e-4f0b-9a55-706f73740004"


def test_sfdisk_is_told_everything() -> None:
    head, *rows = layout.layout(SIZES).sfdisk().split("\n\n")
    assert head.splitlines()[:2] == ["label: gpt", "label-id: 6b7c1a54-4a8e-4f0b-9a55-706f73746572"]
    lines = "".join(rows).splitlines()
    assert len(lines) == 6
    assert lines[1] == (
        f"start=4096, size={34 * 2048}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid={layout.ESP}, name=esp"
    )


@pytest.fixture
def grub(tmp_path: Path) -> Path:
    folder = tmp_path / "grub"
    folder.mkdir()
    (folder / "mbr.img").write_bytes(b"M" * 440)
    (folder / "core.img").write_bytes(b"C" * 1000)
    return folder


def test_everything_lies_where_the_table_says(
    tmp_path: Path, grub: Path, tools: Tools, program: Callable[[str, str], None]
) -> None:
    program("sfdisk", "cat >/dev/null")
    table = layout.layout(SIZES)
    root = tmp_path / "root.img"
    root.write_bytes(b"R" * MIB + bytes(4 * MIB) + b"T")
    image = disk.disk_image(tmp_path, table, grub, {"root-a": root}, tools)
    with image.open("rb") as file:
        assert file.read(512) == b"M" * 440 + bytes(72)
        for name, content in (("bios", b"C" * 1000), ("root-a", root.read_bytes())):
            file.seek(table[name].start)
            assert file.read(len(content) + 1) == content + b"\0"
    assert image.stat().st_size == table.bytes
    assert image.stat().st_blocks * 512 < 3 * MIB, "zeros take no room"


def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, grub: Path, tools: Tools, program: Callable[[str, str], None]
) -> None:
    program("sfdisk", "cat >/dev/null")
    root = tmp_path / "root.img"
    with root.open("wb") as file:
        file.truncate(64 * MIB + 1)
    with pytest.raises(Refused) as refused:
        disk.disk_image(tmp_path, layout.layout(SIZES), grub, {"root-a": root}, tools)
    assert str(refused.value) == (
        "images/recipes: layout: the partition root-a has 64 MiB, and root.img needs 65 MiB "
        "(give it more in the recipe's layout)"
    )
