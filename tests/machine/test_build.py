"""The build from an empty cache: interrupted, killed, twice at once, without room; then the same bytes as any other.

One life in one cache: Ctrl-C while the tools are fetched, kill -9 while packages are installed, and then a build that
nobody disturbs, during which a second one is tried.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.host import run
from tests.builder import Builder
from tests.machine.mail import wait_for

PROFILE = "vm-bios"


@pytest.fixture(scope="module")
def builder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    given = [(name, str(request.config.getoption(name))) for name in ("--mirror", "--security-mirror")]
    return Builder(tmp_path_factory.mktemp("cold"), tuple(f"{name}={value}" for name, value in given if value))


@pytest.fixture(scope="module")
def interrupted(builder: Builder) -> Builder:
    with builder.start(PROFILE) as process:
        wait_for(lambda: builder.programs().count("mmdebstrap"), "the tools tree", builder.log.read_text)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody gets it
        assert process.wait(60) == 130
    assert builder.has_said("nothing half made is left under a final name")
    assert builder.left() == {"programs": [], "mounts": [], "done": []}
    return builder


@pytest.fixture(scope="module")
def killed(interrupted: Builder) -> Builder:
    with interrupted.start(PROFILE) as process:
        wait_for(lambda: interrupted.has_said("make the root file system"), "the root file system")
        wait_for(lambda: "dpkg" in interrupted.programs(), "packages being installed")
        process.kill()
        process.wait(60)
        wait_for(lambda: not interrupted.programs(), "the end of all that it started", seconds=60)
    left = interrupted.left()
    assert [name for name in left.pop("done") if not name.startswith("tools-")] == []
    assert left == {"programs": [], "mounts": []}
    return interrupted


@pytest.fixture(scope="module")
def undisturbed(killed: Builder) -> tuple[Builder, run.Completed]:
    """The builder after a build, and how the second build ended that was tried meanwhile."""
    with killed.start(PROFILE) as process:
        wait_for(lambda: "dpkg" in killed.programs(), "packages being installed", killed.log.read_text)
        second = killed.run(PROFILE, check=False)
        assert process.wait(900) == 0, killed.log.read_text()[-2000:]
    return killed, second


def test_a_second_build_of_an_image_is_told_to_wait(undisturbed: tuple[Builder, run.Completed]) -> None:
    _, second = undisturbed
    assert second.status == 2
    assert f"another build of {PROFILE} is running" in second.stderr


def test_the_bytes_are_those_of_any_other_build(
    undisturbed: tuple[Builder, run.Completed], image: Callable[[str], Path]
) -> None:
    """Made anew from the first package on, by another cache: the same disk, root hash and artefacts."""
    builder, _ = undisturbed
    assert (builder.folder / "out" / PROFILE / "manifest.json").read_text() == (
        image(PROFILE) / "manifest.json"
    ).read_text()


def test_nothing_is_left_but_the_image_and_the_cache(undisturbed: tuple[Builder, run.Completed]) -> None:
    builder, _ = undisturbed
    hidden = [path.name for path in (*builder.cache.glob("postern/.*"), *builder.folder.glob("out/.*"))]
    assert [name for name in hidden if not name.endswith(".lock")] == []
    assert builder.left()["mounts"] == []


def test_without_room_no_work_is_begun(builder: Builder, tmp_path: Path) -> None:
    small = Builder(tmp_path, builder.options)
    small.cache.mkdir()
    mount = f'mount -t tmpfs -o size=64m none "{small.cache}" && exec "$@"'
    refused = run.run(["unshare", "--mount", "sh", "-c", mount, "sh", *small.argv(PROFILE)], env=small.env, check=False)
    assert refused.status == 2
    assert f"{small.cache}/postern: a build needs" in refused.stderr
    assert "set XDG_CACHE_HOME to a larger disk" in refused.stderr
    assert not (tmp_path / "out").exists()
