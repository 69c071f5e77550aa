"""Made things: whole or not at all, once, and not for ever."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from hardware.host import run
from images.store import Store

KILLED = """
import os, pathlib, signal, sys
from images.store import Store
def make(partial):
    (partial / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
Store(pathlib.Path(sys.argv[1])).made("tree", "dead", make)
"""


def put(partial: Path) -> None:
    (partial / "whole").touch()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_made_once_and_found_again(tmp_path: Path) -> None:
    notes: list[str] = []
    store = Store(tmp_path, notes.append)
    first = store.made("tree", "a" * 64, put)
    assert (first.name, names(first), notes) == (f"tree-{'a' * 20}", ["whole"], [])
    assert store.made("tree", "a" * 64, lambda _: pytest.fail("made again")) == first
    assert notes == ["cached"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def make(partial: Path) -> None:
        put(partial)
        raise error

    with pytest.raises(error):
        Store(tmp_path).made("tree", "a", make)
    assert names(tmp_path) == []


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    here = {"PYTHONPATH": str(Path(__file__).parents[3])}
    killed = run.run([sys.executable, "-c", KILLED, tmp_path], env=here, check=False)
    assert (killed.status, names(tmp_path)) == (-9, [".tree-dead.partial"])
    store = Store(tmp_path)
    assert store.newest("tree") is None
    store.made("tree", "a", put)
    assert names(tmp_path) == ["tree-a"]


def test_two_makers_at_once_make_once(tmp_path: Path) -> None:
    made, together = [], Barrier(2, timeout=5)

    def make(partial: Path) -> None:
        made.append(partial)
        put(partial)

    def maker() -> Path:
        together.wait()
        return Store(tmp_path).made("tree", "a", make)

    with ThreadPoolExecutor() as pool:
        first, second = pool.submit(maker), pool.submit(maker)
        assert first.result() == second.result() == tmp_path / "tree-a"
    assert len(made) == 1


def test_trim_keeps_what_was_used_last(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for age, digest in enumerate("abcd"):
        path = store.made("tree", digest, put)
        os.utime(path, (1000 - age, 1000 - age))
    other = store.made("root", "a", put)
    store.made("tree", "d", put)  # the oldest, used again
    assert store.newest("tree") == tmp_path / "tree-d"
    store.trim("tree", 2)
    assert names(tmp_path) == ["root-a", "tree-a", "tree-d"]
    store.trim("tree", 2)
    assert other.is_dir()


def test_trim_leaves_what_another_run_may_stand_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for digest in "abc":
        store.made("tree", digest, put)
    store.trim("tree", 1)
    assert names(tmp_path) == ["tree-a", "tree-b", "tree-c"]


def test_two_may_trim_at_once(tmp_path: Path) -> None:
    for digest in "abcdefghijklmnopqrst":
        path = Store(tmp_path).made("tree", digest, put)
        os.utime(path, (1000 + ord(digest), 1000 + ord(digest)))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda keep: Store(tmp_path).trim("tree", keep), (1, 1, 1, 1)))
    assert names(tmp_path) == ["tree-t"]
