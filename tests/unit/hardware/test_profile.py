"""Hardware profiles: what the shipped ones say, and what is said about a bad one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardware import profile as profiles
from hardware.host.documents import nearest
from hardware.host.errors import Refused
from hardware.parts import Console, Firmware, OperationMode, Status
from hardware.profile import HardwareProfile

SHIPPED = ["fortimail-100", "generic-x86-64", "pcengines-apu2", "vm-bios", "vm-uefi", "vmware"]

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """What is said about a shipped profile after an edit: one problem a line."""

    def edited(edit: Edit, name: str = "pcengines-apu2") -> str:
        record = yaml.safe_load((profiles.PROFILES / f"{name}.yaml").read_text())
        edit(record)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(record))
        with pytest.raises(Refused) as refused:
            profiles.load(name, tmp_path)
        return str(refused.value)

    return edited


def test_the_shipped_profiles_load_by_their_names() -> None:
    assert profiles.names() == SHIPPED
    assert [profile.id for profile in profiles.load_all()] == SHIPPED
    assert profiles.DEFAULT in SHIPPED


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(Refused, match=r"no hardware profile 'fortimail-10' \(did you mean fortimail-100\?\)"):
        profiles.load("fortimail-10")
    with pytest.raises(Refused, match=r"known: fortimail-100, .*vm-uefi"):
        profiles.load("../../etc/passwd")
    assert "vm-bios" in nearest("vmbios", SHIPPED)


def test_every_problem_is_reported_at_once(refusal: Callable[..., str]) -> None:
    def edit(record: dict[str, Any]) -> None:
        record["ram_mb"] = record.pop("ram_mib")
        record["consoles"][0]["baud"] = 9601
        record["nics"]["speed_mbit"] = "fast"
        record["twin"]["firmware"] = "coreboot"
        record["match"][0]["board_nam"] = record["match"][0].pop("board_name")

    lines = refusal(edit).splitlines()
    said = {line.split(": ")[1]: line for line in lines}
    assert set(said) == {
        "ram_mb", "ram_mib", "consoles.0.baud", "nics.speed_mbit", "twin.firmware", "match.0.board_nam",
    }  # fmt: skip
    assert all("pcengines-apu2.yaml: " in line for line in lines)
    assert said["ram_mb"].endswith("is not a setting (did you mean ram_mib?)")
    assert "is missing" in said["ram_mib"]
    assert "9600, 19200, 38400, 57600 or 115200 would be right" in said["consoles.0.baud"]
    assert "a whole number above 0 would be right, or `unknown`" in said["nics.speed_mbit"]
    assert "'bios' or 'uefi' would be right" in said["twin.firmware"]
    assert "did you mean board_name" in said["match.0.board_nam"]


def _set(*path: str | int, to: object) -> Edit:
    def edit(record: dict[str, Any]) -> None:
        here: Any = record
        for part in path[:-1]:
            here = here[part]
        here[path[-1]] = to

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_set("format", to=2), "format: has format 2, and this version reads up to 1"),
        (_set("id", to="apu2"), "id: is 'apu2', and the file is pcengines-apu2.yaml"),
        (_set("ram_mib", to=-1), "ram_mib: is -1; a whole number above 0"),
        (_set("ram_mib", to=True), "ram_mib: is True; a whole number above 0"),
        (_set("match", 0, to={}), "match.0: is empty"),
        (_set("consoles", 0, "baud", to=None), "consoles.0: ttyS0 is a serial line and needs its baud"),
        (_set("consoles", 0, "tty", to="ttyUSB0"), "consoles.0.tty: "),
        (_set("consoles", to=[{"tty": "tty0"}]), "consoles: has no serial line"),
        (_set("consoles", to=[{"tty": "tty0", "baud": 9600}]), "consoles.0: tty0 is the screen"),
        (_set("consoles", to=[{"tty": "ttyS0", "baud": 9600}] * 2), "consoles: ttyS0 stands here twice"),
        (_set("nics", "count", to=4), "nics: 4 ports bound by pci need 4 addresses"),
        (_set("nics", "least", to=4), "nics: least is 4, more than count"),
        (_set("nics", "bind", to="order"), "nics: a binding by order takes no addresses"),
        (_set("nics", "bind", to="mac"), "not a mac address such as 00:0d:b9:00:00:01"),
        (_set("nics", "addresses", to=["0000:01:00.0"] * 3), "nics: two ports have the same address"),
        (_set("nics", "addresses", 0, to=3.0), "nics.addresses.0: is not a text: write the address in quotes"),
        (_set("nics", "addresses", 0, to="0000:09:00.0"), "twin.nics.addresses: are not where nics.addresses binds"),
        (_set("twin", "disk", "bus", to="ide"), "twin: a disk on ide needs machine: pc"),
        (_set("twin", "machine", to="pc"), "twin: a disk on sata needs machine: q35"),
        (_set("twin", "nics", "model", to="igb"), "twin.nics.model: cannot be 'igb'"),
        (_set("twin", "nics", "addresses", 0, to="0000:02:00.0"), "twin: nics: addresses are different places"),
        (_set("twin", "nics", "addresses", 0, to="0000:00:10.0"), "twin: nics: 00:10.0 is taken"),
        (_set("twin", "nics", "addresses", 2, to="0000:07:00.0"), "twin: nics: beyond bus 00, the buses count"),
        (_set("twin", "nics", "addresses", to=["0000:01:00.0"]), "twin.nics.addresses: are 1, and the model has 3"),
        (_set("twin", "memory_mib", to=1024), "twin.memory_mib: is less than ram_mib, which is 2048"),
        (_set("twin", "firmware", to="uefi"), "twin.firmware: is uefi, which the model does not have"),
        (_set("twin", "dmi", "board", to="APU9"), "twin.dmi: is not what `match` recognizes"),
        (_set("disks", 0, "size_gib", to=64), "twin.disk.size_gib: is less than disks, which are 64 GiB"),
        (_set("remarks", to=["two\nlines"]), "remarks.0: "),
        (_set("op_modes", to=[]), "op_modes: is empty, and one is the least"),
        (_set("op_modes", to=["bridge"]), "op_modes.0: cannot be 'bridge'"),
        (
            _set("sources", "nics.conut", to="memory"),
            "sources.nics.conut: names no field of this profile (did you mean",
        ),
        (_set("sources", "cpu.cores", to="I know"), "sources.cpu.cores: starts with an address, or with memory"),
    ],
)
def test_a_mistake_is_named_with_its_place(refusal: Callable[..., str], edit: Edit, said: str) -> None:
    assert said in refusal(edit)


def test_a_paper_profile_without_a_source_for_a_field_is_refused(refusal: Callable[..., str]) -> None:
    def edit(record: dict[str, Any]) -> None:
        del record["sources"]["ram_mib"]
        del record["sources"]["nics.driver"]
        del record["sources"]["consoles.0.tty"], record["sources"]["consoles.0.baud"]

    lines = refusal(edit).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["ram_mib", "consoles", "nics.driver"]
    assert all("has no source" in line for line in lines)
    assert "add ram_mib: to sources" in lines[0]


def test_only_paper_needs_sources(tmp_path: Path) -> None:
    record = yaml.safe_load((profiles.PROFILES / "pcengines-apu2.yaml").read_text())
    del record["sources"]
    record["status"] = "booted"
    (tmp_path / "pcengines-apu2.yaml").write_text(yaml.safe_dump(record))
    assert profiles.load("pcengines-apu2", tmp_path).sources == {}


def test_the_problems_of_all_files_come_together(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("format: 1\n")
    with pytest.raises(Refused) as refused:
        profiles.load_all(tmp_path)
    assert {problem.where for problem in refused.value.problems} == {
        str(tmp_path / "one.yaml"),
        str(tmp_path / "two.yaml"),
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schema_accepts_what_the_model_does(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    record = yaml.safe_load((profiles.PROFILES / f"{name}.yaml").read_text())
    jsonschema.validate(record, profiles.schema())
    record["ram_mib"] = "much"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, profiles.schema())


def test_the_fortimail_twin_is_what_was_decided() -> None:
    profile = profiles.load("fortimail-100")
    twin = profile.twin
    assert profile.status is Status.PAPER
    assert (twin.firmware, twin.disk.bus, twin.disk.size_gib, twin.memory_mib) == (Firmware.BIOS, "ide", 120, 1024)
    assert len(twin.nics.addresses) == profile.nics.count == 4
    assert profile.nics.speed_mbit == 100
    assert str(profile.serial_console) == "ttyS0 at 9600 8N1, no flow control"
    assert not profile.has_screen
    assert "64-bit" in profile.remarks[0]
    assert profile.op_modes == tuple(OperationMode)


def test_one_console_record_makes_boot_loader_kernel_and_login() -> None:
    profile = profiles.load("fortimail-100")
    assert profile.grub_terminal == (
        "serial --unit=0 --speed=9600 --word=8 --parity=no --stop=1\nset line_status=0x3fd\n"
        "terminal_input serial\nterminal_output serial\n"
    )
    assert profile.kernel_consoles == "console=ttyS0,9600n8"
    getty = profile.consoles[0].getty
    assert (getty.unit, getty.arguments) == ("serial-getty@ttyS0.service", ("ttyS0", "9600", "vt220"))


def test_a_screen_is_a_console_too() -> None:
    profile = profiles.load("vm-uefi")
    assert profile.grub_terminal.splitlines()[2:] == ["terminal_input serial console", "terminal_output serial console"]
    assert profile.kernel_consoles == "console=tty0 console=ttyS0,115200n8"
    assert profile.consoles[0].getty.arguments == ("tty1", "linux")
    assert profile.consoles[0].grub_serial == ""


def test_the_second_serial_port_works() -> None:
    console = Console.model_validate({"tty": "ttyS1", "baud": 57600, "parity": "even", "bits": 7, "flow": "rtscts"})
    assert console.grub_serial == "serial --unit=1 --speed=57600 --word=7 --parity=even --stop=1 --rtscts=on"
    assert console.status_port == 0x2FD
    assert console.kernel_argument == "console=ttyS1,57600e7r"
    assert console.getty.unit == "serial-getty@ttyS1.service"
    assert console.getty.arguments == ("--flow-control", "ttyS1", "57600", "vt220")


def test_bindings_are_json_for_early_boot() -> None:
    bindings = json.loads(profiles.bindings_json(profiles.load_all()))
    assert list(bindings) == SHIPPED
    assert bindings["fortimail-100"] == {"bind": "order", "count": 4, "addresses": []}
    assert bindings["pcengines-apu2"]["addresses"] == ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_profile_can_be_shown(name: str) -> None:
    profile = profiles.load(name)
    text, row = profiles.describe(profile), profiles.summary(profile)
    assert text.startswith(f"{name}: {profile.vendor} {profile.model} ({profile.status})\n")
    assert all(remark in text for remark in profile.remarks)
    assert all(f"{path}: {source}" in text for path, source in profile.sources.items())
    assert (row.id, row.ports) == (name, len(profile.port_names))
    assert json.dumps(row.__dict__)


def test_a_profile_is_a_value() -> None:
    profile = profiles.load("vm-uefi")
    assert profile.port_names == ("port1", "port2", "port3", "port4")
    with pytest.raises(ValueError):
        profile.ram_mib = 1  # type: ignore[misc]  # frozen, and that is the point
    assert HardwareProfile.model_validate(profile.model_dump(mode="json", exclude_unset=True)) == profile
