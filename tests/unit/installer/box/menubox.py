"""The menu on a box that is a folder: `python -m tests.unit.installer.box.menubox ROOT FORM`.

Commands only say that they were run; everything else is the real thing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from installer.apply.places import Places
from installer.box.menu import Menu
from installer.wizard.console import choose
from installer.wizard.ui import HungUp


def ran(words: Sequence[str]) -> int:
    print(f"It ran: {' '.join(words)}.")
    return 0


if __name__ == "__main__":
    with suppress(HungUp):
        Menu(choose(sys.argv[2]), Places(Path(sys.argv[1])), ran).serve()
    print("Back in the shell.")
