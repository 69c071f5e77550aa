"""The cache: made things under the digest of what they were made of, whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardware.host.files import locked

# Another run may stand on what it asked for within this time.
_IN_USE_S = 3 * 3600


@dataclass(frozen=True)
class Store:
    """A folder of made things, each a folder `<kind>-<digest>`. `note` is told when one was there already."""

    folder: Path
    note: Callable[[str], None] = lambda _: None

    def made(self, kind: str, digest: str, make: Callable[[Path], None]) -> Path:
        """The folder of that digest; `make` fills a fresh one when there is none.

        What a killed run left behind has another name and goes with the next `made` of its kind.
        """
        path = self.folder / f"{kind}-{digest[:20]}"
        with locked(self.folder / f".{kind}.lock"):
            if path.is_dir():
                path.touch()
                self.note("cached")
                return path
            for left in self.folder.glob(f".{kind}-*.partial"):
                shutil.rmtree(left)
            partial = self.folder / f".{kind}-{digest[:20]}.partial"
            partial.mkdir(parents=True)
            try:
                make(partial)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            partial.rename(path)
        return path

    def newest(self, kind: str) -> Path | None:
        """The thing of that kind that was used last."""
        return max(self.folder.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, default=None)

    def trim(self, kind: str, keep: int) -> None:
        """Forget all of a kind but the `keep` used last, and those that may be in use."""
        with locked(self.folder / f".{kind}.lock"):
            used = {path: path.stat().st_mtime for path in self.folder.glob(f"{kind}-*")}
            found = sorted(used, key=lambda path: used[path], reverse=True)
            for old in (path for path in found[keep:] if used[path] < time.time() - _IN_USE_S):
                doomed = old.with_name(f".{old.name}.partial")
                old.rename(doomed)
                shutil.rmtree(doomed)
