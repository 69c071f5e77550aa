"""Which model the box is, and the refusal to run as another."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware import detect
from hardware import profile as profiles
from hardware.host.errors import Refused
from hardware.parts import Facts, Firmware, Match


def make_box(root: Path, facts: Facts, command_line: str = "") -> Path:
    """A root with what firmware and kernel tell of a box."""
    dmi = root / "sys/class/dmi/id"
    dmi.mkdir(parents=True)
    for name in ("sys_vendor", "product_name", "board_name"):
        if text := getattr(facts, name):
            (dmi / name).write_text(f"{text}\n")
    if facts.firmware is Firmware.UEFI:
        (root / "sys/firmware/efi").mkdir(parents=True)
    (root / "proc").mkdir()
    (root / "proc/cmdline").write_text(f"quiet {command_line} panic=10\n")
    return root


@pytest.mark.parametrize("profile", profiles.load_all(), ids=lambda profile: str(profile.id))
def test_every_twin_detects_as_itself(tmp_path: Path, profile: profiles.HardwareProfile) -> None:
    root = make_box(tmp_path, profile.twin.facts, f"postern.profile={profile.id}")
    assert detect.read_facts(root) == profile.twin.facts
    assert detect.identify(detect.read_facts(root)) == profile
    assert detect.check_box(root, {}) == profile


def test_no_two_profiles_ask_for_the_same() -> None:
    asked = [match for profile in profiles.load_all() for match in profile.match]
    assert len(set(map(str, asked))) == len(asked)


def test_the_wrong_box_is_refused_by_name(tmp_path: Path) -> None:
    apu2 = profiles.load("pcengines-apu2").twin.facts
    root = make_box(tmp_path, apu2, "postern.profile=fortimail-100")
    with pytest.raises(Refused) as refused:
        detect.check_box(root, {})
    (problem,) = refused.value.problems
    said = str(problem)
    assert said.startswith(
        "kernel command line: postern.profile: this image is for fortimail-100 (Fortinet FortiMail-100)"
    )
    assert 'this box looks like pcengines-apu2 (PC Engines apu2): sys_vendor "PC Engines"' in said
    assert "flash the image for pcengines-apu2, or add postern.force to the kernel command line" in said


def test_firmware_tells_models_apart(tmp_path: Path) -> None:
    root = make_box(tmp_path, profiles.load("vm-bios").twin.facts, "postern.profile=vm-uefi")
    with pytest.raises(Refused, match="looks like vm-bios"):
        detect.check_box(root, {})


@pytest.mark.parametrize(
    ("word", "runs"), [("postern.force", True), ("postern.force=1", True), ("postern.force=no", False)]
)
def test_force_runs_it_all_the_same(tmp_path: Path, word: str, runs: bool) -> None:
    root = make_box(tmp_path, profiles.load("vm-bios").twin.facts, f"postern.profile=fortimail-100 {word}")
    if runs:
        assert detect.check_box(root, {}).id == "fortimail-100"
    else:
        with pytest.raises(Refused):
            detect.check_box(root, {})


def test_the_generic_image_runs_anywhere(tmp_path: Path) -> None:
    root = make_box(tmp_path, Facts("ACME", "Rocket", "", Firmware.BIOS), "postern.profile=generic-x86-64")
    assert detect.check_box(root, {}).id == "generic-x86-64"


def test_a_box_that_nothing_matches(tmp_path: Path) -> None:
    facts = Facts("ACME", "Rocket", "", Firmware.BIOS)
    assert detect.identify(facts, [profiles.load("vm-uefi"), profiles.load("fortimail-100")]) is None
    root = make_box(tmp_path, facts, "postern.profile=vm-uefi")
    with pytest.raises(Refused, match="looks like generic-x86-64"):
        detect.check_box(root, {})


def test_a_credential_names_the_profile_and_is_forced(tmp_path: Path) -> None:
    root = make_box(tmp_path, Facts("", "", "", Firmware.BIOS))
    with pytest.raises(Refused, match="nothing says which hardware profile"):
        detect.check_box(root, {})
    folder = root / "run/credentials/@system"
    folder.mkdir(parents=True)
    (folder / "postern.profile").write_text("vm-uefi\n")
    assert detect.read_claim(root, {}) == detect.Claim("vm-uefi", "credential postern.profile", True)
    assert detect.check_box(root, {}).id == "vm-uefi"

    own = root / "run/credentials/postern.service"
    own.mkdir()
    (own / "postern.profile").write_text("vm-bios")
    environ = {"CREDENTIALS_DIRECTORY": "/run/credentials/postern.service"}
    assert detect.check_box(root, environ).id == "vm-bios"


def test_the_command_line_counts_before_the_credential(tmp_path: Path) -> None:
    root = make_box(tmp_path, profiles.load("vm-bios").twin.facts, "postern.profile=vm-bios")
    (root / "run/credentials/@system").mkdir(parents=True)
    (root / "run/credentials/@system/postern.profile").write_text("vm-uefi")
    assert detect.check_box(root, {}).id == "vm-bios"


def test_an_unknown_profile_offers_the_nearest(tmp_path: Path) -> None:
    root = make_box(tmp_path, Facts("", "", "", Firmware.BIOS), "postern.profile=vm-uef")
    with pytest.raises(Refused, match="did you mean vm-uefi"):
        detect.check_box(root, {})


def test_most_specific_first() -> None:
    facts = Facts("Fortinet Inc.", "FortiMail-100", "", Firmware.BIOS)
    loose, tight = Match(sys_vendor="Fortinet*"), Match(sys_vendor="Fortinet*", product_name="FortiMail-100")
    assert loose.accepts(facts)
    assert tight.accepts(facts)
    assert Match(sys_vendor="*").specificity < loose.specificity < tight.specificity
    assert not Match(sys_vendor="*", firmware=Firmware.UEFI).accepts(facts)
