"""`build.py build` as a program of its own, with a cache and a folder for images of its own."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hardware.host import run
from hardware.host.run import Completed

if TYPE_CHECKING:
    from subprocess import Popen

SOURCE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Builder:
    """`build.py build` with a cache and a folder for images of its own."""

    folder: Path
    options: tuple[str, ...] = ()
    source: Path = SOURCE

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def log(self) -> Path:
        return self.folder / "build.log"

    def argv(self, profile: str) -> list[str]:
        out = f"--out={self.folder / 'out'}"
        return [sys.executable, str(self.source / "build.py"), "build", profile, out, *self.options]

    @property
    def env(self) -> dict[str, str]:
        # In the environment that is prepared already: the first start in a bare one is CI's own.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"XDG_CACHE_HOME": str(self.cache), "POSTERN_ENVIRONMENT": sys.prefix, "PATH": path}

    def start(self, profile: str) -> AbstractContextManager[Popen[bytes]]:
        """A build that runs until the block ends; what it says is in `log`."""
        return run.spawn(self.argv(profile), env=self.env, log=self.log)

    def run(self, profile: str, check: bool = True) -> Completed:
        """A build, to its end."""
        return run.run(self.argv(profile), env=self.env, timeout=1800, check=check)

    def programs(self) -> list[str]:
        """The names of the programs that run for a build: they were told of its folders, or their root lies there."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                if str(self.folder).encode() in told or str(self.folder) in str((process / "root").readlink()):
                    found.append((process / "comm").read_text().strip())
        return found

    def left(self) -> dict[str, list[str]]:
        """What a build that ended must not leave: programs, mounts, and things under a final name."""
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.folder) in line]
        done = [path.name for path in (*self.cache.glob("postern/[!.]*"), *self.folder.glob("out/[!.]*"))]
        return {"programs": self.programs(), "mounts": mounts, "done": done}

    def has_said(self, text: str) -> bool:
        return self.log.is_file() and text in self.log.read_text(errors="replace")
