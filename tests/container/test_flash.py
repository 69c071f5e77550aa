"""Flash over SSH to a second machine: Debian's own sshd, sudo, Python and lsblk; its disk is a loop device.

A namespace with that Debian's programs in it stands for the machine: what is different on a real one are its disk's own
speed and faults. (tests/unit/installer/remote has all that can be wrong, with a server of our own.)
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import paramiko
import pytest

from hardware.host import files, run
from hardware.host.run import Completed
from installer.flash import mark
from tests.builder import SOURCE
from tests.container.box import until
from tests.container.network import Segment, segments
from tests.peers import Peers, inside
from tests.unit.installer.flash.conftest import IMAGE_MIB, MIB, content, disk, folder
from tests.unit.installer.flash.test_loop import attached

__all__ = ["disk", "folder"]

ADDRESS = "192.0.2.7"
USER = "porter"  # may start Python by sudo
_SSHD = """
Port 22
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile /tmp/authorized_keys
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
"""
_PASSWD = """root:x:0:0:root:/root:/bin/sh
sshd:x:104:65534::/run/sshd:/bin/false
porter:x:1000:65534::/tmp:/bin/bash
"""
# $1 is the folder of these files. What it mounts is seen by nobody else, and nothing is written into the tree.
_MACHINE = """
set -e
mount --rbind /host/sys /sys && mount -t tmpfs run /run && mkdir /run/sshd /tmp/pam.d
cp "$1/passwd" "$1/sudoers" "$1/authorized_keys" /tmp/ && chmod 440 /tmp/sudoers
for kind in auth account session; do echo "$kind required pam_permit.so"; done >/tmp/pam.d/sudo
for name in passwd sudoers pam.d; do mount --bind "/tmp/$name" "/etc/$name"; done
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
"""


class Machine:
    """The second machine, and the person who flashes it."""

    def __init__(self, peers: Peers, segment: Segment, folder: Path) -> None:
        self.peers, self.segment, self.folder = peers, segment, folder
        self.home = folder / "home"
        (self.home / ".ssh").mkdir(parents=True)
        key = paramiko.ECDSAKey.generate()
        key.write_private_key_file(str(self.home / ".ssh/id_ecdsa"))
        (folder / "authorized_keys").write_text(f"{key.get_name()} {key.get_base64()}\n")
        (folder / "sshd_config").write_text(_SSHD.format(address=ADDRESS, folder=inside(folder)))
        (folder / "passwd").write_text(_PASSWD)
        (folder / "sudoers").write_text(f"{USER} ALL=(root) NOPASSWD: /usr/bin/python3\n")
        self.known_hosts.write_text(f"{ADDRESS} {self.new_key()}\n")
        self._running = ExitStack()

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh/known_hosts"

    def new_key(self) -> str:
        """Give it another host key; its public half."""
        key = paramiko.ECDSAKey.generate()
        (self.folder / "host_key").unlink(missing_ok=True)
        key.write_private_key_file(str(self.folder / "host_key"))
        return f"{key.get_name()} {key.get_base64()}"

    def start(self) -> None:
        command = self.peers.command(
            "bash", "-c", _MACHINE, "bash", inside(self.folder), namespace=self.segment.namespace
        )
        self._log = self.folder / "sshd.log"
        self._sshd = self._running.enter_context(run.spawn(command, log=self._log))
        until(lambda: self.segment.answers(ADDRESS, 22), "sshd", self._log.read_text)

    def stop(self) -> None:
        self._running.close()

    def cut(self) -> None:
        """Kill what serves the connections; what it started goes on until it notices."""
        for pid in list(_sessions(self._sshd.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def argv(self, *words: str | Path, user: str = "root") -> list[str | Path]:
        program: list[str | Path] = [sys.executable, SOURCE / "build.py", "flash"]
        return ["ip", "netns", "exec", self.segment.namespace, *program, *words, "--ssh", f"{user}@{ADDRESS}"]

    @property
    def env(self) -> dict[str, str]:
        return {"POSTERN_ENVIRONMENT": sys.prefix, "HOME": str(self.home)}

    def flash(self, *words: str | Path, user: str = "root") -> Completed:
        """`build.py flash --ssh`, as that person."""
        return run.run(self.argv(*words, user=user), env=self.env, check=False)


def _sessions(pid: int) -> Iterator[int]:
    """The processes of sshd below that one, one of a log-in's rights and one of the person's for each connection."""
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        if Path(f"/proc/{child}/comm").read_text().startswith("sshd"):
            yield child
            yield from _sessions(child)


@pytest.fixture(scope="module")
def machine(root: Path, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with segments(1, "fl") as (segment,):
        segment.ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
        made = Machine(peers, segment, tmp_path_factory.mktemp("machine"))
        made.start()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def loop(disk: Path) -> Iterator[Path]:
    device = attached(disk)
    yield device
    run.run(["losetup", "--detach", device])


@pytest.mark.parametrize("user", ["root", USER])
def test_the_disk_has_the_image_and_the_receipt_is_at_home(
    machine: Machine, folder: Path, disk: Path, loop: Path, user: str
) -> None:
    receipt = machine.folder / "receipt.json"
    words = (folder, loop, "--yes", "--serial", loop.name, "--receipt", receipt)
    done = machine.flash(*words, user=user)
    assert (done.status, done.stdout.splitlines()[-1].partition(";")[0]) == (
        0,
        f"{user}@{ADDRESS}:{loop} has Postern 1.2.3 for fortimail-100",
    ), done.stderr
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()
    checked = run.run([sys.executable, SOURCE / "build.py", "receipt", receipt], env=machine.env)
    assert json.loads(checked.stdout)["disk"] == f"{user}@{ADDRESS}:{loop}"


def test_the_disks_that_run_the_machine_are_listed_as_refused(machine: Machine, folder: Path) -> None:
    """The namespace shows the disks of the machine that runs the tests."""
    done = machine.flash(folder, "--json")
    assert done.status == 0, done.stderr
    used = [row for row in json.loads(done.stdout) if row["refused"]]
    assert [row for row in used if row["path"].startswith(f"root@{ADDRESS}:/dev/")]


def test_a_disk_that_somebody_holds_is_not_written(machine: Machine, folder: Path, disk: Path, loop: Path) -> None:
    before = files.digest(disk)
    held = os.open(loop, os.O_RDWR | os.O_EXCL)
    try:
        done = machine.flash(folder, loop, "--yes", "--serial", loop.name)
    finally:
        os.close(held)
    assert done.status == 2
    assert f"root@{ADDRESS}:{loop}: cannot be opened: Device or resource busy (end what uses it)" in done.stderr
    assert files.digest(disk) == before


def test_a_changed_host_key_stops_it(machine: Machine, folder: Path, disk: Path, loop: Path) -> None:
    before, key = files.digest(disk), machine.folder / "host_key"
    kept = key.read_bytes()
    machine.stop()
    public = machine.new_key()
    fingerprint = paramiko.ECDSAKey.from_private_key_file(str(key)).fingerprint
    machine.start()
    try:
        done = machine.flash(folder, loop, "--yes", "--serial", loop.name)
        assert done.status == 2
        assert (
            f"root@{ADDRESS}: has the host key {public.split()[0]} {fingerprint}, and known_hosts says" in done.stderr
        )
        assert files.digest(disk) == before
    finally:
        machine.stop()
        key.write_bytes(kept)
        machine.start()


def test_a_cut_connection_is_made_anew(machine: Machine, folder: Path, disk: Path, loop: Path) -> None:
    log = machine.folder / "cut.log"
    words = (folder, loop, "--yes", "--serial", loop.name, "--receipt", machine.folder / "cut.json")
    with run.spawn(machine.argv(*words), env=machine.env, log=log) as flashing:
        while not mark.read(disk) and flashing.poll() is None:
            time.sleep(
                0.001
            )  # nothing announces what another program has written, and the rest takes a tenth of a second
        machine.cut()
        assert flashing.wait(120) == 0, log.read_text()
    assert "connect again (" in log.read_text()
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()
