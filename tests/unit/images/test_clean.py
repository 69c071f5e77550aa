"""What clean removes, and what it leaves alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import build
from hardware.host import run
from hardware.host.errors import Refused
from hardware.host.files import locked
from images.clean import clean


def start(*words: str | Path) -> int:
    return clean(build.parser().parse_args(["clean", *map(str, words)]))


@pytest.fixture
def out(tmp_path: Path, cache: Path) -> Path:
    """A folder with an image, what a killed build left, and a twin's log; and a cache."""
    folder = tmp_path / "out"
    for name in ("vm-bios", ".vm-uefi.partial", ".vm-bios.new"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    (folder / ".vm-bios.lock").touch()
    (folder / "vm-bios.log").touch()
    (cache / "tree-1").mkdir(parents=True)
    return folder


def test_images_go_and_the_cache_when_asked(out: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start("--out", out) == 0
    assert capsys.readouterr().out == f"removed {out}\n"
    assert not out.exists()
    assert cache.is_dir()
    assert start("--out", out, "--cache") == 0
    assert capsys.readouterr().out == f"removed {cache}\n"
    assert not cache.exists()


def test_what_no_build_made_stays(out: Path) -> None:
    (out / "thesis").mkdir()
    assert start("--out", out) == 0
    assert [path.name for path in out.iterdir()] == ["thesis"]


def test_a_folder_elsewhere_is_emptied_through_its_link(out: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(out)
    assert start("--out", link) == 0
    assert list(link.iterdir()) == []


@pytest.mark.parametrize("options", [(), ("--cache",)])
def test_nothing_goes_while_a_build_is_running(out: Path, cache: Path, options: tuple[str, ...]) -> None:
    lock = cache / ".rootfs.lock" if options else out / ".vm-bios.lock"
    with locked(lock), pytest.raises(Refused) as refused:
        start("--out", out, *options)
    assert str(refused.value) == f"a build is running in {lock.parent}; wait for it, then start again"
    assert (out / "vm-bios/file").is_file()
    assert (cache / "tree-1").is_dir()


def test_it_needs_the_standard_library_alone(out: Path) -> None:
    done = run.run([sys.executable, "-S", build.HERE / "build.py", "clean", "--out", out])
    assert (done.stdout, done.stderr) == (f"removed {out}\n", "")
