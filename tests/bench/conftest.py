"""Figures: what was measured, beside its named peer or its bar, told in one table at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Figure:
    """`ours` in `unit`, against a peer measured in the same run (then the bar is a ratio) or against the bar itself."""

    what: str
    ours: float
    unit: str
    bar: float
    peer: float | None = None

    @property
    def measure(self) -> float:
        return self.ours if self.peer is None else self.ours / self.peer

    def __str__(self) -> str:
        against = f"{'':24}" if self.peer is None else f"peer {self.peer:7.1f} {self.unit:3} = {self.measure:4.2f}"
        return f"{self.what:<72} {self.ours:7.1f} {self.unit:3} {against:26} bar {self.bar:g}"


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[list[Figure]]:
    """Where the figures of this run are put."""
    told: list[Figure] = []
    yield told
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_sep("=", "figures")
        for figure in told:
            reporter.write_line(str(figure))


@pytest.fixture
def figure(figures: list[Figure]) -> Iterator[list[Figure]]:
    """A test puts its figures here; those above their bar fail it, after all are told."""
    ours: list[Figure] = []
    yield ours
    figures += ours
    above = [str(one) for one in ours if one.measure > one.bar]
    assert not above, "\n".join(["above the bar:", *above])
