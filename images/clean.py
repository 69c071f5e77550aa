"""What builds have left, removed. Standard library alone: it runs without the environment that it may remove."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from hardware.host.files import default_cache, locked

_PROFILES = Path(__file__).parent.parent / "hardware/profiles"


def clean(arguments: Namespace) -> int:
    """Remove images, and with `--cache` what builds keep. Raises `Refused` while a build is running there."""
    out, cache = arguments.out, default_cache()
    doomed = [*_images(out), *([cache] if arguments.cache else [])]
    with ExitStack() as held:
        for folder in (out, cache) if arguments.cache else (out,):
            for lock in sorted(folder.glob(".*.lock")):
                held.enter_context(locked(lock, f"a build is running in {folder}; wait for it, then start again"))
        for path in doomed:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            print(f"removed {path}")
    return 0


def _images(out: Path) -> Iterator[Path]:
    """What builds and twins make in `out`: the whole folder, unless something else is in it."""
    names = [file.stem for file in _PROFILES.glob("*.yaml")]
    ours = [f"{name}{ending}" for name in names for ending in ("", ".log")]
    ours += [f".{name}.{ending}" for name in names for ending in ("partial", "new", "old", "lock")]
    if out.is_dir():
        found = sorted(out.iterdir())
        made = [path for path in found if path.name in ours]
        yield from made if made != found or out.is_symlink() else [out]
