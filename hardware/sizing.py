"""How large the services may grow on a box, from its memory."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.host.errors import refuse
from hardware.parts import UNKNOWN, DiskRole
from hardware.profile import HardwareProfile

# Kernel, systemd, the idle services, and page cache to work with.
_KEPT_FREE_MIB = 512
# One mail being received: smtpd and its cleanup are 10 MiB each as ps counts them, most of it shared with the others.
_PER_SESSION_MIB = 8
# The two slots and the boot loader; and what ext4 leaves of its partition, beside inodes, journal and root's reserve.
_SYSTEM_MIB = 1536
_USABLE_PERCENT = 90


@dataclass(frozen=True)
class Sizing:
    """Limits that go into the services' configuration; sizes in MiB.

    | memory | smtp_processes | smtp_client_connections | journal_disk_mib | journal_run_mib | filter_workers | proxy |
    |-------:|---------------:|------------------------:|-----------------:|----------------:|---------------:|------:|
    |    512 |             16 |                       8 |              128 |              16 |              1 |     1 |
    |   1024 |             64 |                      32 |              256 |              32 |              1 |     2 |
    |   2048 |            192 |                      96 |              512 |              64 |              2 |     4 |
    |   4096 |            300 |                     150 |             1024 |             128 |              4 |     4 |
    |  16384 |            300 |                     150 |             1024 |             128 |              4 |     4 |
    """

    smtp_processes: int
    """Postfix's default_process_limit: how many of each of its services, so how many clients at once. Its own default
    is 100; more than 300 gain nothing on the disks of these models."""

    smtp_client_connections: int
    """Postfix's smtpd_client_connection_count_limit: how many of them one client may take. Half, as by default."""

    journal_disk_mib: int
    """journald's SystemMaxUse, on the data partition: a quarter of the memory, so that a search of the whole journal
    leaves the page cache to the mail."""

    journal_run_mib: int
    """journald's RuntimeMaxUse, in memory, until the data partition is there."""

    filter_workers: int
    """Rspamd's processes that scan, each for many messages at once; one fills one processor."""

    proxy_processes: int
    """Those of transparent mode's proxy, where there are as many processors. A further one takes 5 MiB, and more with
    the messages that it holds."""

    valkey_mib: int
    """What Valkey may hold: greylisting and reputation. The oldest goes when it is full."""

    clamd_threads: int
    """How many messages clamd scans at once."""

    clamd_reload: str
    """clamd's ConcurrentDatabaseReload: two sets of the official definitions, while one takes the other's place, need
    2.4 GiB. Without it clamd does not answer for some seconds, and mail is put off."""


@dataclass(frozen=True)
class Shares:
    """How the data partition is divided: the most that each kind of data takes [MiB]. Together they are the whole.

    | data partition | queue |   mail | logs |  rest |
    |---------------:|------:|-------:|-----:|------:|
    |            440 |   123 |    185 |   44 |    88 |
    |           5990 |  1677 |   2516 |  599 |  1198 |
    |          14000 |  3920 |   5880 | 1400 |  2800 |
    |         110000 | 16384 |  73136 | 4096 | 16384 |
    """

    queue: int
    """What was accepted and has not left."""

    mail: int
    """Quarantine and mailboxes: they have what the others do not need."""

    logs: int

    rest: int
    """Everything else, most of it virus definitions: two sets of the official ones are 0.7 GiB."""


def shares(data_mib: int) -> Shares:
    """The shares of a data partition that can hold so much."""
    logs = min(data_mib // 10, 4096)
    rest = min(data_mib // 5, 16384)
    queue = min((data_mib - logs - rest) * 2 // 5, 16384)
    return Shares(queue=queue, mail=data_mib - logs - rest - queue, logs=logs, rest=rest)


def shares_of(profile: HardwareProfile) -> Shares | None:
    """Those on the disk of the smallest unit; None where nobody knows its size."""
    size = next((disk.size_gib for disk in profile.disks if disk.role is DiskRole.COMBINED), UNKNOWN)
    return None if size == UNKNOWN else shares((size * 1024 - _SYSTEM_MIB) * _USABLE_PERCENT // 100)


def for_memory(memory_mib: int) -> Sizing:
    processes = _within(16, (memory_mib - _KEPT_FREE_MIB) // _PER_SESSION_MIB, 300)
    return Sizing(
        smtp_processes=processes,
        smtp_client_connections=processes // 2,
        journal_disk_mib=_within(64, memory_mib // 4, 1024),
        journal_run_mib=_within(16, memory_mib // 32, 128),
        filter_workers=_within(1, memory_mib // 1024, 4),
        proxy_processes=_within(1, memory_mib // 512, 4),
        valkey_mib=_within(16, memory_mib // 32, 256),
        clamd_threads=_within(2, memory_mib // 512, 8),
        clamd_reload="yes" if memory_mib >= 4096 else "no",
    )


def for_profile(profile: HardwareProfile) -> Sizing:
    """From the memory of the smallest unit. Raises `Refused` where that is unknown: a guess would be found out late."""
    if profile.ram_mib == "unknown":
        raise refuse(
            "services are sized from it, and it is unknown",
            "read it on a unit: dmidecode -t memory",
            where=f"hardware/profiles/{profile.id}.yaml",
            path="ram_mib",
        )
    return for_memory(profile.ram_mib)


def _within(least: int, value: int, most: int) -> int:
    return max(least, min(value, most))
