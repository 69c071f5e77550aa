"""A box that has been set up for a while: how many generations it keeps, and what memory it holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, box
from tests.container.network import segments

EXAMPLE = Path(__file__).parents[1] / "answers/gateway-minimal.yaml"
SECRETS = EXAMPLE.with_name("secrets.yaml")
# Runs in the box: stores generations of what is in force, and applies none.
_STORE = """
import sys
sys.path.insert(0, "/usr/lib/postern")
from installer.apply.places import Places
from installer.apply.store import Store
store = Store(Places())
now = store.load(store.current())
for number in range(60):
    store.add(*now, reason=f"one of many: {number}")
"""


@pytest.fixture(scope="module")
def settled(root: Path) -> Iterator[Box]:
    """A box in service."""
    with segments(1, "id") as nets, box(root, nets) as made:
        made.start({"postern.answers": EXAMPLE.read_text(), "postern.secrets": SECRETS.read_text()})
        made.run("systemctl", "is-system-running", "--wait", check=False)
        yield made
        made.require_well()


def _history(of: Box) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(of.run("postern", "settings", "history", "--json").stdout)
    return found


def test_idle_memory(settled: Box) -> None:
    """The kernel's part is the machine lane's to measure."""
    held = settled.held_mib
    print(f"{held:.0f} MiB")
    assert 10 < held < 400  # most of it the filter's; the smallest box has 1 GiB


def test_fifty_generations_are_kept_with_time_and_reason(settled: Box) -> None:
    settled.run("python3", "-I", "-B", "-c", _STORE)
    settled.run("postern", "apply", "--reason", "the last of many")
    kept = _history(settled)
    # The one that was in force while the others came, and the newest.
    assert [one["number"] for one in kept] == [*range(62, 13, -1), 1]
    assert [one["number"] for one in kept if one["current"]] == [62]
    assert kept[0]["reason"] == "the last of many"
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", one["time"]) for one in kept)
    assert {one["verdict"] for one in kept} == {"good", "pending"}
    settled.run("postern", "settings", "rollback", "1")
    assert _history(settled)[0]["reason"] == "back to generation 1"


def test_what_never_came_into_force_is_judged_at_the_next_start(settled: Box) -> None:
    settled.stop()
    settled.start()
    assert {one["verdict"] for one in _history(settled)} == {"good", "failed"}
