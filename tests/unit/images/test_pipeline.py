"""A build that cannot start, one that ends early, and the moment when an image takes its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.host.errors import Refused
from hardware.host.log import Steps
from images import manifest, pipeline, recipe
from images.archive import Archive
from images.manifest import Manifest
from images.pipeline import Plan
from images.steps import disk, rootfs
from images.steps.squash import Level

Fake = Callable[[str, str], Path]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    for module in (rootfs, disk):
        monkeypatch.setattr(module, "ROOM_MIB", 1)
    archive = Archive("trixie", ("deb http://127.0.0.1:9/ trixie main",), "a state")
    return Plan(recipe.load("appliance"), profiles.load("vm-bios"), Level.DEVELOPMENT, archive, tmp_path / "out")


def left(folder: Path) -> list[str]:
    """What is in a folder, lock files apart."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_without_room_nothing_is_begun(plan: Plan) -> None:
    shown = io.StringIO()
    with pytest.raises(Refused) as refused:  # these file systems never have room
        pipeline.build(replace(plan, out=Path("/proc/out")), Path("/sys/cache"), Steps(pipeline.STEPS, shown))
    assert str(refused.value).splitlines() == [
        f"{place}: {what} needs 1 MiB, and 0 MiB are free ({hint})"
        for place, what, hint in (
            ("/sys/cache", "a build", "set XDG_CACHE_HOME to a larger disk, or ./build.py clean --cache"),
            ("/proc/out", "an image", "choose another folder with --out, or ./build.py clean"),
        )
    ]
    assert shown.getvalue() == ""


def test_one_build_of_an_image_at_a_time(plan: Plan, cache: Path) -> None:
    other = replace(plan, profile=profiles.load("vm-uefi"))
    with pipeline._alone(plan, cache) as work, pipeline._alone(other, cache):
        with pytest.raises(Refused) as refused:
            pipeline.build(plan, cache, Steps(pipeline.STEPS, io.StringIO()))
        assert str(refused.value) == (
            "another build of vm-bios is running into this folder; wait for it or give another --out"
        )
        assert work.is_dir()


@pytest.mark.parametrize(
    ("script", "error"),
    [("exit 100", Refused), ("sleep 1; kill -INT $PPID; exit 1", KeyboardInterrupt)],
    ids=["a failure", "Ctrl-C"],
)
def test_nothing_half_made_stays(plan: Plan, cache: Path, fake: Fake, script: str, error: type[BaseException]) -> None:
    fake("mmdebstrap", script)
    shown = io.StringIO()
    with pytest.raises(error):
        pipeline.build(plan, cache, Steps(pipeline.STEPS, shown))
    assert shown.getvalue() == "[1/9] make the root file system, and the tools tree beside it\n    failed\n"
    assert left(plan.out) == left(cache) == []


def test_a_killed_build_is_cleared_away(plan: Plan, cache: Path) -> None:
    half = plan.out / ".vm-bios.partial/half"
    half.mkdir(parents=True)
    with pipeline._alone(plan, cache) as work:
        assert work == half.parent
        assert left(work) == []
    assert left(plan.out) == []


def test_the_old_image_stays_until_the_new_one_is_whole(plan: Plan, tmp_path: Path, described: Manifest) -> None:
    plan.target.mkdir(parents=True)
    (plan.target / "image.qcow2").write_text("old")
    fresh, missing = tmp_path / "image.qcow2", tmp_path / "image.raw.zst"
    fresh.write_text("new")
    with pytest.raises(FileNotFoundError):
        pipeline._publish(plan.target, described, (fresh, missing))
    assert (plan.target / "image.qcow2").read_text() == "old"

    for artefact in (fresh, missing):
        artefact.write_text("newer")
    pipeline._publish(plan.target, described, (fresh, missing))
    assert left(plan.out) == ["vm-bios"]
    assert left(plan.target) == ["image.qcow2", "image.raw.zst", "manifest.json"]
    assert (plan.target / "image.qcow2").read_text() == "newer"
    assert manifest.load(plan.target) == described
