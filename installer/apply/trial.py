"""A change that can lock out whoever made it is on trial until somebody confirms it.

The box goes back by itself when the time is over (a timer of systemd's), and at its next start. That a generation is on
trial stands in its verdict, from before it comes into force: no crash and no power cut lets it last.
"""

from __future__ import annotations

from hardware.host.errors import refuse
from hardware.host.run import run
from installer.apply.store import Generation, Store, Verdict
from overlays.settings import Settings

SECONDS = 120  # until the box goes back, if nobody says another time
UNIT = "postern-trial"
_CUTS_OFF = ("mode", "network", "admin", "transparent")


def needed(store: Store, settings: Settings) -> bool:
    """Can these settings cut off who is connected now? A box that was never in service has nothing to go back to."""
    before = store.current()
    if before is None or before.about.verdict is not Verdict.GOOD:
        return False
    now, _ = store.load(before)
    return any(getattr(now, part) != getattr(settings, part) for part in _CUTS_OFF)


def require_none(store: Store) -> None:
    """Raises `Refused` while a generation is on trial: one thing after the other."""
    current = store.current()
    if current and current.about.verdict is Verdict.TRIAL:
        raise refuse(
            f"generation {current.number} waits to be confirmed",
            "`postern confirm` keeps it, `postern settings rollback` goes back",
        )


def start_clock(generation: Generation, seconds: float) -> None:
    """Let systemd take this generation back in so many seconds; a clock that runs is set anew."""
    stop_clock()
    when = [f"--on-active={seconds:.0f}", "--timer-property=AccuracySec=1s"]
    words = ["/usr/bin/postern", "take-back", str(generation.number)]
    run(["systemd-run", "--quiet", "--collect", f"--unit={UNIT}", *when, "--", *words], timeout=60)


def stop_clock() -> None:
    """No clock runs; the service that it has started by now goes on."""
    run(["systemctl", "--quiet", "stop", f"{UNIT}.timer"], timeout=60, check=False)
