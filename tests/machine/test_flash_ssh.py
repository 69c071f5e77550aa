"""Flash over SSH to a second machine, a Debian with nothing of ours on a twin of its own; and the box that comes of it.

One life, told by a fixture: a host key that is another; a connection that is cut for good; the disks as they are then;
a connection that is cut once; the Debian switched off, and a box started from the disk.
(tests/unit/installer/remote has all that can be wrong besides, with a server of our own.)
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko
import pytest

from hardware.host import run
from hardware.host.run import Completed
from hardware.twin import FACTORY_NET, Drive, DriveBus, Forward, ImageFile
from images import manifest
from images.archive import Archive
from images.store import Store
from images.tools import Tools
from installer.flash import mark
from installer.flash.image import RAW
from tests.builder import SOURCE
from tests.machine.conftest import MakeBox
from tests.machine.debian import PROFILE, Debian
from tests.machine.disk import TABLE, over
from tests.machine.mail import free_port
from tests.machine.twin import NET, WELCOME, Line

USER = "porter"  # may start Python by sudo
TARGET = "/dev/vdb"  # a virtual disk has no serial number, and goes by its name
# A machine that somebody looks after at its serial line.
THERE = Debian(
    ("linux-image-cloud-amd64", "openssh-server", "procps", "python3", "sudo"),
    (
        ("etc/hostname", "there\n"),
        ("etc/sudoers.d/porter", f"{USER} ALL=(root) NOPASSWD: /usr/bin/python3\n"),
        (
            "etc/systemd/system/serial-getty@ttyS0.service.d/root.conf",
            "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I $TERM\n",
        ),
    ),
    (f"useradd --create-home --shell /bin/bash {USER}",),
)
ROOT = r"root@there:[^\r\n]*# $"
# build.py, with three seconds instead of two minutes in which it tries to connect again and nothing else happens.
IMPATIENT = "import sys, build; from installer.remote import place; place.PAUSES_S = (1, 2); sys.exit(build.main())"
MIB = 1 << 20


class Person:
    """Who flashes: has a key, and knows a host."""

    def __init__(self, folder: Path, image: Path, port: int) -> None:
        self.home, self.image, self.port = folder / "home", image, port
        self.receipt = folder / "receipt.json"
        (self.home / ".ssh").mkdir(parents=True)
        key = paramiko.ECDSAKey.generate()
        key.write_private_key_file(str(self.home / ".ssh/id_ecdsa"))
        self.key = f"{key.get_name()} {key.get_base64()}"
        self.env = {"POSTERN_ENVIRONMENT": sys.prefix, "HOME": str(self.home), "PYTHONPATH": str(SOURCE)}

    def knows(self, key: str) -> None:
        (self.home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}\n")

    def words(self, user: str, *words: str | Path) -> list[str | Path]:
        """`flash --ssh` with these."""
        return ["flash", self.image, *words, "--ssh", f"{user}@127.0.0.1:{self.port}"]

    def order(self, user: str) -> list[str | Path]:
        """The words that have the target written."""
        return self.words(user, TARGET, "--yes", "--serial", Path(TARGET).name, "--receipt", self.receipt)

    def build(self, *words: str | Path) -> Completed:
        """build.py with these, to its end."""
        return run.run([sys.executable, SOURCE / "build.py", *words], env=self.env, check=False)


@dataclass(frozen=True)
class Cut:
    """A run that lost its connection: how it ended, and what it said."""

    status: int
    said: str


@dataclass(frozen=True)
class Life:
    """What was seen."""

    stranger: Completed  # while the host key was another
    touched: int  # bytes of the target that had ever been written then
    lost: Cut
    mark: str  # on the target then
    disks: dict[str, dict[str, object]]  # the list then, by their paths there
    resumed: Cut
    received: int  # bytes that came over there by network for the latter
    receipt: Completed
    welcome: str


@pytest.fixture(scope="module")
def life(box: MakeBox, image: Callable[[str], Path], store: Store, archive: Archive, toolbox: Tools) -> Life:
    there = box(PROFILE)
    there.disk = THERE.disk(store, archive, toolbox, there.folder / "debian.qcow2")
    target = there.folder / "target.raw"
    with target.open("wb") as file:
        file.truncate(there.profile.twin.disk.size_gib << 30)
    person = Person(there.folder, image(PROFILE), free_port())
    net = replace(NET, forwards=(Forward(person.port, 22),))
    drive = Drive(ImageFile(target), DriveBus.VIRTIO, read_only=False)
    with there.on(ports=(net,), drives=(drive,)) as line:
        line.expect(ROOT)
        host_key = opened(line, person)
        person.knows(person.key)
        stranger = person.build(*person.order(USER))
        touched = target.stat().st_blocks * 512
        person.knows(host_key)
        for_good = "systemctl stop ssh; pkill -KILL sshd-session"
        lost = cut(line, target, 64, for_good, ("-c", IMPATIENT, *person.order("root")), person.env)
        marked = mark.read(target)
        asked(line, "systemctl start ssh")
        disks = json.loads(person.build(*person.words(USER, "--json")).stdout)
        before = received(line)
        once = "pkill -KILL sshd-session"
        resumed = cut(line, target, 128, once, (SOURCE / "build.py", *person.order(USER)), person.env)
        came = received(line) - before
    there.disk = over(toolbox, target, there.folder / "flashed.qcow2")
    with there.on(ports=(FACTORY_NET,)) as line:
        welcome = line.expect(WELCOME)
    return Life(
        stranger,
        touched,
        lost,
        marked,
        {disk["path"].rpartition(":")[2]: disk for disk in disks},
        resumed,
        came,
        person.build("receipt", person.receipt),
        welcome,
    )


def cut(line: Line, target: Path, mib: int, how: str, program: Sequence[str | Path], env: Mapping[str, str]) -> Cut:
    """A program of Python's that flashes, cut off when so much of the root is on the target, which was blank."""
    log = target.with_name(f"{mib}.log")
    with run.spawn([sys.executable, *program], env=env, log=log) as flashing:

        def ended() -> bool:
            return flashing.poll() is not None

        line.wait_for(lambda: ended() or holds(target, TABLE["root-a"].start + mib * MIB), f"{mib} MiB of the root")
        assert not ended(), log.read_text()
        asked(line, how)
        line.wait_for(ended, "the end of what was cut")
        return Cut(flashing.returncode, log.read_text())


