"""Wrong targets: each is refused with its reason, and none is written."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import build
from hardware import profile
from hardware.host import files, run
from hardware.host.errors import Refused
from installer.flash import commands, machine, mark, model, target
from tests.unit.installer.flash.conftest import MIB, Lsblk


def flash(folder: Path, *words: str | Path) -> int:
    return commands.flash(build.parser().parse_args(["flash", str(folder), *map(str, words)]))


def reasons(folder: Path, path: Path, *words: str | Path) -> list[str]:
    """Why a target is refused; nothing is said of a path that was taken."""
    with pytest.raises(Refused) as refused:
        flash(folder, path, *(words or ("--yes", "--serial", "QU-0042")))
    return [str(problem).removeprefix(f"{path}: ") for problem in refused.value.problems]


def part(**facts: object) -> dict[str, object]:
    """What lsblk says below the disk."""
    row = {"path": "/dev/sdx1", "maj:min": "8:241", "type": "part", "size": MIB, "ro": False}
    return {"children": [row | facts]}


WRONG_DISKS: dict[str, tuple[dict[str, object], str]] = {
    "mounted": (part(mountpoints=["/srv"]), "/dev/sdx1 is mounted on /srv (umount /srv)"),
    "mounted whole": ({"mountpoints": ["/mnt"]}, "is mounted on /mnt (umount /mnt)"),
    "running system": (part(mountpoints=["/"]), "holds the running system (start this machine from another disk)"),
    "running system below": (
        part(children=[{"path": "/dev/mapper/root", "type": "crypt", "mountpoints": ["/usr"]}]),
        "holds the running system (start this machine from another disk)",
    ),
    "swap": (part(mountpoints=["[SWAP]"]), "/dev/sdx1 is in use as swap (swapoff /dev/sdx1)"),
    "installation medium": (part(label="POSTERN-INSTALL"), "is an installation medium (name the disk that the box"),
    "read-only": ({"ro": True}, "is read-only (look for a write-protect switch)"),
    "too small": ({"size": 9 * MIB}, "is too small: it has 9 MiB, and the image has 24 (take a larger one)"),
    "no medium": ({"size": 0}, "is too small: it has 0 MiB (put a medium in)"),
    "RAID": (part(fstype="linux_raid_member"), "/dev/sdx1 is a member of a RAID (take it out first; then wipefs"),
    "RAID of the firmware": ({"fstype": "isw_raid_member"}, "is a member of a RAID (take it out first"),
    "LVM": ({"fstype": "LVM2_member"}, "is a member of an LVM volume group (take it out first"),
    "ZFS": (part(fstype="zfs_member"), "/dev/sdx1 is a member of a ZFS pool"),
    "multipath": ({"fstype": "mpath_member"}, "is a member of a multipath device"),
    "opened by LUKS": (
        part(children=[{"path": "/dev/mapper/secret", "type": "crypt"}]),
        "/dev/mapper/secret (crypt) is made of it (close it first)",
    ),
    "a partition": ({"type": "part"}, "is a partition (the image has partitions of its own: name the whole disk)"),
    "a RAID itself": ({"type": "raid1"}, "is no disk, but raid1 (name a whole disk)"),
    "what LUKS opened": ({"type": "crypt"}, "is no disk, but crypt (name a whole disk)"),
    "a volume of LVM": ({"type": "lvm"}, "is no disk, but lvm (name a whole disk)"),
    "a CD": ({"type": "rom"}, "is no disk, but rom (name a whole disk)"),
    "large sectors": ({"log-sec": 4096}, "has sectors of 4096 bytes, and the image is for 512"),
}


@pytest.mark.parametrize(("facts", "reason"), WRONG_DISKS.values(), ids=WRONG_DISKS)
def test_a_wrong_disk_is_refused_and_not_written(
    folder: Path, disk: Path, lsblk: Lsblk, facts: dict[str, object], reason: str
) -> None:
    lsblk(disk, **facts)
    before = files.digest(disk)
    found = reasons(folder, disk)
    assert [one for one in found if one.startswith(reason)], found
    assert files.digest(disk) == before


def test_a_disk_on_which_the_image_lies_is_refused(folder: Path, disk: Path, lsblk: Lsblk) -> None:
    where = folder.stat().st_dev
    lsblk(disk, **{"maj:min": f"{os.major(where)}:{os.minor(where)}"})
    assert "holds the image that is to be written (copy the image to another disk)" in reasons(folder, disk)


def test_a_disk_inside_a_box_of_another_model_is_refused(disk: Path, lsblk: Lsblk) -> None:
    lsblk(disk)
    ours, other = profile.load("fortimail-100"), profile.load("pcengines-apu2")
    (problem,) = model.objections(target.find(disk, machine.around()), ours, other)
    assert str(problem).endswith(
        "this machine is pcengines-apu2, and the image is for fortimail-100 (./build.py build pcengines-apu2)"
    )


def test_a_disk_that_comes_by_cable_may_be_for_any_model(disk: Path, lsblk: Lsblk) -> None:
    lsblk(disk, tran="usb")
    ours, other = profile.load("fortimail-100"), profile.load("pcengines-apu2")
    assert not list(model.objections(target.find(disk, machine.around()), ours, other))


def test_a_disk_smaller_than_the_models_is_refused(disk: Path, lsblk: Lsblk) -> None:
    lsblk(disk)
    (problem,) = model.objections(target.find(disk, machine.around()), profile.load("vm-uefi"), None)
    assert "is smaller than any disk of vm-uefi, which has 8 GB" in str(problem)


def test_a_link_does_not_hide_what_is_refused(folder: Path, disk: Path, lsblk: Lsblk) -> None:
    lsblk(disk, **part(mountpoints=["/srv"]))
    link = disk.with_name("by-id")
    link.symlink_to(disk)
    before = files.digest(disk)
    assert reasons(folder, link) == [f"{disk}: /dev/sdx1 is mounted on /srv (umount /srv)"]
    assert files.digest(disk) == before


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(path))


def a_short_file(path: Path) -> None:
    path.write_bytes(bytes(MIB))


def a_qcow2_file(path: Path) -> None:
    path.write_bytes(b"QFI\xfb".ljust(40 * MIB, b"\0"))


def a_file_with_two_names(path: Path) -> None:
    path.write_bytes(bytes(40 * MIB))
    path.with_name("other").hardlink_to(path)


WRONG_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder": (a_folder, "is no disk and no file, but a folder (name a whole disk)"),
    "pipe": (a_pipe, "is no disk and no file, but a pipe"),
    "socket": (a_socket, "is no disk and no file, but a socket"),
    "short": (a_short_file, "is too small: it has 1 MiB, and the image has 24"),
    "qcow2": (a_qcow2_file, "is a qcow2 file, and a raw one is written"),
    "two names": (a_file_with_two_names, "has more names than this one"),
}


@pytest.mark.parametrize(("make", "reason"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_wrong_file_is_refused_and_not_written(
    folder: Path, tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "x"
    make(path)
    before = files.digest(path) if path.is_file() else path.stat()
    assert [one for one in reasons(folder, path, "--yes", "--serial", "x") if one.startswith(reason)]
    assert (files.digest(path) if path.is_file() else path.stat()) == before


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/null", "is no disk and no file, but a character device (name a whole disk)"),
        ("/dev/no-such-disk", "does not exist (./build.py flash IMAGE lists the disks)"),
        ("/no/such/folder/disk.img", "does not exist (./build.py flash IMAGE lists the disks)"),
    ],
)
def test_what_is_no_disk_is_refused(folder: Path, path: str, reason: str) -> None:
    assert reasons(folder, Path(path)) == [reason]


def test_the_images_own_files_are_no_target(folder: Path) -> None:
    before = files.digest_tree(folder)
    assert "is in the image's own folder (name another file)" in reasons(folder, folder / "image.raw.zst")
    assert files.digest_tree(folder) == before


@pytest.mark.parametrize("serial", ["", "QU-0041", "0042"])
def test_without_the_whole_serial_number_the_door_stays_shut(
    folder: Path, disk: Path, lsblk: Lsblk, serial: str
) -> None:
    lsblk(disk)
    before = files.digest(disk)
    said = f"--serial says {serial}" if serial else "--serial is missing"
    assert reasons(folder, disk, "--yes", *(["--serial", serial] if serial else [])) == [
        f"has the serial number QU-0042, and {said}"
    ]
    assert files.digest(disk) == before


def test_nobody_at_the_terminal_agrees_to_nothing(folder: Path, disk: Path) -> None:
    before = files.digest(disk)
    assert reasons(folder, disk, "--json") == [
        "nobody is here to agree to overwriting it (--yes --serial SERIAL does)",
    ]
    assert files.digest(disk) == before


def test_the_list_says_what_is_on_a_disk_and_why_it_is_refused(
    folder: Path, disk: Path, lsblk: Lsblk, capsys: pytest.CaptureFixture[str]
) -> None:
    lsblk(disk, **part(fstype="ext4", label="music", mountpoints=["/srv"]))
    assert flash(folder) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{disk}: Quail 3 serial QU-0042, 0.0 GB on sata",
        "  on it:   ext4 'music'",
        "  refused: /dev/sdx1 is mounted on /srv (umount /srv)",
    ]
    assert flash(folder, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["serial"], row["bus"], row["bytes"]) == ("Quail 3", "QU-0042", "sata", 40 * MIB)
    assert row["refused"] == [f"{disk}: /dev/sdx1 is mounted on /srv (umount /srv)"]


def test_an_older_lsblk_is_understood(folder: Path, disk: Path, lsblk: Lsblk) -> None:
    """Before util-linux 2.37 it knows one mount point of each device."""
    lsblk(disk, **part(mountpoint="/srv"))
    program = disk.parents[1] / "programs/lsblk"
    refuses = 'case "$*" in *MOUNTPOINTS*) echo "lsblk: unknown column: MOUNTPOINTS" >&2; exit 1; esac'
    program.write_text(program.read_text().replace("#!/bin/sh", f"#!/bin/sh\n{refuses}"))
    assert reasons(folder, disk) == ["/dev/sdx1 is mounted on /srv (umount /srv)"]


def test_a_disk_that_was_not_finished_says_so(
    folder: Path, disk: Path, lsblk: Lsblk, capsys: pytest.CaptureFixture[str]
) -> None:
    with disk.open("r+b") as file:
        file.write(mark.made("Postern 1.2.3 for fortimail-100, begun 2026-11-24T10:00:00Z"))
    lsblk(disk)
    flash(folder)
    assert "on it:   not finished: Postern 1.2.3 for fortimail-100, begun" in capsys.readouterr().out


def test_an_image_with_a_changed_file_is_refused(folder: Path, disk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    run.run(["cp", "-r", folder, copy])
    with (copy / "image.raw.zst").open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    with pytest.raises(Refused, match=r"image.raw.zst: is missing or not what the manifest says"):
        flash(copy, disk)
