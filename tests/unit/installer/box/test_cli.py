"""The command on a box that is a folder."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from hardware.host import age, grubenv
from hardware.host.errors import Problem, Refused
from installer.apply import pipeline
from installer.apply.pipeline import apply
from installer.apply.store import Store
from installer.box import change, cli, loader, log, words
from installer.box import settings as settings_command
from installer.update import slots
from overlays.settings import Secrets, Settings, parse_answers
from tests.unit.installer.apply.conftest import (
    ANSWERS,
    HASH,
    PASSWORD,
    SECRETS,
    Lab,
    lab,
    other,
    secrets,
    settings,
    steps,
)

__all__ = ["lab", "other", "secrets", "settings", "steps"]


@pytest.fixture
def box(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab's box, found by the command."""
    monkeypatch.setattr(change, "open_box", lambda _: lab.box)
    monkeypatch.setattr(settings_command, "open_box", lambda _: lab.box)
    return lab


def run(box: Lab, *words: str) -> int:
    return cli.main(words, box.root)


def files(box: Lab, answers: str = ANSWERS) -> tuple[str, str]:
    for name, text in (("a.yaml", answers), ("s.yaml", SECRETS)):
        (box.root / name).write_text(text)
    return str(box.root / "a.yaml"), str(box.root / "s.yaml")


