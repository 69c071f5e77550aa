"""The question whether a change is to last, on the terminal that it was made on."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress

from hardware.host.errors import refuse
from installer.apply import pipeline
from installer.apply.pipeline import Box
from installer.apply.store import Generation, Verdict

_TOLD = {90, 60, 30, 20, 10, 5, 4, 3, 2, 1}  # seconds that are left


def ask(box: Box, generation: Generation, seconds: float) -> None:
    """Count down on this terminal until somebody says yes or no, here or elsewhere. Raises `Refused` after a no.

    Without a terminal, or when it goes away, the clock decides.
    """
    where = "here, or " if _interactive() else ""
    _say(f"It is taken back in {seconds:.0f} s unless it is confirmed, {where}by `postern confirm` in another session.")
    if not _interactive():
        return
    _say("Does this session still work as it should? Keep the settings? [y/n]")
    try:
        answer = _answer(box, generation, seconds)
    except KeyboardInterrupt:
        answer = "n"
    except OSError:
        return
    if answer == "y":
        pipeline.confirm(box)
    elif answer:
        _say("Going back:")
        pipeline.take_back(box, generation.number)
    if _verdict(box, generation) is Verdict.GOOD:
        _say(f"Generation {generation.number} stays in force.")
    else:
        raise refuse(f"generation {generation.number} was not confirmed, and was taken back")


def _answer(box: Box, generation: Generation, seconds: float) -> str:
    """`y` or `n`; also `n` when the time is over; empty when it was decided elsewhere. Raises `OSError` at the end."""
    end = time.monotonic() + seconds
    told: set[int] = set()
    while (left := round(end - time.monotonic())) > 0:
        if left in _TOLD - told:
            told.add(left)
            _say(f"{left} s left")
        if select.select([sys.stdin], [], [], 1)[0]:
            typed = os.read(sys.stdin.fileno(), 100)
            if not typed:
                raise OSError("the terminal has gone")
            word = typed.decode(errors="replace").strip().lower()
            if word in ("y", "yes", "n", "no"):
                return word[0]
            _say("Please type y or n.")
        elif _verdict(box, generation) is not Verdict.TRIAL:
            return ""
    return "n"


def _verdict(box: Box, generation: Generation) -> Verdict:
    return box.store.get(generation.number).about.verdict


def _interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _say(line: str) -> None:
    with suppress(OSError):
        print(line, flush=True)
