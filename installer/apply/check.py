"""The daemons' own parsers, run over the candidate files before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hardware.host.errors import Problem, Refused
from hardware.host.run import Failed, environment, run
from overlays.overlay import Check

_LONGEST = 120.0


def require_accepted(checks: Iterable[Check], candidate: Path) -> None:
    """Run every check, side by side. Raises `Refused` with all complaints, in the parsers' own words.

    A complaint here is a gap in our models rather than the operator's fault; the settings are refused all the same.
    """
    with ThreadPoolExecutor(max_workers=4) as pool:
        complaints = [problem for problem in pool.map(lambda check: _complaint(check, candidate), checks) if problem]
    if complaints:
        raise Refused(complaints)


def _complaint(check: Check, candidate: Path) -> Problem | None:
    argv = check.command(candidate)
    name = Path(argv[0]).name
    # By its full path: sshd insists on it.
    program = shutil.which(argv[0], path=environment()["PATH"]) or argv[0]
    try:
        done = run([program, *argv[1:]], timeout=_LONGEST, check=False)
    except Failed as failed:
        return Problem(name, "", str(failed).splitlines()[0])
    if done.status == 0 and not (check.silent and done.stderr.strip()):
        return None
    # What it printed of what it read (postconf -n, chronyd -p) is no complaint.
    said = done.stderr if done.stderr.strip() else done.stdout
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = " / ".join(lines[-3:]) or f"ended with status {done.status}"
    return Problem(name, "", words.replace(f"{candidate}/", "/"), "the daemon does not accept what was rendered")