def test_a_life(box: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    answers, secrets_file = files(box)
    assert run(box, "setup", "--answers", answers, "--secrets", secrets_file) == 0
    assert "Generation 1 is in force: started" in capsys.readouterr().out
    (box.root / "a.yaml").write_text(ANSWERS.replace("example.com", "example.net"))
    assert run(box, "apply", answers, "--reason", "moved") == 0
    assert run(box, "settings", "rollback") == 0
    assert run(box, "settings", "history") == 0
    out = capsys.readouterr().out
    assert "moved" in out
    assert "*    3" in out
    assert "back to generation 1" in out
    assert run(box, "settings", "show") == 0
    shown = capsys.readouterr().out
    assert parse_answers(shown, "shown") == parse_answers(ANSWERS, "first")
    assert "password" not in shown
    saved = box.root / "saved.yaml"
    assert run(box, "settings", "save", str(saved), "--secrets", str(box.root / "hidden.yaml")) == 0
    assert saved.read_text() == shown
    assert (box.root / "hidden.yaml").stat().st_mode & 0o777 == 0o600


def test_secrets_are_saved_for_one_who_holds_a_key(box: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """And this box's own recipient is told, so that it may be the one."""
    answers, secrets_file = files(box)
    assert run(box, "setup", "--answers", answers, "--secrets", secrets_file) == 0
    capsys.readouterr()
    assert run(box, "settings", "recipient") == 0
    recipient = capsys.readouterr().out.strip()
    assert recipient.startswith("age1")
    hidden = box.root / "hidden.age"
    assert run(box, "settings", "save", "--secrets", str(hidden), "--recipient", recipient) == 0
    assert HASH not in hidden.read_text()
    assert HASH in age.opened(hidden.read_bytes(), "hidden", box.places.age_key)
    assert run(box, "apply", answers, "--secrets", str(hidden), "--check") == 0
    assert run(box, "settings", "save", "--recipient", recipient) == 2
    assert "--recipient goes with a secrets file" in capsys.readouterr().err


def test_each_problem_is_a_line_and_the_status_is_two(box: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    answers, _ = files(box, ANSWERS.replace("mode: gateway", "mode: gatway").replace("domains:", "domians:"))
    assert run(box, "setup", "--answers", answers, "--check") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{answers}: ") for line in lines)


def test_check_changes_nothing(box: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    answers, secrets_file = files(box)
    assert run(box, "setup", "--answers", answers, "--secrets", secrets_file, "--check") == 0
    assert "no problems" in capsys.readouterr().out
    assert Store(box.places).history() == []


@pytest.mark.parametrize("words", [["apply"], ["settings", "show"], ["settings", "rollback"], ["settings", "save"]])
def test_before_the_setup(box: Lab, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(box, *words) == 2
    assert "this box is not set up" in capsys.readouterr().err


def test_status_for_people_and_programs(
    box: Lab, settings: Settings, secrets: Secrets, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(box, "status") == 0
    assert "State       " in capsys.readouterr().out
    apply(box.box, settings, secrets, "first")
    capsys.readouterr()
    (box.root / "var/spool/postfix/deferred/A").mkdir(parents=True)
    (box.root / "var/spool/postfix/deferred/A/A1").touch()
    kept = box.root / "var/vmail/example.com/ann@example.com/Maildir/.Quarantine/new/1"
    kept.parent.mkdir(parents=True)
    kept.write_text("a message")
    os.utime(kept, (0, 0))
    assert run(box, "status", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quarantine"] == {"messages": 1, "size_bytes": 9, "oldest": "1970-01-01T00:00:00+00:00"}
    assert (told["definitions_days"], told["log_server"]) == (None, None)
    assert (told["stage"], told["mode"], told["name"]) == ("in-service", "gateway", "mx1.example.org")
    assert told["queue"]["deferred"] == 1
    assert told["services"]["postfix"] == "active"
    assert [port["name"] for port in told["ports"]] == list(box.box.profile.port_names)


@pytest.mark.parametrize(
    ("words", "acts"),
    [
        ("users add ann@example.com", True),
        ("settings edit", True),
        ("factory-reset --keep-mail", True),
        ("settings show", False),
        ("quarantine list", False),
        ("status", False),
        ("answers", False),
        ("trace x", False),
    ],
)
def test_acts_are_told_to_the_journal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, acts: bool
) -> None:
    told: list[str] = []
    monkeypatch.setattr(cli, "act", told.append)
    monkeypatch.setattr(cli, "_dispatch", lambda *_: 0)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cli.main(words.split()) == 0
    assert told == [f"root runs: postern {words}"] * acts


def test_interrupted(box: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(change, "main", interrupt)
    assert run(box, "apply") == 130


def test_no_password_on_the_screen(box: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    answers, secrets_file = files(box)
    box.break_("port-25")
    assert run(box, "setup", "--answers", answers, "--secrets", secrets_file) == 2
    told = capsys.readouterr()
    assert PASSWORD not in told.out + told.err


def test_an_edit_is_offered_again_with_its_problems(
    box: Lab, settings: Settings, secrets: Secrets, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    apply(box.box, settings, secrets, "first")
    rounds: list[str] = []

    def edit(_: str, path: Path) -> None:
        text = path.read_text()
        rounds.append(text)
        path.write_text(
            text.replace("gateway", "gatway")
            if len(rounds) == 1
            else text.replace("gatway", "gateway") + "access: []\n"
        )

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(settings_command, "_run_editor", edit)
    monkeypatch.setattr(settings_command, "_again", lambda: True)
    settings_command.edit(box.box, "", "by hand", confirm_within=0)
    assert rounds[1].startswith(settings_command.MARK)
    assert "mode: gatway" in rounds[1]
    assert "gatway" in capsys.readouterr().err
    current = Store(box.places).current()
    assert current is not None
    assert current.about.reason == "by hand"


def test_marks_go_as_they_came() -> None:
    marked = settings_command.with_marks("format: 1\n", [Problem("settings", "mode", "is missing")])
    assert "# postern: settings: mode: is missing" in marked
    assert settings_command.without_marks(marked) == "format: 1\n"


def test_log_is_the_journal(box: Lab) -> None:
    words = log.command(box.places, "mail", True, "1 hour ago", 10)
    assert words[0] == "journalctl"
    assert {"--no-pager", "--unit=postfix.service", "--follow", "--since=1 hour ago", "--lines=10"} <= set(words)


def test_reset_keeps_the_mail(box: Lab, settings: Settings, secrets: Secrets) -> None:
    apply(box.box, settings, secrets, "first")
    queued = box.root / "var/spool/postfix/deferred/A1"
    queued.parent.mkdir(parents=True)
    queued.touch()
    box.places.acme.mkdir(parents=True)
    assert run(box, "factory-reset", "--keep-mail", "--yes") == 0
    assert not box.places.acme.exists()
    assert Store(box.places).history() == []
    assert not box.places.device.exists()
    assert queued.exists()
    assert box.calls("systemctl reboot")


def test_reset_wipes_by_way_of_the_boot_loader(box: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    block = box.places.run / "efi/grub/grubenv"
    block.parent.mkdir(parents=True)
    block.write_bytes(grubenv.render({"ORDER": "A B", "A_OK": "1"}))
    (box.root / "proc/cmdline").write_text("postern.slot=A postern.profile=vm-uefi postern.force\n")
    monkeypatch.setattr(slots, "boot_partition", lambda *_: Path("/dev/null"))
    assert run(box, "factory-reset", "--wipe-mail", "--yes") == 0
    assert grubenv.read(block) == {"ORDER": "A B", "A_OK": "1", "RESET": "data"}
    assert box.calls("umount")
    assert box.calls("systemctl reboot")


def test_a_password_of_the_boot_loaders_menu(
    box: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grub = box.places.run / "efi/grub"
    grub.mkdir(parents=True)
    assert run(box, "loader-password", "--remove") == 2
    assert "there is no boot loader here" in capsys.readouterr().err
    (box.root / "proc/cmdline").write_text("postern.slot=A postern.profile=vm-uefi postern.force\n")
    monkeypatch.setattr(slots, "boot_partition", lambda *_: Path("/dev/null"))
    monkeypatch.setattr("sys.stdin", io.StringIO("short\nmenu words 12\nmenu words 12\n"))
    assert run(box, "loader-password") == 2
    assert "it needs 8 characters or more" in capsys.readouterr().err
    assert run(box, "loader-password") == 2
    assert "older than its menu" in capsys.readouterr().err
    (grub / "menu.cfg").touch()
    assert run(box, "loader-password") == 0
    text = (grub / "password.cfg").read_text()
    salt = bytes.fromhex(text.split("grub.pbkdf2.sha512.10000.")[1].split(".")[0])
    assert f"password_pbkdf2 admin {loader.hidden('menu words 12', salt)}\n" in text
    assert "function allowed { authenticate admin; }\n" in text
    assert run(box, "loader-password", "--remove") == 0
    shipped = (Path(__file__).parents[4] / "images/bootloader/password.cfg").read_text()
    assert (grub / "password.cfg").read_text() == "".join(
        row for row in shipped.splitlines(keepends=True) if not row.startswith("#")
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--yes"], "say what becomes of the mail"),
        (["--keep-mail"], "has to be confirmed"),
        (["--wipe-mail", "--yes"], "not started by its boot loader"),
    ],
)
def test_reset_without_an_answer(box: Lab, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert run(box, "factory-reset", *words) == 2
    assert message in capsys.readouterr().err


def test_a_refusal_of_apply_reaches_the_screen(
    box: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, secrets_file = files(box)
    monkeypatch.setattr(pipeline, "accept", lambda *_, **__: (_ for _ in ()).throw(Refused([Problem("nft", "", "no")])))
    assert run(box, "setup", "--answers", answers, "--secrets", secrets_file) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "nft: no"


def test_help_of_everything(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        [],
        ["status"],
        ["setup"],
        ["apply"],
        ["settings"],
        ["settings", "edit"],
        ["log"],
        ["users"],
        ["factory-reset"],
    ):
        with pytest.raises(SystemExit) as leaving:
            words.parser().parse_args([*command, "--help"])
        assert leaving.value.code == 0
    assert "take-certificate" not in capsys.readouterr().out.split("COMMAND", 1)[1].split("options")[0]
