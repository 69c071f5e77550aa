"""A box's settings, secrets and keys into a file and back, on a box that is a folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hardware.host.errors import Refused
from installer.apply import device
from installer.apply.places import Stage
from installer.box import backup, change, cli, sealing
from installer.box.backup import Backup
from installer.wizard import console
from tests.unit.installer.apply.conftest import ANSWERS, HASH, SECRETS, Lab, lab

__all__ = ["lab"]

PASSPHRASE = "seven wrens sing at dusk"
TEXT = b"what lies in it"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work that a passphrase costs is for whoever guesses."""
    monkeypatch.setattr(sealing, "_WORK", 1 << 4)


@pytest.fixture
def box(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab's box in service, found by the command."""
    for module in (change, backup):
        monkeypatch.setattr(module, "open_box", lambda _: lab.box)
    for name, text in (("a.yaml", ANSWERS), ("s.yaml", SECRETS), ("other.yaml", ANSWERS.replace(".com", ".net"))):
        (lab.root / name).write_text(text)
    assert run(lab, "setup", "--answers", str(lab.root / "a.yaml"), "--secrets", str(lab.root / "s.yaml")) == 0
    return lab


def run(of: Lab, *words: str) -> int:
    return cli.main(words, of.root)


def typed(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """What comes through the pipe."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))


def made(of: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = of.root / "box.backup"
    typed(monkeypatch, PASSPHRASE)
    assert run(of, "backup", str(file)) == 0
    return file


def test_what_was_sealed_is_opened_by_its_passphrase_alone() -> None:
    data = sealing.sealed(TEXT, PASSPHRASE)
    assert TEXT not in data
    assert data != sealing.sealed(TEXT, PASSPHRASE)
    assert sealing.opened(data, PASSPHRASE, "file") == TEXT
    changed = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in (len(sealing.HEAD), 40, len(data) - 1)]
    for wrong, phrase in [(data, f"{PASSPHRASE} "), *((one, PASSPHRASE) for one in changed), (data[:60], PASSPHRASE)]:
        with pytest.raises(Refused, match="file: cannot be opened"):
            sealing.opened(wrong, phrase, "file")


@pytest.mark.parametrize(
    ("data", "why"), [(b"format: 1\n", "postern backup"), (b"", "postern backup"), (b"postern backup 2\n", "newer")]
)
def test_another_file_is_told_from_a_backup(data: bytes, why: str) -> None:
    with pytest.raises(Refused, match=f"is no backup that this version can read .*{why}"):
        sealing.require_sealed(data, "file")


def test_it_holds_what_nobody_can_make_again_and_shows_none_of_it(
    box: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    device.ensure_dkim(box.places, ["example.com.box.key"])
    file = made(box, monkeypatch)
    assert file.stat().st_mode & 0o777 == 0o600
    data = file.read_bytes()
    assert HASH.encode() not in data
    said = capsys.readouterr().out
    assert "keys (age, certificate/made, dkim, quarantine, ssh, webmail)" in said
    assert "Not in it: mail, queue, quarantine" in said
    found = backup.read(sealing.opened(data, PASSPHRASE, "file"), "file")
    assert HASH in found.secrets
    assert HASH not in repr(found)
    assert found.keys["dkim/example.com.box.key"] == (box.places.device / "dkim/example.com.box.key").read_text()
    assert {path for path in found.keys if path.endswith(".pub")} == {
        "ssh/ssh_host_ed25519_key.pub",
        "ssh/ssh_host_ecdsa_key.pub",
    }


def test_it_brings_back_settings_and_keys(box: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    device.ensure_dkim(box.places, ["example.com.box.key"])
    before, etc = device.kept(box.places), files_of(box.root / "etc")
    modes = {path: path.stat().st_mode for path in box.places.device.rglob("*")}
    file = made(box, monkeypatch)
    for path in box.places.device.rglob("*"):
        if path.is_file():
            path.write_text("another box's")
    assert run(box, "apply", str(box.root / "other.yaml")) == 0
    assert files_of(box.root / "etc") != etc
    box.forget_calls()
    typed(monkeypatch, PASSPHRASE)
    assert run(box, "restore", str(file), "--yes") == 0
    assert files_of(box.root / "etc") == etc
    assert device.kept(box.places) == before
    modes |= {path: 0o100600 for path in modes if path.name.endswith("_key")}  # by the real ssh-keygen
    assert {path: path.stat().st_mode for path in box.places.device.rglob("*")} == modes
    assert [call for call in box.calls("systemctl") if "restart" in call and "ssh.service" in call]


def files_of(folder: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("words", "line", "why"),
    [
        (["backup"], "too short", "shorter than 12 characters"),
        (["restore", "--yes"], "another passphrase", "cannot be opened"),
        (["restore"], PASSPHRASE, "a restore has to be confirmed (--yes"),
    ],
)
def test_a_refusal_changes_nothing(
    box: Lab,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
    why: str,
) -> None:
    file = made(box, monkeypatch)
    before = (file.read_bytes(), files_of(box.root / "etc"), device.kept(box.places))
    typed(monkeypatch, line)
    assert run(box, words[0], str(file), *words[1:]) == 2
    assert why in capsys.readouterr().err
    assert (file.read_bytes(), files_of(box.root / "etc"), device.kept(box.places)) == before


def test_what_the_box_cannot_take_is_refused_before_anything_is_written(
    box: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made(box, monkeypatch)
    keys = device.kept(box.places)
    box.break_("nft")
    for words in (["--yes"], ["--check"]):
        typed(monkeypatch, PASSPHRASE)
        assert run(box, "restore", str(file), *words) == 2
        assert "this is wrong" in capsys.readouterr().err
    box.mend("nft")
    assert device.kept(box.places) == keys
    assert len(box.box.store.history()) == 1
    typed(monkeypatch, PASSPHRASE)
    assert run(box, "restore", str(file), "--check") == 0
    assert len(box.box.store.history()) == 1


@pytest.mark.parametrize("path", ["../shadow", "ssh/../../shadow", "certificate/own-0123456789abcdef/key.pem", "tls"])
def test_no_other_file_is_written(path: str) -> None:
    text = Backup(
        format=1, name="a", profile="b", version="c", made="d", generation=1, answers="", secrets="", keys={path: ""}
    ).model_dump_json()
    with pytest.raises(Refused, match="no key of a box"):
        backup.read(text.encode(), "file")


def test_without_a_file_it_lies_where_settings_are_saved(
    box: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, PASSPHRASE)
    assert run(box, "restore", "--yes") == 2
    assert "no backup on" in capsys.readouterr().err
    typed(monkeypatch, PASSPHRASE)
    assert run(box, "backup") == 0
    (file,) = (box.places.state / "saved").glob("mx1.example.org-*.backup")
    typed(monkeypatch, PASSPHRASE)
    assert run(box, "restore", "--yes") == 0
    assert box.box.store.history()[-1].about.reason == f"restored from {file.name}"


def test_a_box_before_its_set_up_takes_it_at_its_console(
    box: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, PASSPHRASE)
    assert run(box, "backup") == 0
    kept, keys = box.box.store.current(), device.kept(box.places)
    box.box.store.switch(None)
    box.places.enter(Stage.FACTORY)
    here = console.Console("ttyS0", box.places)
    assert "Type restore and Enter" in here.welcome()
    monkeypatch.setattr(backup, "_passphrase", lambda twice: PASSPHRASE)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, stage in (("no", Stage.FACTORY), ("restore", Stage.IN_SERVICE)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        here.restore()
        assert box.places.stage() is stage
    assert "not confirmed, and nothing was changed" in capsys.readouterr().out
    now = box.box.store.current()
    assert now
    assert kept
    assert box.box.store.load(now) == box.box.store.load(kept)
    assert device.kept(box.places) == keys
