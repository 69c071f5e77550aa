"""Whose turn it is: one console sets the box up at a time, and the others can tell which."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "wizard.lock"  # below Places.run
_TRIES, _PAUSE_SECONDS = 5, 0.05  # whoever looks at the lock holds it for a moment


@contextmanager
def turn(path: Path, who: str) -> Iterator[bool]:
    """Hold the turn while the block runs. Yields False, holding nothing, when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    yield False
                    return
                time.sleep(_PAUSE_SECONDS)
        file.truncate(0)
        file.write(f"{who}\n")
        file.flush()
        yield True


def holder(path: Path) -> str:
    """Who has the turn; empty when nobody has."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ""
    except FileNotFoundError:
        return ""
    except BlockingIOError:
        return path.read_text().strip() or "another console"
