"""An installation at a console by a script: what is offered, what is typed, what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hardware.host.disks import Device
from hardware.host.errors import Problem, refuse
from images.manifest import Manifest
from installer.flash import receipt
from installer.flash.earlier import Earlier
from installer.flash.image import Image
from installer.flash.order import Shown
from installer.flash.receipt import Facts, Receipt
from installer.flash.target import Target
from installer.medium import by_hand, work
from installer.medium.rules import Finish
from installer.medium.work import Disk, Medium, Say, Slowly
from tests.unit.installer.wizard.script import Back, Script

FACTS = Facts(
    product="postern",
    version="1.2.3",
    profile="fortimail-100",
    image_sha256="ab",
    disk="/dev/sda",
    disk_model="Quail 3",
    disk_serial="WD-0001",
    disk_bytes=120 * 10**9,
    board_serial="",
    macs=(),
    began="2026-01-01T00:00:00Z",
    ended="2026-01-01T00:01:00Z",
)


MANIFEST = Manifest(
    format=1,
    product="postern",
    version="1.2.3",
    compatible="postern-fortimail-100",
    profile="fortimail-100",
    suite="trixie",
    level="development",
    disk_bytes=1,
    disk_sha256="",
    root_hash="",
    root_sha256="",
    boot_sha256="",
    artefacts=(),
    packages=(),
)


class Scripted(Medium):
    """A medium before two disks, which only remembers what it was to write, and fails so many times."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(Path("/nowhere"))
        self.image = Image(Path("/nowhere"), MANIFEST, ())
        self.written: list[str] = []
        self.earlier: Earlier | None = None
        self.failures = failures

    def disks(self) -> list[Disk]:
        first = shown("sda", "WD-0001")
        first = replace(first, row=replace(first.row, earlier=self.earlier))
        return [first, shown("sdb", "KING-3", "is an installation medium")]

    def install(self, chosen: Target, say: Say, *, keep: bool) -> Receipt:
        if self.failures:
            self.failures -= 1
            raise refuse("what was read back is not what was written", "replace it", where=str(chosen.path))
        say("writing")
        self.written.append(f"{chosen.path}{', data kept' if keep else ''}")
        facts = FACTS.model_copy(update={"result": receipt.KEPT}) if keep else FACTS
        return Receipt(facts=facts, key="KEY", signature="")


def shown(name: str, serial: str, *refused: str) -> Disk:
    path = f"/dev/{name}"
    device = Device(path, serial=serial, model="Quail 3", bytes=120 * 10**9, bus="sata")
    problems = tuple(Problem(path, "", reason) for reason in refused)
    row = Shown(path, device.model, serial, device.bytes, "sata", "ext4 'old'", problems)
    return Disk(Target(Path(path), device, device.bytes), row)


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[Finish]:
    """How the box was to end: a test does not switch its machine off."""
    ends: list[Finish] = []
    monkeypatch.setattr(work, "finish", ends.append)
    return ends


def test_disks_are_shown_and_the_one_whose_number_was_typed_is_written(finished: list[Finish]) -> None:
    ui, medium = Script(["sda", ("0001",), "reboot"]), Scripted()
    by_hand.install(ui, medium)
    assert medium.written == ["/dev/sda"]
    assert finished == [Finish.REBOOT]
    assert "/dev/sda: Quail 3 serial WD-0001, 120.0 GB on sata\n  on it:   ext4 'old'" in ui.text
    assert "  refused: is an installation medium" in ui.text
    assert "signed by KEY" in ui.text


def test_a_refused_disk_is_not_offered() -> None:
    with pytest.raises(AssertionError, match="sdb is not offered"):
        by_hand.install(Script(["sdb"]), Scripted())


def test_another_word_and_back_write_nothing(finished: list[Finish]) -> None:
    ui, medium = Script(["sda", ("0002",), ("",), Back(), "again", "power-off"]), Scripted()
    by_hand.install(ui, medium)
    assert (medium.written, finished) == ([], [Finish.POWER_OFF])
    assert "0002 was typed, and 0001 is asked for; nothing was written." in ui.text
    by_hand.install(Script([Back()]), medium)
    assert (medium.written, finished) == ([], [Finish.POWER_OFF])


def test_a_disk_that_fails_is_told_beside_the_list(finished: list[Finish]) -> None:
    ui, medium = Script(["sda", ("0001",), "sda", ("0001",), "power-off"]), Scripted(failures=1)
    by_hand.install(ui, medium)
    assert "what was read back is not what was written (replace it)" in ui.text
    assert (medium.written, finished) == (["/dev/sda"], [Finish.POWER_OFF])


def test_an_earlier_installation_is_kept_unless_somebody_chooses_otherwise(finished: list[Finish]) -> None:
    ui, medium = Script(["sda", "", ("0001",), "reboot"]), Scripted()
    medium.earlier = Earlier("1.1.0", "fortimail-100", "mx1.example.org", "")
    by_hand.install(ui, medium)
    assert (medium.written, finished) == (["/dev/sda, data kept"], [Finish.REBOOT])
    assert "/dev/sda has Postern 1.1.0 for fortimail-100 with settings and mail of mx1.example.org." in ui.text
    assert "Its data partition stays: settings and mail of mx1.example.org." in ui.text
    assert "Written and read back; the data partition was kept: SHA-256" in ui.text


def test_it_is_lost_only_after_two_words_and_back_loses_nothing(finished: list[Finish]) -> None:
    answers = ["sda", Back(), "sda", "overwrite", Back(("",)), "sda", "overwrite", ("0001",), "reboot"]
    ui, medium = Script([*answers]), Scripted()
    medium.earlier = Earlier("1.1.0", "fortimail-100", "mx1.example.org", "")
    by_hand.install(ui, medium)
    assert medium.written == ["/dev/sda"]
    assert "Everything on /dev/sda will be lost, settings and mail of mx1.example.org too." in ui.text


def test_what_cannot_be_kept_is_said_before_it_is_lost(finished: list[Finish]) -> None:
    ui, medium = Script(["sda", ("0001",), "reboot"]), Scripted()
    medium.earlier = Earlier("", "", "", "it has no partition root-b, and the image has one")
    by_hand.install(ui, medium)
    assert medium.written == ["/dev/sda"]
    assert "will be lost, settings and mail of a box that has no name too." in ui.text
    assert "Its data cannot be kept: it has no partition root-b, and the image has one." in ui.text


def test_progress_is_a_line_now_and_then() -> None:
    now, said = [0.0], list[str]()
    steps = Slowly(1, said.append, lambda: now[0])
    with steps.step("write the image"):
        for second in range(25):
            now[0] = float(second)
            steps.progress(f"{second} s")
    assert said[:3] == ["[1/1] write the image", "    10 s", "    20 s"]
    assert len(said) == 4
