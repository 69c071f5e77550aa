"""Units: what the mode needs runs, what changed is reloaded or restarted, the rest is left alone or stopped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hardware.host.run import Failed, run
from installer.apply.plan import Plan, reads
from overlays.overlay import OnChange

FENCE = "postern-fence.service"
_LONGEST = 180.0


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a unit."""

    active: str = "inactive"  # active, activating, inactive, failed ...
    result: str = "success"
    waiting: bool = False  # for its turn to start or stop

    @property
    def running(self) -> bool:
        return self.active in ("active", "activating", "reloading")


@dataclass(frozen=True)
class Actions:
    """What was done to which units, in the order of the plan."""

    started: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    reloaded: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = (
            ("started", self.started),
            ("restarted", self.restarted),
            ("reloaded", self.reloaded),
            ("stopped", self.stopped),
        )
        return "; ".join(f"{verb} {', '.join(map(_short, units))}" for verb, units in named if units) or "nothing to do"


def end_unneeded(plan: Plan) -> tuple[str, ...]:
    """Stop what other settings needed, and wait for it. Nothing opens meanwhile: the rules of the filter stay."""
    states = show(plan.unneeded)
    running = tuple(unit for unit in plan.unneeded if states[unit].running)
    if plan.fence:
        run(["systemctl", "restart", FENCE], timeout=_LONGEST)
    if running:
        run(["systemctl", "--no-ask-password", "stop", *running], timeout=_LONGEST)
    return running


def bring(plan: Plan, changed: frozenset[str], stopped: tuple[str, ...] = ()) -> Actions:
    """Make the running units those of the plan. `changed` holds the paths that were just written or deleted.

    Nothing here waits for a unit that starts: health does, with a limit.
    """
    states = show(plan.units)
    touched = [one for one in plan.services if states[one.unit].running and reads(one, changed)]
    actions = Actions(
        started=tuple(unit for unit in plan.units if not states[unit].running),
        restarted=tuple(one.unit for one in touched if one.on_change is OnChange.RESTART),
        reloaded=tuple(one.unit for one in touched if one.on_change is OnChange.RELOAD),
        stopped=stopped,
    )
    for verb, units in (("reload", actions.reloaded), ("restart", actions.restarted), ("start", actions.started)):
        if units:
            run(["systemctl", "--no-block", "--no-ask-password", verb, *units], timeout=_LONGEST)
    return actions


def begin(plan: Plan) -> Actions:
    """Start the plan's units on a box where nothing runs yet, by one call and without a question: mail waits for it."""
    if plan.units:
        run(["systemctl", "--no-block", "--no-ask-password", "start", *plan.units], timeout=_LONGEST)
    return Actions(started=plan.units)


def show(units: Iterable[str]) -> dict[str, UnitState]:
    """The state of each unit, by one call; a unit that systemd does not know is inactive."""
    names = list(dict.fromkeys(units))
    if not names:
        return {}
    text = run(["systemctl", "show", "--property=Id,ActiveState,Result,Job", *names], timeout=_LONGEST).stdout
    found = {}
    # Blocks come in the order that was asked for; the name in them may be another one (ssh, sshd).
    for name, block in zip(names, text.strip().split("\n\n"), strict=False):
        facts = dict(line.partition("=")[::2] for line in block.splitlines())
        waiting = facts.get("Job", "0") not in ("", "0")
        found[name] = UnitState(facts.get("ActiveState", "inactive"), facts.get("Result", "success"), waiting)
    return found


def journal_of(unit: str) -> str:
    """A failed unit's last words, for the message that reports it."""
    try:
        argv = ["journalctl", "--no-pager", "--output=cat", "--lines=3", "--unit", unit]
        return " / ".join(run(argv, timeout=30).stdout.split("\n")).strip(" /")
    except Failed:
        return ""


def _short(unit: str) -> str:
    return unit.removesuffix(".service")
