"""The container lane's fixtures: one box in service for all that only sends mail to it or logs in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.steps.tree import Tree
from tests.container.lab import Lab, lab
from tests.peers import Peers

_NEEDED = ("systemd-nspawn", "ip", "nsenter", "setpriv")


@pytest.fixture(scope="session")
def root(request: pytest.FixtureRequest) -> Path:
    """The root file system that boxes run from. Without the rights or programs for it, CI fails and a laptop skips."""
    missing = [program for program in _NEEDED if not shutil.which(program)]
    reason = f"needs {', '.join(missing)}" if missing else "needs root" if os.geteuid() else ""
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    tree: Tree = request.getfixturevalue("tree")
    return tree.path


@pytest.fixture(scope="session")
def gateway(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box in service and what is around it."""
    with lab(root, peers) as made:
        yield made
