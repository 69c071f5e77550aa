"""What may happen to a box under load, one fault after the other, and the senders that go on meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

from tests.container.box import Box, until
from tests.container.lab import waiting
from tests.container.load import Load


class Sending:
    """Several loads as one."""

    def __init__(self, *loads: Load) -> None:
        self.loads = loads

    def under(self, faults: Sequence[Fault]) -> None:
        """Send everything, the same share of it under each of the faults; back when each message has its answer."""
        began = time.monotonic()

        def tell(what: str) -> None:
            took = time.monotonic() - began
            print(f"{took:5.1f} s: {self.settled} settled, {len(self.put_off)} put off; {what}")

        with ExitStack() as stack:
            for load in self.loads:
                stack.enter_context(load)
            for name, fault in faults:
                tell(name)
                self.release(1 / len(faults))
                self.goes_on()
                fault(self)
            tell("no more faults")
            self.release(1)
            until(lambda: self.settled == self.released, "the last message", lambda: self.put_off[-3:])
        tell("all sent")

    def release(self, share: float) -> None:
        for load in self.loads:
            load.release(round(len(load.letters) * share) + 1)

    @property
    def released(self) -> int:
        return sum(load.released for load in self.loads)

    @property
    def attempts(self) -> int:
        return sum(load.attempts for load in self.loads)

    @property
    def settled(self) -> int:
        return sum(load.settled for load in self.loads)

    @property
    def put_off(self) -> list[str]:
        return [said for load in self.loads for said in load.put_off]

    def goes_on(self, count: int = 30) -> None:
        """Wait until the box has said something so many times more, or there is nothing left to send."""
        wanted = self.attempts + count
        until(lambda: self.attempts >= wanted or self.settled == self.released, "it", lambda: self.put_off[-3:])


Fault = tuple[str, Callable[[Sending], None]]


def deaths(of: Box, groups: Iterable[tuple[str, ...]]) -> Iterator[Fault]:
    """Killed, and nobody starts it again but systemd."""
    for units in groups:

        def fault(_sending: Sending, units: tuple[str, ...] = units) -> None:
            before = {unit: _pid(of, unit) for unit in units}
            of.run("systemctl", "kill", "--signal=KILL", *units)
            until(lambda: all(_pid(of, unit) not in (0, before[unit]) for unit in units), "the units again")

        yield f"killed: {' '.join(units)}", fault


def absences(of: Box, groups: Iterable[tuple[str, ...]]) -> Iterator[Fault]:
    """Stopped while messages come in, and started again."""
    for units in groups:

        def fault(sending: Sending, units: tuple[str, ...] = units) -> None:
            sockets = ("clamav-daemon.socket",) if "clamav-daemon.service" in units else ()
            of.run("systemctl", "stop", *sockets, *units)
            sending.goes_on()
            of.run("systemctl", "start", *sockets, *units)

        yield f"stopped: {' '.join(units)}", fault


def undisturbed(of: Box) -> None:
    """From now on the quarantine's daily work waits: by the clock it looks into mailboxes, and writes to their owners,
    and whoever counts messages meanwhile finds one that is being moved twice, or one too many."""
    of.run("systemctl", "stop", *(f"postern-quarantine-daily.{kind}" for kind in ("timer", "service")))


def require_each_once(sending: Sending, viruses: set[int], arrived: Iterable[tuple[int, str]]) -> None:
    """What was accepted is there once for each of its recipients, and nothing else is. What has no answer may be there.

    `arrived` are the numbers of messages, each with a recipient.
    """
    every = {letter.number: letter for load in sending.loads for letter in load.letters}
    unanswered = {number for load in sending.loads for number in load.unanswered}
    refused = {number for load in sending.loads for number in load.refused}
    assert refused | (unanswered & viruses) == viruses, [load.refused for load in sending.loads]
    found = Counter(arrived)
    wanted = Counter((number, one) for number in set(every) - viruses for one in every[number].recipients)
    certain = Counter({pair: 1 for pair in wanted if pair[0] not in unanswered})
    assert certain - found == Counter(), "lost"
    assert found - wanted == Counter(), "doubled"


def state(of: Box, unit: str) -> str:
    return of.run("systemctl", "is-active", unit, check=False).stdout.strip()


def emptied(of: Box) -> bool:
    """Postfix comes to what it put off by itself, two minutes later: here it is asked to do so now."""
    of.run("postqueue", "-f")
    return not waiting(of)


def _pid(of: Box, unit: str) -> int:
    """A unit's first process while it is in service, else 0."""
    if state(of, unit) != "active":
        return 0
    return int(of.run("systemctl", "show", "--value", "--property=MainPID", unit).stdout)
