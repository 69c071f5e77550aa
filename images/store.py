"""The cache: made things under the digest of what they were made of, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardware.host.files import locked


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
        """Forget all of a kind but the `keep` used last."""
        with locked(self.folder / f".{kind}.lock"):
            found = sorted(self.folder.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in found[keep:]:
                doomed = old.with_name(f".{old.name}.partial")
                old.rename(doomed)
                shutil.rmtree(doomed)
