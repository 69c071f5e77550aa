"""The next piece is read while the one before is used. Standard library only: it is sent to other machines."""

from __future__ import annotations

import mmap
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TypeVar

CHUNK = 4 << 20
Item = TypeVar("Item")


@contextmanager
def ahead(items: Generator[Item, None, None]) -> Iterator[Iterator[Item]]:
    """The same items, each made by a thread while we use the one before it; at the end they are closed."""
    with closing(items), ThreadPoolExecutor(1) as maker:
        yield _each(items, maker)


def _each(items: Iterator[Item], maker: ThreadPoolExecutor) -> Iterator[Item]:
    coming = maker.submit(next, items, None)
    while (item := coming.result()) is not None:
        coming = maker.submit(next, items, None)
        yield item


def memory() -> memoryview:
    """Room for a chunk, where direct access can use it: at the start of a page."""
    return memoryview(mmap.mmap(-1, CHUNK))
