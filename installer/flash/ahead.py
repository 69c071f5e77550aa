"""The next piece is read while the one before is used. Standard library only: it is sent to other machines."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CHUNK = 4 << 20
Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, each made by a thread while we use the one before it."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item


def memory() -> memoryview:
    """Room for a chunk, where direct access can use it: at the start of a page."""
    return memoryview(mmap.mmap(-1, CHUNK))
