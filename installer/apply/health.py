"""Is what was started in service: the unit is active, and where it listens it answers with its banner."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

from hardware.host.errors import Problem
from installer.apply import services
from overlays.overlay import Probe, Service

PATIENCE = 90.0  # seconds; an emulated processor needs 20 of them
_PAUSE = 0.2
_TOO_LONG = 5.0

Ask = Callable[[Probe], str]


def silence(probe: Probe) -> str:
    """Why a listener on this machine does not answer as it should; empty when it does."""
    try:
        with socket.create_connection(("127.0.0.1", probe.tcp), timeout=_TOO_LONG) as line:
            line.settimeout(_TOO_LONG)
            said = line.recv(512)
            return "" if said.startswith(probe.banner.encode()) else f"says {said[:60]!r} instead of {probe.banner}"
    except OSError as error:
        return f"does not answer: {error.strerror or error}"


def problems(needed: Sequence[Service], patience: float = PATIENCE, ask: Ask = silence) -> list[Problem]:
    """Wait until every service is well, at most `patience` seconds; what is not well then, each with its reason.

    A unit that has failed for good ends the waiting at once.
    """
    deadline = time.monotonic() + patience
    while True:
        found, hopeless = _look(needed, ask)
        if not found or hopeless or time.monotonic() > deadline:
            return [_explain(problem) for problem in found]
        time.sleep(_PAUSE)


def _look(needed: Sequence[Service], ask: Ask) -> tuple[list[Problem], bool]:
    states = services.show(service.unit for service in needed)
    found, hopeless = [], False
    for service in needed:
        state = states.get(service.unit)
        if state is None or not state.condition:
            continue
        hopeless = hopeless or state.active == "failed"
        if state.active != "active":
            found.append(Problem(service.unit, "", f"is {state.active} ({state.result})"))
        elif service.probe:
            reason = ask(service.probe)
            if reason:
                found.append(Problem(service.unit, f"port {service.probe.tcp}", reason))
    return found, hopeless


def _explain(problem: Problem) -> Problem:
    words = services.journal_of(problem.where)
    return Problem(problem.where, problem.path, problem.message, words)
