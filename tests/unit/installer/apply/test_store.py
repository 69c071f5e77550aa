"""Generations: whole at every moment, fifty of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hardware.host import files
from hardware.host.errors import Refused
from installer.apply.places import Places
from installer.apply.store import KEPT, Store, Verdict
from overlays.settings import Secrets, Settings


class Dies(BaseException):
    """The process is gone: nothing catches this."""


def test_fifty_are_kept_and_the_one_in_force_stays(tmp_path: Path, settings: Settings, secrets: Secrets) -> None:
    store = Store(Places(tmp_path))
    first = store.add(settings, secrets, "first")
    store.switch(first)
    for number in range(2, KEPT + 6):
        store.add(settings, secrets, f"number {number}")
    numbers = [one.number for one in store.history()]
    assert len(numbers) == KEPT
    assert numbers[0] == 1
    assert numbers[-1] == KEPT + 5
    assert store.current() == first


def test_what_is_stored_comes_back(tmp_path: Path, settings: Settings, secrets: Secrets) -> None:
    store = Store(Places(tmp_path))
    one = store.judge(store.add(settings, secrets, "why", checked="mark"), Verdict.GOOD)
    assert store.load(one) == (settings, secrets)
    assert store.get(1) == one
    assert (one.about.reason, one.about.checked) == ("why", "mark")
    with pytest.raises(Refused, match="no generation 7.*kept: 1 to 1"):
        store.get(7)


def test_a_damaged_story_does_not_cost_the_settings(tmp_path: Path, settings: Settings, secrets: Secrets) -> None:
    store = Store(Places(tmp_path))
    one = store.add(settings, secrets, "first")
    store.switch(one)
    (one.folder / "about.json").write_text("{")
    current = store.current()
    assert current is not None
    assert store.load(current) == (settings, secrets)


def test_damaged_settings_are_refused(tmp_path: Path, settings: Settings, secrets: Secrets) -> None:
    store = Store(Places(tmp_path))
    one = store.add(settings, secrets, "first")
    (one.folder / "settings.yaml").unlink()
    with pytest.raises(Refused, match="cannot be read"):
        store.load(one)


@pytest.mark.parametrize("die_at", range(1, 60))
def test_the_power_goes_at_any_call(
    tmp_path: Path, settings: Settings, other: Settings, secrets: Secrets, monkeypatch: pytest.MonkeyPatch, die_at: int
) -> None:
    """Whichever system call is the last one, the link leads to the whole old or the whole new settings."""
    store = Store(Places(tmp_path))
    store.switch(store.add(settings, secrets, "old"))
    left = die_at

    def mortal(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Dies
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, call)

    for name in ("fsync", "rename", "replace", "mkdir", "symlink", "unlink", "fchmod"):
        mortal(name)
    try:
        store.switch(store.add(other, secrets, "new"))
        died = False
    except Dies:
        died = True
    monkeypatch.undo()
    current = store.current()
    assert current is not None
    loaded, kept = store.load(current)
    assert kept == secrets
    assert loaded == (settings if current.number == 1 else other)
    assert died or current.number == 2
    later = store.add(other, secrets, "later")  # what was left does not stand in the way
    store.switch(later)
    assert store.load(later)[0] == other
    assert not list(store.folder.glob(".new-*"))


def test_everything_is_flushed_before_the_link_moves(
    tmp_path: Path, settings: Settings, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_sync, real_write = files.sync, files.write

    def sync(path: Path) -> None:
        events.append(f"sync {path.name}")
        real_sync(path)

    def write(path: Path, data: str | bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
        events.append(f"write {path.name}")
        real_write(path, data, mode=mode, owner=owner)

    monkeypatch.setattr(files, "sync", sync)
    monkeypatch.setattr(files, "write", write)
    store = Store(Places(tmp_path))
    one = store.add(settings, secrets, "first")
    stored = list(events)
    store.switch(one)
    assert {"write settings.yaml", "write secrets.yaml", "write about.json"} <= set(stored)
    assert stored.index("sync generations") > stored.index("write about.json")
    assert events[-1] == "sync postern"
