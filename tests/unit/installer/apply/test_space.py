"""The spaces of a data partition: what setquota is told, and a box that can have none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardware import sizing
from installer.apply import space
from installer.apply.places import Places
from installer.apply.space import Space

BLOCK, MIB = 4096, 1 << 20


def disk(mib: int, reserved_mib: int = 0) -> os.statvfs_result:
    """A data partition with nothing in it."""
    blocks, free = mib * MIB // BLOCK, (mib - reserved_mib) * MIB // BLOCK
    return os.statvfs_result((BLOCK, BLOCK, blocks, blocks, free, mib * 64, mib * 64, mib * 64, 0, 255))


def rows(of: os.statvfs_result) -> list[list[int]]:
    return [[int(word) for word in row.split()] for row in space.limits(of).splitlines()]


@pytest.mark.parametrize("mib", [440, 5990, 110_000])
def test_each_space_has_its_share_of_room_and_of_files(mib: int) -> None:
    shares = sizing.shares(mib)
    assert rows(disk(mib)) == [
        [1, 0, shares.queue << 10, 0, shares.queue * 64],
        [2, 0, shares.mail << 10, 0, shares.mail * 64],
        [3, 0, shares.logs << 10, 0, shares.logs * 64],
        [4, 0, shares.rest << 10, 0, shares.rest * 64],
    ]


def test_what_the_file_system_keeps_for_root_is_nobodys_share() -> None:
    assert space.limits(disk(1000, reserved_mib=50)).count("\n") == 4
    assert sum(row[2] for row in rows(disk(1000, reserved_mib=50))) == 950 << 10


def test_a_box_whose_disk_has_no_spaces_says_so_and_goes_on(tmp_path: Path) -> None:
    """Such as a partition that an older firmware made, or this folder."""
    said: list[str] = []
    space.prepare(Places(tmp_path), said.append)
    assert "share the data partition" in said[0]
    assert space.look(Places(tmp_path)) == ()


def test_every_folder_is_in_one_space() -> None:
    every = [folder for folders in space.FOLDERS.values() for folder in folders]
    assert len(every) == len(set(every))
    assert set(space.PROJECTS) == set(sizing.Shares.__dataclass_fields__)


def test_little_room_is_a_problem_in_the_operators_words() -> None:
    assert space.problem(Space("queue", 1000, 51)) == ""
    assert space.problem(Space("mail", 1000, 50)) == (
        "little room for mail: 50 of 1000 MiB are free (when it is full, mail that belongs here waits in the queue)"
    )