def holds(disk: Path, at: int) -> bool:
    """Is there anything but zeros?"""
    with disk.open("rb") as file:
        file.seek(at)
        return any(file.read(4096))


def opened(line: Line, person: Person) -> str:
    """Let the person in, as somebody at that machine's console does; its host key."""
    for home, user in (("/root", "root"), (f"/home/{USER}", USER)):
        asked(line, f"install -d -m 700 -o {user} {home}/.ssh")
        asked(line, f"echo {person.key} >{home}/.ssh/authorized_keys")
    asked(line, "systemctl is-system-running --wait")
    return " ".join(asked(line, "cat /etc/ssh/ssh_host_ecdsa_key.pub").split()[:2])


def asked(line: Line, text: str) -> str:
    """What a command there prints."""
    return line.command(text, prompt=ROOT)


def received(line: Line) -> int:
    """Bytes that have come by network."""
    return int(asked(line, "cat /sys/class/net/eth0/statistics/rx_bytes"))


def test_another_host_key_stops_it_and_nothing_is_written(life: Life) -> None:
    assert life.stranger.status == 2
    assert re.search(
        rf"{USER}@127\.0\.0\.1:\d+: has the host key ecdsa-sha2-nistp256 SHA256:\S+, and known_hosts says ecdsa-sha2-"
        r"nistp256 SHA256:\S+ \(somebody may listen in;",
        life.stranger.stderr,
    )
    assert life.touched == 0


def test_a_connection_that_is_cut_for_good_says_how_to_go_on(life: Life) -> None:
    assert life.lost.status == 2
    assert re.search(
        rf"root@127\.0\.0\.1:\d+:{TARGET}: the connection was lost: .* \(it does not start; run the same once more: "
        r"what it has already is not sent again\)",
        life.lost.said,
    )


def test_the_disk_is_marked_as_not_finished_and_the_next_run_says_so(life: Life) -> None:
    assert life.mark.startswith("not finished: Postern ")
    assert life.mark in str(life.disks[TARGET]["contents"])
    assert life.disks[TARGET]["refused"] == []


def test_the_disk_that_runs_the_machine_is_refused(life: Life) -> None:
    assert "holds the running system" in str(life.disks["/dev/vda"]["refused"])


def test_a_connection_that_is_cut_once_is_made_anew_and_only_the_rest_is_sent(
    life: Life, image: Callable[[str], Path]
) -> None:
    assert life.resumed.status == 0, life.resumed.said
    assert "connect again (" in life.resumed.said
    packed = image(PROFILE) / manifest.load(image(PROFILE)).artefact(RAW)
    assert life.received < packed.stat().st_size - 32 * MIB  # of the 64 that were there, some were under way


def test_the_receipt_at_home_verifies(life: Life, image: Callable[[str], Path]) -> None:
    assert life.receipt.status == 0, life.receipt.stderr
    facts, found = json.loads(life.receipt.stdout), manifest.load(image(PROFILE))
    assert re.fullmatch(rf"{USER}@127\.0\.0\.1:\d+:{TARGET}", facts["disk"])
    assert (facts["profile"], facts["image_sha256"]) == (PROFILE, found.disk_sha256)


def test_a_box_starts_from_that_disk(life: Life) -> None:
    assert f"Hardware profile: {PROFILE}" in life.welcome
