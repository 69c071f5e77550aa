"""The figures of the table in the documentation are the figures of the code."""

from __future__ import annotations

import pytest

from hardware import profile as profiles
from hardware import sizing
from hardware.host.errors import Refused


def documented() -> list[tuple[int, ...]]:
    rows = [line.strip().strip("|").split("|") for line in (sizing.Sizing.__doc__ or "").splitlines() if "|" in line]
    return [tuple(int(cell) for cell in row) for row in rows[2:]]


@pytest.mark.parametrize("row", documented(), ids=lambda row: f"{row[0]} MiB")
def test_the_table_holds(row: tuple[int, ...]) -> None:
    size = sizing.for_memory(row[0])
    mail = (size.smtp_processes, size.smtp_client_connections)
    assert row[1:] == (*mail, size.journal_disk_mib, size.journal_run_mib, size.filter_workers)


def test_two_sets_of_definitions_are_held_where_they_fit() -> None:
    assert [sizing.for_memory(memory).clamd_reload for memory in (1024, 2048, 4096)] == ["no", "no", "yes"]


def test_a_profile_is_sized_by_its_smallest_unit() -> None:
    assert sizing.for_profile(profiles.load("fortimail-100")) == sizing.for_memory(1024)


def test_unknown_memory_is_not_guessed() -> None:
    profile = profiles.load("vm-uefi").model_copy(update={"ram_mib": "unknown"})
    with pytest.raises(Refused, match=r"vm-uefi.yaml: ram_mib: services are sized from it"):
        sizing.for_profile(profile)
