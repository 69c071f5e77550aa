"""How long flashing an image takes, against dd with cmp and against bmaptool; and what memory it takes.

The target is a file. A block device of its own is not to be had where tests run: the host's disk is in use, there is no
nbd and no device-mapper, and a loop device is a file too, seen through one layer more. What stays the same: access is
direct, so the bytes go to the host's disk and come back from it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hardware.host import run
from installer.flash import image as images
from installer.flash.image import MAP, RAW
from tests.bench.conftest import Figure
from tests.builder import SOURCE
from tests.peers import Peers, inside

RUNS = 5


def seconds(work: Callable[[], object], target: Path) -> float:
    """How long it takes to a file that is not there yet."""
    target.unlink(missing_ok=True)
    os.sync()
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def peak_mib(argv: list[str], env: dict[str, str], log: Path) -> float:
    """Run a program to its end; the most memory that it and those it started had."""
    peaks: dict[int, int] = {}
    with run.spawn(argv, env=env, log=log) as process:
        while process.poll() is None:
            for one in {process.pid, *(int(word) for word in _children(process.pid))}:
                with suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{one}/status").read_text().splitlines()
                    peaks[one] = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
            time.sleep(0.02)  # the kernel tells nobody when a program grows
    assert process.returncode == 0, log.read_text()
    return sum(peaks.values()) / 1024


def _children(pid: int) -> list[str]:
    found: list[str] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += path.read_text().split()
    return found


def test_flash(image: Callable[[str], Path], peers: Peers, tmp_path: Path, figure: list[Figure]) -> None:
    folder = image("vm-bios")
    described = images.load(folder).manifest
    raw, target = tmp_path / "image.raw", tmp_path / "target"
    run.run(["zstd", "--quiet", "--decompress", "--sparse", folder / described.artefact(RAW), "-o", raw])
    env = {"POSTERN_ENVIRONMENT": sys.prefix, "XDG_DATA_HOME": str(tmp_path / "data")}
    argv = [sys.executable, str(SOURCE / "build.py"), "flash", str(folder), str(target)]
    argv += ["--yes", "--serial", target.name, "--receipt", str(tmp_path / "receipt.json")]

    def ours() -> None:
        run.run(argv, env=env)

    def dd() -> None:
        run.run(["dd", f"if={raw}", f"of={target}", "oflag=direct", "bs=4M"])
        run.run(["cmp", raw, target])

    def bmaptool(source: Path) -> None:
        block_map = inside(folder / described.artefact(MAP))
        run.run(peers.command("bmaptool", "copy", "--bmap", block_map, inside(source), inside(target)))

    def same() -> None:  # what we start from
        bmaptool(folder / described.artefact(RAW))

    def unpacked() -> None:
        bmaptool(raw)

    took: dict[Callable[[], None], list[float]] = {ours: [], dd: [], same: [], unpacked: []}
    for _ in range(RUNS):  # by turns, so that all see the same machine
        for work, times in took.items():
            times.append(seconds(work, target))
    mine, its, mapped, unpacked_before = (statistics.median(times) for times in took.values())
    size = described.disk_bytes >> 20
    figure.append(Figure(f"flash {size} MiB and read it back / dd oflag=direct bs=4M and cmp", mine, "s", 1.05, its))
    what = "flash and read it back / bmaptool, which does not read back"
    figure.append(Figure(f"{what}, of the same file", mine, "s", 2.0, mapped))
    # No bar: it neither unpacks nor compares what it is given with anything.
    figure.append(Figure(f"{what}, of the image unpacked before", mine, "s", None, unpacked_before))
    figure.append(Figure("peak memory of flash with zstd", peak_mib(argv, env, tmp_path / "log"), "MiB", 100))
