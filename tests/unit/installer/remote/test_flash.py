"""Flash over SSH: the other machine's disk gets the image, or a sentence says why not."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

import build
from hardware.host import files, log
from hardware.host.errors import Refused
from installer.flash import commands, mark
from installer.flash.image import Image
from installer.flash.target import Target
from installer.remote import link, place
from tests.unit.installer.flash.conftest import IMAGE_MIB, MIB, Lsblk, content
from tests.unit.installer.remote.server import PASSWORD, Server


def flash(image: Image, server: Server, *words: str | Path) -> int:
    argv = ["flash", str(image.folder), "--ssh", server.address, *map(str, words)]
    return commands.flash(build.parser().parse_args(argv))


def write(image: Image, server: Server, disk: Path, *words: str | Path) -> Path:
    """Flash that disk; the receipt."""
    made = disk.with_name("receipt.json")
    assert flash(image, server, disk, "--yes", "--serial", disk.name, "--receipt", made, *words) == 0
    return made


def refusal(image: Image, server: Server, *words: str | Path) -> str:
    with pytest.raises(Refused) as refused:
        flash(image, server, *words)
    return str(refused.value)


def test_the_other_machines_disk_has_the_image_and_the_receipt_comes_home(
    image: Image, server: Server, disk: Path, lsblk: Lsblk, capsys: pytest.CaptureFixture[str]
) -> None:
    lsblk(disk)
    made = disk.with_name("receipt.json")
    assert flash(image, server, disk, "--yes", "--serial", "QU-0042", "--receipt", made) == 0
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()
    assert f"{server.address}:{disk} has Postern 1.2.3 for fortimail-100" in capsys.readouterr().out
    assert commands.check_receipt(build.parser().parse_args(["receipt", str(made)])) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["disk"], facts["disk_model"], facts["disk_serial"], facts["image_sha256"]) == (
        f"{server.address}:{disk}",
        "Quail 3",
        "QU-0042",
        image.manifest.disk_sha256,
    )


def test_the_disks_there_are_listed_with_what_speaks_against_them(
    image: Image, server: Server, disk: Path, lsblk: Lsblk, capsys: pytest.CaptureFixture[str]
) -> None:
    lsblk(disk, fstype="linux_raid_member")
    assert flash(image, server) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{server.address}:{disk}: Quail 3 serial QU-0042, 0.0 GB on sata",
        "  on it:   linux_raid_member",
        f"  refused: is a member of a RAID (take it out first; then wipefs --all {disk})",
    ]


def test_a_wrong_target_there_is_refused_and_not_written(
    image: Image, server: Server, disk: Path, lsblk: Lsblk
) -> None:
    lsblk(disk, mountpoints=["/srv"])
    before = files.digest(disk)
    said = refusal(image, server, disk, "--yes", "--serial", "QU-0042")
    assert said == f"{server.address}:{disk}: is mounted on /srv (umount /srv)"
    assert files.digest(disk) == before


def test_a_disk_that_was_exchanged_meanwhile_is_not_written(
    image: Image, server: Server, disk: Path, lsblk: Lsblk
) -> None:
    lsblk(disk)
    before = files.digest(disk)
    with place.reached(link.address(server.address), "", None) as remote:
        seen = remote.look(disk, image).candidates[0].target
        lsblk(disk, serial="QU-0043")
        with pytest.raises(Refused, match=r"sdx: is another disk now: QU-0043, and it was QU-0042"):
            remote.write(image, seen, "", log.Steps(4))
    assert files.digest(disk) == before


def test_what_is_read_back_there_is_compared(image: Image, server: Server, disk: Path) -> None:
    other = replace(image, ranges=(*image.ranges[:-1], replace(image.ranges[-1], sha256="0" * 64)))
    with (
        place.reached(link.address(server.address), "", None) as remote,
        pytest.raises(
            Refused, match=rf"{server.address}:{disk}: what was read back is not what was written, from 13 to 21 MiB"
        ),
    ):
        remote.write(other, Target(disk, None, 40 * MIB), "an image", log.Steps(4))
    assert mark.read(disk) == "not finished: an image"


def test_an_unknown_host_key_stops_it_with_its_fingerprint(
    image: Image, server: Server, home: Path, disk: Path
) -> None:
    (home / ".ssh/known_hosts").unlink()
    said = refusal(image, server, disk)
    assert said == (
        f"{server.address}: is not in known_hosts; its host key is ecdsa-sha2-nistp256 {server.key.fingerprint} "
        f"(if `ssh-keygen -lf` says so there, give --fingerprint {server.key.fingerprint})"
    )
    assert server.commands == []


def test_a_changed_host_key_stops_it_with_both_fingerprints(image: Image, server: Server, disk: Path) -> None:
    before = server.key
    server.key = paramiko.ECDSAKey.generate()
    said = refusal(image, server, disk)
    assert f"has the host key ecdsa-sha2-nistp256 {server.key.fingerprint}, and known_hosts says" in said
    assert str(before.fingerprint) in said
    assert server.commands == []


def test_a_given_fingerprint_counts_instead_of_known_hosts(
    image: Image, server: Server, home: Path, disk: Path
) -> None:
    (home / ".ssh/known_hosts").write_text("")
    other = paramiko.ECDSAKey.generate().fingerprint
    assert f"and --fingerprint says {other}" in refusal(image, server, disk, "--fingerprint", other)
    assert "--fingerprint: is 'MD5:00' (SHA256: and 43" in refusal(image, server, disk, "--fingerprint", "MD5:00")
    write(image, server, disk, "--fingerprint", server.key.fingerprint)
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()


def test_the_password_is_asked_for_once_and_told_to_nobody(
    image: Image, server: Server, home: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or PASSWORD)  # type: ignore[func-returns-value]
    (home / ".ssh/id_ecdsa").unlink()
    server.cut_at = 6 * MIB  # also the next connection has it
    write(image, server, disk)
    assert asked == [f"Password of {server.address}, or of your key: "]
    assert log.clean(PASSWORD) == "********"
    assert PASSWORD not in str(server.commands)


def test_without_key_and_terminal_nobody_gets_in(image: Image, server: Server, home: Path, disk: Path) -> None:
    (home / ".ssh/id_ecdsa").unlink()
    said = refusal(image, server, disk)
    assert f"{server.address}: does not let us in: it was offered no key and no password (add a key" in said


def test_a_named_key_lets_in(image: Image, server: Server, home: Path, disk: Path) -> None:
    assert f"--identity {home / 'none'}: is no file" in refusal(image, server, disk, "--identity", home / "none")
    key = (home / ".ssh/id_ecdsa").rename(home / "key")
    write(image, server, disk, "--identity", key)


def test_after_a_cut_it_goes_on_where_it_was(image: Image, server: Server, disk: Path) -> None:
    server.cut_at = 9 * MIB
    write(image, server, disk)
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()
    cut, rest = [count for count in server.received if count > MIB]
    assert cut > 9 * MIB
    assert rest < 10 * MIB  # of 13 with data; what was under way is lost


def test_after_a_cut_for_good_it_says_how_to_go_on(image: Image, server: Server, disk: Path) -> None:
    server.cut_at, server.closes = 9 * MIB, True
    said = refusal(image, server, disk, "--yes", "--serial", disk.name)
    assert f"{server.address}:{disk}: the connection was lost: " in said
    assert "(it does not start; run the same once more: what it has already is not sent again)" in said
    assert mark.read(disk).startswith("not finished: Postern 1.2.3 for fortimail-100, begun 20")


def test_what_the_disk_has_already_is_not_sent(image: Image, server: Server, disk: Path) -> None:
    write(image, server, disk)
    server.received.clear()
    write(image, server, disk)
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()
    assert max(server.received) < 2 * MIB  # the first MiB, which is written last, and digests


def test_a_user_who_is_not_root_needs_sudo(image: Image, server: Server, disk: Path) -> None:
    server.program("id", "echo 1000")
    server.program("sudo", 'test "$1" = -n && shift && exec "$@"')
    write(image, server, disk)
    assert disk.read_bytes()[: IMAGE_MIB * MIB] == content()
    server.program("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    said = refusal(image, server, disk)
    assert "root is not root there: sudo: a password is required (log in as root, or let root start python3" in said


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 127", "has no Python 3 (install it there (Debian: apt-get install python3), or start"),
        ("exit 90", "has a Python older than 3.9 (start that machine from a newer medium)"),
    ],
)
def test_without_python_it_says_what_is_needed(
    image: Image, server: Server, disk: Path, script: str, sentence: str
) -> None:
    server.program("python3", script)
    assert f"{server.address}: {sentence}" in refusal(image, server, disk)


def test_nothing_that_is_said_there_drives_our_terminal(
    image: Image, server: Server, disk: Path, lsblk: Lsblk, capsys: pytest.CaptureFixture[str]
) -> None:
    lsblk(disk, model="Quail\x1b[2J\x9b2J", label="a\rb\x7f")
    assert flash(image, server) == 0
    said = capsys.readouterr().out
    assert "Quail?[2J?2J" in said
    assert all(one.isprintable() or one == "\n" for one in said)


def test_without_util_linux_it_says_so(image: Image, server: Server, disk: Path) -> None:
    server.program("lsblk", "exit 127")
    assert "lsblk and losetup are in util-linux" in refusal(image, server, disk)


@pytest.mark.parametrize("text", ["host", "root@", "root@host:", "root@host:ssh", "@host", "root@::1", "a b@host"])
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"--ssh: is '.*' \(USER@HOST or USER@HOST:PORT would be right\)"):
        link.address(text)


def test_addresses() -> None:
    assert link.address("root@box.example.org") == link.Address("root", "box.example.org")
    assert link.address("ann@[2001:db8::1]:2222") == link.Address("ann", "2001:db8::1", 2222)


def test_nobody_there_is_told_in_a_line(image: Image, server: Server, disk: Path) -> None:
    server.close()
    said = refusal(image, server, disk)
    assert said.startswith(f"{server.address}: cannot be reached: Unable to connect to port {server.port}")


def test_its_options_need_a_machine(image: Image) -> None:
    words = ["flash", str(image.folder), "--fingerprint", "SHA256:x"]
    with pytest.raises(Refused, match="--fingerprint and --identity are for --ssh"):
        commands.flash(build.parser().parse_args(words))
