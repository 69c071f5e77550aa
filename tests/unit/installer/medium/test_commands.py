"""What `build.py medium` refuses before it makes anything."""

from __future__ import annotations

from pathlib import Path

import pytest

import build
from hardware.host.errors import Refused
from images import manifest
from installer.medium import commands
from tests.unit.installer.medium.test_by_hand import MANIFEST


def refusal(*words: str | Path) -> list[str]:
    with pytest.raises(Refused) as refused:
        commands.make(build.parser().parse_args(["medium", *map(str, words)]))
    return str(refused.value).splitlines()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out/fortimail-100"
    folder.mkdir(parents=True)
    (folder / manifest.NAME).write_text(manifest.write(MANIFEST))
    return folder.parent


def test_without_an_image_it_says_how_to_make_one(tmp_path: Path) -> None:
    (line,) = refusal("vm-bios", "--out", tmp_path)
    assert "holds no image (make it first: ./build.py build vm-bios)" in line


def test_all_problems_of_what_it_is_to_bring_at_once(out: Path, tmp_path: Path) -> None:
    answers, rules = tmp_path / "answers.yaml", tmp_path / "install.yaml"
    answers.write_text("format: 1\nmood: gateway\n")
    rules.write_text("format: 1\ndisk: {seral: x}\nfinish: sleep\n")
    words = ("--answers", answers, "--secrets", "no-secrets", "--install", rules)
    lines = "\n".join(refusal("fortimail-100", "--out", out, *words))
    assert f"{answers}: mood: is not a setting (did you mean mode" in lines
    assert "no-secrets: cannot be read: No such file or directory" in lines
    assert f"{rules}: disk.seral: " in lines
    assert f"{rules}: finish: " in lines
    assert refusal("fortimail-100", "--out", out, "--secrets", rules)[-1].startswith(
        "--secrets: goes with an answer file"
    )
    assert not list(out.glob("**/*.iso"))


def test_an_authority_goes_with_the_network_and_is_one(out: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no certificate")
    words = ("fortimail-100", "--out", out, "--ca")
    assert refusal(*words, text) == [
        f"{text}: is not a certificate in PEM form: it begins with -----BEGIN CERTIFICATE-----",
        "--ca: goes with --network (a stick or CD has its image with it)",
    ]
    assert refusal(*words, "absent", "--network") == ["absent: cannot be read: No such file or directory"]
