"""What a medium's console says while nobody installs, while somebody does, and after rules that fitted no disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.host.errors import refuse
from installer.apply.places import Places
from installer.medium import console, unattended
from installer.medium.console import Installer
from installer.wizard.console import Console
from installer.wizard.turn import turn


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text("postern.profile=fortimail-100 quiet")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text("IMAGE_VERSION=1.2.3\n")
    return Places(tmp_path)


def test_it_offers_the_installation(places: Places) -> None:
    said = Installer("ttyS0", places).welcome()
    assert "Postern 1.2.3 installation medium for fortimail-100" in said
    assert "Press Enter to install it on a disk of this box (console ttyS0)." in said


def test_it_waits_while_another_console_installs(places: Places) -> None:
    installer = Installer("tty1", places)
    with turn(installer.lock, "console ttyS0") as ours:
        assert ours
        assert "This box is being installed by console ttyS0. This console waits." in installer.welcome()


def test_rules_that_were_refused_are_told_to_who_comes_by(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: Places) -> None:
        raise refuse("no disk is left", where="install.yaml", path="disk")

    monkeypatch.setattr(unattended, "wanted", none)
    console.by_rules(places)
    said = Installer("ttyS0", places).welcome()
    assert "was not done:\ninstall.yaml: disk: no disk is left" in said
    assert "Press Enter to install it" in said


def test_words_of_a_box_before_its_set_up_lead_to_the_installation(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    installer = Installer("ttyS0", places)
    for typed, taken in (("restore", ""), ("answers", ""), ("plain", "plain"), (None, None)):
        monkeypatch.setattr(Console, "wait", lambda _, __, typed=typed: typed)
        assert installer.wait(installer.found()) == taken
