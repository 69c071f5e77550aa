"""The figures of the table in the documentation are the figures of the code."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from hardware import profile as profiles
from hardware import sizing
from hardware.host.errors import Refused


def documented(of: type = sizing.Sizing) -> list[tuple[int, ...]]:
    rows = [line.strip().strip("|").split("|") for line in (of.__doc__ or "").splitlines() if "|" in line]
    return [tuple(int(cell) for cell in row) for row in rows[2:]]


@pytest.mark.parametrize("row", documented(), ids=lambda row: f"{row[0]} MiB")
def test_the_table_holds(row: tuple[int, ...]) -> None:
    size = sizing.for_memory(row[0])
    mail, journal = (size.smtp_processes, size.smtp_client_connections), (size.journal_disk_mib, size.journal_run_mib)
    assert row[1:] == (*mail, *journal, size.filter_workers, size.proxy_processes)


@pytest.mark.parametrize("row", documented(sizing.Shares), ids=lambda row: f"{row[0]} MiB")
def test_the_table_of_shares_holds(row: tuple[int, ...]) -> None:
    assert row[1:] == astuple(sizing.shares(row[0]))


@pytest.mark.parametrize("data_mib", [0, 1, 9, 100, 440, 5990, 110_000, 4_000_000])
def test_shares_are_the_whole_and_nobody_has_a_part_of_anothers(data_mib: int) -> None:
    found = astuple(sizing.shares(data_mib))
    assert sum(found) == data_mib
    assert min(found) >= 0


@pytest.mark.parametrize("name", profiles.names())
def test_on_every_model_a_usual_message_has_room_in_the_queue(name: str) -> None:
    profile = profiles.load(name)
    found, twins = sizing.shares_of(profile), sizing.shares((profile.twin.disk.size_gib * 1024 - 1536) * 9 // 10)
    for shares in filter(None, (found, twins)):
        assert shares.queue >= 10 * 50
        assert shares.logs >= 2 * 256  # journald's SystemMaxUse
        assert shares.rest >= 1000  # two sets of the official definitions, and more
    assert (found is None) == (profile.disks[0].size_gib == "unknown")


def test_two_sets_of_definitions_are_held_where_they_fit() -> None:
    assert [sizing.for_memory(memory).clamd_reload for memory in (1024, 2048, 4096)] == ["no", "no", "yes"]


def test_a_profile_is_sized_by_its_smallest_unit() -> None:
    assert sizing.for_profile(profiles.load("fortimail-100")) == sizing.for_memory(1024)


def test_unknown_memory_is_not_guessed() -> None:
    profile = profiles.load("vm-uefi").model_copy(update={"ram_mib": "unknown"})
    with pytest.raises(Refused, match=r"vm-uefi.yaml: ram_mib: services are sized from it"):
        sizing.for_profile(profile)
