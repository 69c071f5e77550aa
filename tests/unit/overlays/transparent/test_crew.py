"""Processes that are one service, with the test in systemd's place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from hardware.host import run

TOP = Path(__file__).parents[4]
CREW = "import asyncio; from overlays.transparent.crew import multiplied; asyncio.run(multiplied({}).serving())"
WATCHDOG_S = 0.4
SOON = 10.0


class Service:
    """The service, and what it tells systemd."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self.process = process
        self._line = line

    def tells(self, seconds: float = SOON) -> str:
        self._line.settimeout(seconds)
        return self._line.recv(100).decode()

    def is_ready(self) -> None:
        while self.tells() != "READY=1":
            pass

    def falls_silent(self) -> None:
        """For longer than systemd waits; what was under way may still come."""
        with suppress(TimeoutError):
            for _ in range(3):
                self.tells(WATCHDOG_S * 2)
            pytest.fail("it still tells that it lives")

    def others(self) -> list[int]:
        words = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8").split()
        return [int(word) for word in words]


@contextmanager
def service(folder: Path, count: int) -> Iterator[Service]:
    path = folder / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as line:
        line.bind(str(path))
        env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
        with run.spawn([sys.executable, "-c", CREW.format(count)], env=env, cwd=TOP, log=folder / "log") as process:
            yield Service(process, line)


@pytest.mark.parametrize("count", [1, 3])
def test_it_serves_and_lives_and_ends_when_it_is_asked_to(tmp_path: Path, count: int) -> None:
    with service(tmp_path, count) as made:
        made.is_ready()
        assert len(made.others()) == count - 1
        assert [made.tells() for _ in range(3)] == ["WATCHDOG=1"] * 3
        os.killpg(made.process.pid, signal.SIGTERM)
        while made.tells() != "STOPPING=1":
            pass
        assert made.process.wait(SOON) == 0
    assert (tmp_path / "log").read_text(encoding="utf-8") == ""


def test_when_another_dies_the_first_fails(tmp_path: Path) -> None:
    with service(tmp_path, 3) as made:
        made.is_ready()
        os.kill(made.others()[1], signal.SIGKILL)
        assert made.process.wait(SOON) == 1
    assert "a process of the proxy has ended" in (tmp_path / "log").read_text(encoding="utf-8")


def test_when_the_first_dies_the_others_end(tmp_path: Path) -> None:
    with service(tmp_path, 3) as made:
        made.is_ready()
        others = made.others()
        made.process.kill()
        made.process.wait(SOON)
        deadline = time.monotonic() + SOON
        while any(Path(f"/proc/{other}/exe").exists() for other in others):  # a dead one has none
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("which", ["the first", "another"])
def test_when_one_hangs_systemd_hears_nothing(tmp_path: Path, which: str) -> None:
    with service(tmp_path, 2) as made:
        made.is_ready()
        hanging = made.process.pid if which == "the first" else made.others()[0]
        os.kill(hanging, signal.SIGSTOP)
        made.falls_silent()
        os.kill(hanging, signal.SIGCONT)
        made.tells()
