"""Figures: what was measured, beside its named peer or its bar, told in one table at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Figure:
    """`ours` in `unit`, against a peer measured in the same run (then the bar is a ratio) or against the bar itself.

    The bar is what it may be at most or, with `least`, what it must be. Without a bar it is only told.
    """

    what: str
    ours: float
    unit: str
    bar: float | None
    peer: float | None = None
    least: bool = False

    @property
    def measure(self) -> float:
        return self.ours if self.peer is None else self.ours / self.peer

    @property
    def misses(self) -> bool:
        return self.bar is not None and (self.measure < self.bar if self.least else self.measure > self.bar)

    def __str__(self) -> str:
        against = "" if self.peer is None else f"peer {self.peer:7.1f} {self.unit:3} = {self.measure:4.2f}"
        bar = "" if self.bar is None else f"bar {'at least ' if self.least else ''}{self.bar:g}"
        return f"{self.what:<72} {self.ours:7.1f} {self.unit:3} {against:26} {bar}".rstrip()


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
    """A test puts its figures here; those that miss their bar fail it, after all are told."""
    ours: list[Figure] = []
    yield ours
    figures += ours
    missed = [str(one) for one in ours if one.misses]
    assert not missed, "\n".join(["the bar was missed:", *missed])
