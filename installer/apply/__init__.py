"""Settings into configuration, on the box: the only writer of configuration there.

`pipeline.apply` is the table of contents for a change, `boot.boot` for each start of the box.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hardware.host.log import Steps
    from installer.apply.pipeline import Outcome
    from overlays.settings import Secrets, Settings


def apply(
    settings: Settings,
    secrets: Secrets,
    *,
    root: Path,
    reason: str,
    steps: Steps | None = None,
    source: str = "settings",
) -> Outcome:
    """Put settings in force on the box at `root`, or raise `Refused` and leave it as it was (see `pipeline.apply`).

    For those who have no other business with the pipeline; what it needs is imported when it is used.
    """
    from hardware import detect
    from installer.apply import pipeline
    from installer.apply.places import Places

    box = pipeline.Box(Places(root), detect.check_box(root))
    return pipeline.apply(box, settings, secrets, reason, steps, source)
