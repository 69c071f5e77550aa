"""Which disk the rules mean, and what is said when it is not exactly one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hardware.host import documents
from hardware.host.disks import Device
from hardware.host.errors import Refused
from hardware.host.run import Failed
from installer.flash.earlier import Earlier
from installer.flash.order import Shown
from installer.flash.target import Target
from installer.medium import rules, unattended, work
from installer.medium.rules import DiskRules, Finish, Rules
from installer.medium.work import Disk, Medium

GB = 10**9


def disk(name: str, serial: str, gb: int, bus: str = "sata") -> Target:
    return Target(Path(f"/dev/{name}"), Device(f"/dev/{name}", serial=serial, bytes=gb * GB, bus=bus), gb * GB)


SMALL, LARGE, STICK = disk("sda", "WD-0001", 120), disk("sdb", "WD-0002", 2000), disk("sdc", "KING-3", 32, "usb")
ALL = (SMALL, LARGE, STICK)


def picked(root: Path, refused: dict[Path, tuple[str, ...]] | None = None, **said: object) -> Target:
    objections: dict[Path, tuple[str, ...]] = {one.path: () for one in ALL} | (refused or {})
    return rules.only(DiskRules.model_validate(said), ALL, objections, root)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"serial": "WD-0002"}, LARGE),
        ({"serial": "KING*"}, STICK),
        ({"bus": "usb"}, STICK),
        ({"bus": "sata", "most_gb": 500}, SMALL),
        ({"least_gb": 100, "most_gb": 120}, SMALL),
        ({"by_id": "ata-Quail_*_WD-0002"}, LARGE),
    ],
)
def test_one_disk_is_left(tmp_path: Path, said: dict[str, Any], wanted: Target) -> None:
    names = tmp_path / "dev/disk/by-id"
    names.mkdir(parents=True)
    (names / "ata-Quail_3_WD-0002").symlink_to(LARGE.path)
    assert picked(tmp_path, **said) == wanted


def test_two_disks_that_match_are_refused_with_what_was_found(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        picked(tmp_path, serial="WD-*")
    assert str(refused.value).splitlines() == [
        "install.yaml: disk: 2 disks are left, and exactly one must be: none was written (say more of the disk)",
        "/dev/sda: serial number WD-0001, 120.0 GB: is left",
        "/dev/sdb: serial number WD-0002, 2000.0 GB: is left",
        "/dev/sdc: serial number KING-3, 32.0 GB: its serial number is not WD-*",
    ]


def test_a_disk_that_flash_objects_to_is_not_left(tmp_path: Path) -> None:
    assert picked(tmp_path, {SMALL.path: ("is mounted on /srv",)}, serial="WD-*") == LARGE
    with pytest.raises(Refused, match=r"no disk is left[\s\S]*/dev/sdc: .*: it is on usb, not on sata"):
        picked(tmp_path, {SMALL.path: ("is read-only",), LARGE.path: ("is read-only",)}, bus="sata")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("format: 1\n", "disk: is missing"),
        ("format: 1\ndisk: {}\n", "disk: is empty; serial: '*' says that any disk will do, if there is but one"),
        ("format: 1\ndisk: {least_gb: 9, most_gb: 8}\n", "disk: no disk has at least 9 and at most 8 GB"),
        ("format: 1\ndisk: {seral: x}\n", "did you mean serial"),
        ("format: 1\ndisk: {serial: x}\nfinish: sleep\n", "finish: "),
        ("format: 1\ndisk: {serial: x}\ndata: lose\n", "data: "),
        ("format: 2\ndisk: {serial: x}\n", "format: has format 2"),
    ],
)
def test_wrong_rules_say_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        documents.parse(text, "install.yaml", Rules)
    assert said in str(refused.value)


HERS = Earlier("1.1.0", "vm-uefi", "mx1.example.org", "")
MOVED = replace(HERS, problem="it has no partition root-b, and the image has one")


@pytest.mark.parametrize(
    ("said", "found", "keep"),
    [
        (", data: keep", HERS, True),
        (", data: keep", None, False),
        (", data: overwrite", HERS, False),
        (", data: overwrite", MOVED, False),
        ("", None, False),
    ],
)
def test_the_rules_say_what_becomes_of_what_is_there(said: str, found: Earlier | None, keep: bool) -> None:
    assert ruled(said).keep(found, Path("/dev/sda")) is keep


@pytest.mark.parametrize(
    ("said", "found", "why"),
    [
        ("", HERS, "/dev/sda holds settings and mail of mx1.example.org: nothing was written (keep or overwrite says"),
        ("", MOVED, "/dev/sda holds settings and mail of mx1.example.org: nothing was written"),
        (", data: keep", MOVED, "cannot be kept on /dev/sda: it has no partition root-b, and the image has one"),
    ],
)
def test_settings_and_mail_are_never_lost_in_silence(said: str, found: Earlier, why: str) -> None:
    with pytest.raises(Refused) as refused:
        ruled(said).keep(found, Path("/dev/sda"))
    assert str(refused.value).startswith(f"install.yaml: data: {why}")


def ruled(said: str) -> Rules:
    return documents.parse(f"{{format: 1, disk: {{bus: sata}}{said}}}", "install.yaml", Rules)


def test_a_box_starts_again_unless_it_is_told_otherwise() -> None:
    assert documents.parse("format: 1\ndisk: {bus: sata}\n", "install.yaml", Rules).finish is Finish.REBOOT


@pytest.mark.parametrize(
    ("label", "url", "refused"), [("boot-a", "http://h/i", 1), ("old", "http://h/i", 0), ("boot-a", "", 0)]
)
def test_the_network_installs_a_box_but_once(label: str, url: str, refused: int) -> None:
    device = Device("/dev/sda", children=(Device("/dev/sda3", kind="part", label=label),))
    found = Disk(Target(Path("/dev/sda"), device), Shown("/dev/sda", "", "", 0, "", "", ()))
    assert len(unattended.once(found, Medium(url=url))) == refused


def test_a_network_that_is_waited_for_in_vain_is_asked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait can come to no end at all on a busy box, which once ended the installation."""

    def never(argv: list[str], **_: object) -> None:
        raise Failed(argv, None, "")

    monkeypatch.setattr(work, "run", never)  # a program that does not end in time would take the test as long
    with pytest.raises(Refused, match=re.escape(str(tmp_path / "image"))):
        _ = Medium(tmp_path, "http://127.0.0.1:9/image").image
