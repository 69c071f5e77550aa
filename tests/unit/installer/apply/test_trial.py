"""What could lock its maker out is on trial."""

from __future__ import annotations

import os
import pty
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hardware.host.errors import Refused
from hardware.host.log import Steps
from installer.apply import boot as booting
from installer.apply import pipeline, trial
from installer.apply.boot import boot
from installer.apply.pipeline import apply
from installer.apply.store import Generation, Verdict
from installer.box import confirm
from overlays.settings import Secrets, Settings, parse_answers
from tests.unit.installer.apply.conftest import ANSWERS, Lab

ELSEWHERE = ANSWERS.replace("192.0.2.10/24", "192.0.2.11/24")


@pytest.fixture
def tried(lab: Lab, settings: Settings, secrets: Secrets, steps: Steps) -> Generation:
    """The second generation of the box, with another address."""
    apply(lab.box, settings, secrets, "first", steps, confirm_within=120)
    assert lab.calls("systemd-run") == []
    return apply(lab.box, parse_answers(ELSEWHERE, "a"), secrets, "second", steps, confirm_within=120).generation


def addresses(lab: Lab) -> str:
    return "".join(path.read_text() for path in (lab.root / "etc/systemd/network").iterdir())


def in_force(lab: Lab) -> tuple[int, Verdict]:
    current = lab.box.store.current()
    assert current
    return current.number, current.about.verdict


@pytest.mark.parametrize(
    ("answers", "on_trial"),
    [
        (ANSWERS.replace("example.com", "example.net"), False),
        (ELSEWHERE, True),
        (ANSWERS.replace("allow: [ping, ssh, smtp]", "allow: [ping, smtp]"), True),
        (ANSWERS.replace("mode: gateway", "mode: server").replace(", server: 192.0.2.25", ""), True),
        (
            ANSWERS
            + "admin: {keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJLgGrtE2vDWE6UdrWSYtjGRrb/GItqYgr2qeyfRFLki]}\n",
            True,
        ),
    ],
)
def test_what_is_tried_before_it_lasts(
    lab: Lab, settings: Settings, secrets: Secrets, steps: Steps, answers: str, on_trial: bool
) -> None:
    apply(lab.box, settings, secrets, "first", steps)
    assert trial.needed(lab.box.store, parse_answers(answers, "a")) is on_trial
    assert not trial.needed(lab.box.store, settings)


def test_it_lasts_when_it_is_confirmed(lab: Lab, tried: Generation) -> None:
    assert in_force(lab) == (2, Verdict.TRIAL)
    clocks = lab.calls("systemd-run")
    assert ["postern take-back 2" in clock for clock in clocks] == [True, True]
    assert "--on-active=120 " in clocks[-1]
    kept = pipeline.confirm(lab.box)
    assert kept
    assert kept.number == tried.number
    assert lab.calls("systemctl")[-1].endswith("stop postern-trial.timer")
    assert pipeline.take_back(lab.box, 2) == ""
    assert in_force(lab) == (2, Verdict.GOOD)
    assert pipeline.confirm(lab.box) is None


def test_it_is_taken_back_when_its_time_is_over(lab: Lab, tried: Generation) -> None:
    assert "192.0.2.11" in addresses(lab)
    assert pipeline.take_back(lab.box, 1) == ""
    assert pipeline.take_back(lab.box, 2) == "generation 2 was taken back; generation 1 is in force"
    assert in_force(lab) == (1, Verdict.GOOD)
    assert "192.0.2.10" in addresses(lab)
    assert pipeline.confirm(lab.box) is None


def test_it_is_taken_back_at_a_start(lab: Lab, tried: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booting, "Box", lambda places, profile: lab.box)
    lab.reboot()
    said: list[str] = []
    boot(lab.places, said.append)
    assert "generation 2 was not confirmed before this start of the box, and was taken back" in said
    assert in_force(lab) == (1, Verdict.GOOD)
    assert lab.box.store.get(2).about.verdict is Verdict.FAILED
    assert "192.0.2.10" in addresses(lab)


def test_meanwhile_nothing_else_is_changed(lab: Lab, tried: Generation, settings: Settings, secrets: Secrets) -> None:
    with pytest.raises(Refused, match="generation 2 waits to be confirmed"):
        apply(lab.box, settings, secrets, "third")


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A terminal, and what is typed on it."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, closefd=False) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr(confirm, "_interactive", lambda: True)
        yield lambda words: (os.write(ours, words.encode()), None)[1]
    os.close(ours)
    os.close(theirs)


def test_yes_on_the_terminal(
    lab: Lab, tried: Generation, keyboard: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard("perhaps\n")
    threading.Timer(0.5, lambda: keyboard("y\n")).start()
    confirm.ask(lab.box, tried, 30)
    assert in_force(lab) == (2, Verdict.GOOD)
    said = capsys.readouterr().out
    assert "taken back in 30 s unless it is confirmed" in said
    assert "Please type y or n." in said
    assert said.endswith("Generation 2 stays in force.\n")


@pytest.mark.parametrize("typed", ["n\n", ""])
def test_no_on_the_terminal_or_nothing_at_all(
    lab: Lab, tried: Generation, keyboard: Callable[[str], None], typed: str
) -> None:
    keyboard(typed)
    with pytest.raises(Refused, match="generation 2 was not confirmed"):
        confirm.ask(lab.box, tried, 1)
    assert in_force(lab) == (1, Verdict.GOOD)


def test_it_was_confirmed_elsewhere(lab: Lab, tried: Generation, keyboard: Callable[[str], None]) -> None:
    threading.Timer(0.5, lambda: pipeline.confirm(lab.box)).start()
    began = time.monotonic()
    confirm.ask(lab.box, tried, 30)
    assert time.monotonic() - began < 10
    assert in_force(lab) == (2, Verdict.GOOD)


def test_a_terminal_that_goes_away_leaves_it_to_the_clock(
    lab: Lab, tried: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr(confirm, "_interactive", lambda: True)
        confirm.ask(lab.box, tried, 30)
    assert in_force(lab) == (2, Verdict.TRIAL)
