"""`postern mode` on a box that is a folder."""

from __future__ import annotations

import io
import json

import pytest

from hardware.parts import OperationMode
from installer.box import change, cli, mode, words
from overlays.settings import parse_answers, parse_secrets
from tests.unit.installer.apply.conftest import ANSWERS, SECRETS, Lab, lab

__all__ = ["lab"]


@pytest.fixture
def box(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    """The lab's box in service, found by the command."""
    for module in (change, mode):
        monkeypatch.setattr(module, "open_box", lambda _: lab.box)
    for name, text in (("a.yaml", ANSWERS), ("s.yaml", SECRETS)):
        (lab.root / name).write_text(text)
    words = ("setup", "--answers", str(lab.root / "a.yaml"), "--secrets", str(lab.root / "s.yaml"))
    assert cli.main(words, lab.root) == 0
    capsys.readouterr()
    return lab


def run(box: Lab, *typed: str) -> int:
    return cli.main(("mode", *typed), box.root)


def test_there_and_back(box: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(box, "server", "--yes", "--confirm-within", "0") == 0
    said = capsys.readouterr().out
    assert "It drops:\n  domains.0.server: 192.0.2.25\n" in said
    assert "postern mode gateway` leads back" in said
    saved = box.places.state / "saved/gateway-0001.yaml"
    assert parse_answers(saved.read_text(), "saved") == parse_answers(ANSWERS, "first")
    hidden = saved.with_name("gateway-0001-secrets.yaml")
    assert hidden.stat().st_mode & 0o777 == 0o600
    assert parse_secrets(hidden.read_text(), "saved").has_password
    assert run(box, "gateway", "--yes", "--confirm-within", "0") == 0
    assert "It adds:\n  domains.0.server: 192.0.2.25\n" in capsys.readouterr().out
    current = box.box.store.current()
    assert current
    assert box.box.store.load(current)[0] == parse_answers(ANSWERS, "first")


class Keyboard(io.StringIO):
    """Lines typed at a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_server_that_nothing_names_is_asked_for(
    box: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A box that was a server from the start, on its way to a gateway."""
    at_first = ANSWERS.replace("mode: gateway", "mode: server").replace(", server: 192.0.2.25", "")
    (box.root / "a.yaml").write_text(at_first)
    assert cli.main(("apply", str(box.root / "a.yaml"), "--confirm-within", "0"), box.root) == 0
    monkeypatch.setattr(mode, "last", lambda *_: None)  # which no history of this box says
    monkeypatch.setattr("sys.stdin", Keyboard("\n"))
    assert run(box, "gateway", "--confirm-within", "0") == 2
    assert "domains.0.server: " in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", Keyboard("10.0.0.300\n192.0.2.25\ngateway\n"))
    assert run(box, "gateway", "--confirm-within", "0") == 0
    said = capsys.readouterr().out
    assert said.count("The mail server of example.com: ") == 2
    assert "'10.0.0.300' is not" in said
    assert "It adds:\n  domains.0.server: 192.0.2.25\n" in said
    monkeypatch.setattr("sys.stdin", Keyboard(""))
    assert run(box, "server", "--confirm-within", "0") == cli.INTERRUPTED  # Ctrl-D at the question
    assert len(box.box.store.history()) == 3


def test_a_look_changes_nothing(box: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(box, "server", "--check", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"mode": "server", "users": 0, "gone": {"domains.0.server": "192.0.2.25"}, "come": {}}
    assert len(box.box.store.history()) == 1
    assert not (box.places.state / "saved").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("gateway",), "this box is in gateway mode"),
        (("server",), "a change of the mode has to be confirmed"),
        (("server", "--json"), "--json goes with --check"),
        (("server", "--server", "example.net=192.0.2.1"), "'example.net=192.0.2.1' names no domain of this box"),
        (("server", "--server", "example.com=192.0.2.300"), "--server: example.com: "),
    ],
)
def test_refused(box: Lab, capsys: pytest.CaptureFixture[str], typed: tuple[str, ...], message: str) -> None:
    assert run(box, *typed) == 2
    assert message in capsys.readouterr().err
    assert len(box.box.store.history()) == 1


def test_the_command_line_knows_every_mode() -> None:
    assert set(words.MODES) == set(OperationMode)
