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
        with _connected(probe) as line:
            if not probe.banner:
                return ""
            said = line.recv(512)
            if said.startswith(b"220"):
                line.sendall(b"QUIT\r\n")  # a mail server would note a line that was dropped
            return "" if said.startswith(probe.banner.encode()) else f"says {said[:60]!r} instead of {probe.banner}"
    except OSError as error:
        return f"does not answer: {error.strerror or error}"


def _connected(probe: Probe) -> socket.socket:
    if probe.tcp:
        return socket.create_connection(("127.0.0.1", probe.tcp), timeout=_TOO_LONG)
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(_TOO_LONG)
    line.connect(str(probe.unix))
    return line


def problems(needed: Sequence[Service], patience: float = PATIENCE, ask: Ask = silence) -> list[Problem]:
    """Wait until every service is well, at most `patience` seconds; what is not well then, each with its reason.

    A unit that has failed for good ends the waiting at once. Who has answered is not asked again: sshd shuts out those
    who knock too often.
    """
    deadline = time.monotonic() + patience
    done: set[str] = set()
    while True:
        states = services.show(service.unit for service in needed)
        found = list(filter(None, (_problem(one, states[one.unit], ask, done) for one in needed)))
        hopeless = any(state.active == "failed" for state in states.values())
        if not found or hopeless or time.monotonic() > deadline:
            return [_explain(problem) for problem in found]
        time.sleep(_PAUSE)


def _problem(service: Service, state: services.UnitState, ask: Ask, done: set[str]) -> Problem | None:
    """What is wrong with a service; `done` remembers those that need not be asked again."""
    # Neither running nor failed nor about to start: a condition keeps it off (chrony in a container has no clock).
    kept_off = state.active == "inactive" and state.result == "success" and not state.waiting and not service.probe
    if kept_off or (service.unit in done and state.active != "failed"):
        return None
    if state.active != "active":
        return Problem(service.unit, "", f"is {state.active} ({state.result})")
    reason = ask(service.probe) if service.probe else ""
    if service.probe and reason:
        return Problem(service.unit, service.probe.where, reason)
    done.add(service.unit)
    return None


def _explain(problem: Problem) -> Problem:
    words = services.journal_of(problem.where)
    return Problem(problem.where, problem.path, problem.message, words)
