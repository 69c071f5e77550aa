"""The console program on a box that is a folder: `python -m tests.unit.installer.wizard.box ROOT TTY`.

Settings come into force by being stored; everything else is the real thing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hardware.host.errors import Problem, Refused
from hardware.profile import HardwareProfile
from installer.apply.places import Stage
from installer.apply.store import Store
from installer.wizard import console
from installer.wizard.session import Apply
from overlays.settings import Secrets, Settings


class Folder(console.Console):
    """A console whose box takes every setting but those that a file `refuse-once` speaks against."""

    def put_in_force(self, profile: HardwareProfile) -> Apply:
        def put(settings: Settings, secrets: Secrets, say: Callable[[str], None]) -> None:
            say(f"Applying the settings for {profile.id}:")
            refusal = self.places.run / "refuse-once"
            if refusal.exists():
                text = refusal.read_text()
                refusal.unlink()
                raise Refused([Problem("nft", "", text)])
            store = Store(self.places)
            store.switch(store.add(settings, secrets, f"setup on console {self.tty}"))
            self.places.enter(Stage.IN_SERVICE)

        return put


if __name__ == "__main__":
    setattr(console, "Console", Folder)  # noqa: B010 - the type of the name is the class, and this is another one
    console.main(sys.argv[2:], Path(sys.argv[1]))
