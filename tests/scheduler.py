"""Which worker runs which file. There are more workers than cores, for a test of a container waits as much as it works;
but an emulator works all the time, and no more of these run at once than there are cores."""

from __future__ import annotations

import os
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

CORES = len(os.sched_getaffinity(0))


class Shared(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """As `--dist=loadfile`: a file's tests stay together, for they share its box."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        emulating = sum(self._emulates(other) for other in self.nodes if other is not node)
        fits = (file for file in self.workqueue if emulating < CORES or not _is_emulated(file))
        if file := next(fits, None):  # else the others do what is left
            self.workqueue.move_to_end(file, last=False)
            super()._assign_work_unit(node)

    def _emulates(self, node: WorkerController) -> bool:
        """Has it such tests before it?"""
        return any(_is_emulated(file) and not all(done.values()) for file, done in self.assigned_work[node].items())


def _is_emulated(file: str) -> bool:
    return Path(file).parent.name == "machine"
