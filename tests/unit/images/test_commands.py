"""What build.py's commands refuse, all of it at once, and what they start."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import build
from hardware.host import age
from hardware.host.errors import Refused
from images import commands, manifest
from images.manifest import Manifest
from images.tools import Tools

ANSWERS = Path(__file__).parents[2] / "answers"


def start(*words: str | Path) -> int:
    """Run a command line of build.py, its environment being there."""
    arguments = build.parser().parse_args([str(word) for word in words])
    return commands.COMMANDS[arguments.command](arguments)


def refusal(*words: str | Path) -> list[str]:
    with pytest.raises(Refused) as refused:
        start(*words)
    return str(refused.value).splitlines()


@pytest.fixture
def out(tmp_path: Path, described: Manifest, cache: Path) -> Path:
    """A folder of images that holds one for vm-bios."""
    image = tmp_path / "out/vm-bios"
    image.mkdir(parents=True)
    (image / manifest.NAME).write_text(manifest.write(described))
    return image.parent


@pytest.mark.parametrize("command", [("build",), ("boot",), ("profiles", "show")], ids=" ".join)
def test_an_unknown_profile_offers_the_nearest(command: tuple[str, ...]) -> None:
    (line,) = refusal(*command, "vm-bois")
    assert "there is no hardware profile 'vm-bois' (did you mean vm-bios" in line


def test_a_build_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert refusal("build") == ["a build needs root (start it again with sudo)"]


def test_boot_without_image_or_tools_says_how_to_make_them(out: Path) -> None:
    (line,) = refusal("boot", "vm-uefi", "--out", out)
    assert line == f"{out}/vm-uefi: holds no image (make it first: ./build.py build vm-uefi)"
    assert refusal("boot", "vm-bios", "--out", out) == [
        "there is no tools tree yet (a build makes it: ./build.py build)"
    ]


def test_every_problem_of_a_twins_options_at_once(out: Path, tmp_path: Path) -> None:
    options = ["--disk", "/nowhere/a.qcow2", "--disk-size", "2", "--secrets", "no-secrets"]
    for text in ("25", "2525:25", "0:25", "25:65536", "a:b", "1:2:3"):
        options += ["--forward", text]
    lines = refusal("boot", "vm-bios", "--out", out, *options)
    hint = "is not HOST:GUEST (two TCP ports, such as 2525:25)"
    assert lines == [
        "no-secrets: cannot be read: No such file or directory",
        "--secrets: goes with an answer file (name it with --answers FILE)",
        "--disk: there is no folder /nowhere",
        "--disk-size: 2 GiB hold no box (3 or more)",
        *(f"--forward: {text!r} {hint}" for text in ("25", "0:25", "25:65536", "a:b", "1:2:3")),
    ]


def test_those_of_the_answer_file_are_among_them(out: Path, tmp_path: Path) -> None:
    answers, secrets = tmp_path / "answers.yaml", tmp_path / "secrets.yaml"
    text = (ANSWERS / "gateway-minimal.yaml").read_text()
    answers.write_text(text.replace("mailhost:", "mailhots:", 1))
    secrets.write_text("format: 1\nadmin: {passwort: secret words here}\n")
    lines = refusal("boot", "vm-bios", "--out", out, "--answers", answers, "--secrets", secrets, "--disk-size", "1")
    assert any(line.startswith(f"{answers}: mailhots: is not a setting (did you mean mailhost") for line in lines)
    assert any(line.startswith(f"{secrets}: admin.passwort: is not a setting (did you mean password") for line in lines)
    assert lines[-1].startswith("--disk-size: ")
    assert "secret words" not in "".join(lines)

    answers.write_text(text.replace("port1", "port9"))
    assert any(
        line.startswith(f"{answers}: network.ports.port9: vm-bios has no such port")
        for line in refusal("boot", "vm-bios", "--out", out, "--answers", answers)
    )
    answers.write_bytes(b"format: 1 # \xff\n")
    assert refusal("boot", "vm-bios", "--out", out, "--answers", answers) == [
        f"{answers}: cannot be read: is not UTF-8 text"
    ]


def test_a_twin_is_reached_on_the_loopback_alone(
    out: Path, tmp_path: Path, tools: Tools, program: Callable[[str, str], None]
) -> None:
    program("qemu-img", "")
    program("qemu-system-x86_64", f'printf "%s\\n" "$@" > {tmp_path}/arguments; exit 3')
    assert start("boot", "vm-bios", "--out", out, "--forward", "2525:25", "--headless") == 3
    given = (tmp_path / "arguments").read_text()
    assert given.count("hostfwd=") == given.count("hostfwd=tcp:127.0.0.1:2525-") == 1
    assert f"path={out}/vm-bios.log" in given


def test_every_unknown_lane_is_named() -> None:
    known = "(there are unit, golden, container, machine, bench)"
    assert refusal("test", "unit", "units", "benches") == [
        f"there is no lane 'units' {known}",
        f"there is no lane 'benches' {known}",
    ]


def test_lanes_that_start_no_box_need_no_root(
    tmp_path: Path, fake: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    python = fake("python", f'printf "%s\\n" "$@" > {tmp_path}/arguments; exit 5')
    monkeypatch.setattr(sys, "executable", str(python))
    assert start("test", "unit", "golden", "-k", "a or b", "--mirror", "http://mirror.example.org") == 5
    given = (tmp_path / "arguments").read_text().splitlines()
    assert [Path(word).name for word in given[-4:-2]] == ["unit", "golden"]
    assert given[-2:] == ["-ka or b", "--mirror=http://mirror.example.org"]
    assert refusal("test", "golden", "machine") == ["the machine lane needs root (start it again with sudo)"]


def test_profiles_are_for_scripts_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert start("profiles", "list", "--json") == start("profiles", "list") == 0
    told = capsys.readouterr().out
    rows, _ = json.JSONDecoder().raw_decode(told)
    assert [row["id"] for row in rows] == [line.split()[0] for line in told.splitlines()[-len(rows) :]]
    assert start("profiles", "show", "vm-bios", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == "vm-bios"


def test_an_answer_file_without_problems(capsys: pytest.CaptureFixture[str]) -> None:
    file = ANSWERS / "gateway.yaml"
    assert start("answers", "check", file, "--secrets", ANSWERS / "secrets.yaml", "--profile", "fortimail-100") == 0
    assert capsys.readouterr().out == f"{file}: no problems on fortimail-100\n"


def test_all_problems_of_an_answer_file_and_its_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, secrets = tmp_path / "a.yaml", tmp_path / "s.yaml"
    file.write_text((ANSWERS / "gateway.yaml").read_text().replace("port2:", "port9:").replace("mode:", "mood:"))
    secrets.write_text("format: 1\nadmin: {passwrd: x}\n")
    lines = refusal("answers", "check", file, "--secrets", secrets)
    assert any(line.startswith(f"{file}: mood: is not a setting") for line in lines)
    assert any(line.startswith(f"{secrets}: admin.passwrd: is not a setting") for line in lines)
    file.write_text((ANSWERS / "gateway.yaml").read_text().replace("port2:", "port9:"))
    (line,) = refusal("answers", "check", file)
    assert line.startswith(f"{file}: network.ports.port9: vm-uefi has no such port")
    assert start("answers", "check", file, "--json") == 2
    (problem,) = json.loads(capsys.readouterr().out)
    assert problem["path"] == "network.ports.port9"


def test_secrets_that_are_encrypted_to_somebody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, key, sealed = ANSWERS / "gateway.yaml", tmp_path / "key", tmp_path / "secrets.age"
    text, recipient = age.make_key()
    key.write_text(text)
    sealed.write_text(age.seal((ANSWERS / "secrets.yaml").read_text(), [recipient]))
    assert start("answers", "check", file, "--secrets", sealed, "--identity", key, "--profile", "fortimail-100") == 0
    assert refusal("answers", "check", file, "--secrets", sealed, "--profile", "fortimail-100") == [
        f"{sealed}: is encrypted (name the file of the key that opens it: --identity FILE)"
    ]


def test_what_is_encrypted_to_a_box_is_not_read_on_the_way_to_it(out: Path, tmp_path: Path) -> None:
    sealed = tmp_path / "secrets.age"
    sealed.write_text(age.seal("format: 1\n", [age.make_key()[1]]))
    answers = ANSWERS / "gateway-minimal.yaml"
    assert refusal("boot", "vm-bios", "--out", out, "--answers", answers, "--secrets", sealed) == [
        "there is no tools tree yet (a build makes it: ./build.py build)"
    ]


def test_the_schema_of_answer_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert start("answers", "schema") == 0
    assert json.loads(capsys.readouterr().out)["properties"]["format"]["const"] == 1
    assert refusal("answers", "check") == ["check needs an answer file (./build.py answers check FILE)"]
