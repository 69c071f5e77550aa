"""`postern setup`, `apply`, `confirm`: settings from a wizard, from a file, or once more those in force."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from hardware import detect
from hardware.host.errors import Refused, refuse
from hardware.host.log import Steps
from installer.apply import answers, boot, pipeline, trial
from installer.apply.pipeline import Box, Outcome
from installer.apply.places import Places
from installer.apply.store import Generation, Verdict
from installer.box import caller, confirm
from overlays.settings import Secrets, Settings

NOT_SET_UP = "this box is not set up"
SET_UP_HINT = "`postern setup` does it"


@dataclass(frozen=True)
class InForce:
    """What the box runs with."""

    generation: Generation
    settings: Settings
    secrets: Secrets


def main(places: Places, arguments: argparse.Namespace) -> None:
    """The commands. Raises `Refused`."""
    box = open_box(places)
    if arguments.command == "take-back":
        print(pipeline.take_back(box, arguments.number) or f"generation {arguments.number} is not on trial any more")
        return
    if arguments.command == "confirm":
        keep(box)
        return
    if arguments.answers is None:
        _without_file(box, arguments)
        return
    settings, secrets = read_answers(box, arguments.answers, arguments.secrets)
    source = str(arguments.answers)
    if arguments.check:
        require_no_problems(box, settings, secrets, source)
        print(f"{source}: no problems")
        return
    reason = getattr(arguments, "reason", "") or f"answer file {arguments.answers.name}"
    put_in_force(box, settings, secrets, reason, source, arguments.confirm_within)


def keep(box: Box) -> None:
    """What is on trial is to last. Raises `Refused` when nothing is."""
    kept = pipeline.confirm(box)
    if kept is None:
        raise refuse("no settings wait to be confirmed", "`postern settings history` shows what became of them")
    print(f"Generation {kept.number} stays in force.")


def _without_file(box: Box, arguments: argparse.Namespace) -> None:
    if arguments.command == "apply":
        now = in_force(box)
        if arguments.check:
            require_no_problems(box, now.settings, now.secrets, f"generation {now.generation.number}")
            print(f"generation {now.generation.number}: no problems")
            return
        put_in_force(box, now.settings, now.secrets, arguments.reason or "applied again")
        return
    if arguments.check or arguments.secrets:
        raise refuse("--check and --secrets go with an answer file", "add --answers FILE")
    run_wizard(box, plain=arguments.plain, page=arguments.page)


def run_wizard(box: Box, *, plain: bool, page: str = "") -> None:
    """The wizard on this terminal, over what is in force if the box is set up. Raises `Refused` when it is left.

    With `page` it begins there, and goes on to the review.
    """
    from hardware.host.keyboard import Keyboard, at_screen
    from installer.wizard.console import choose
    from installer.wizard.session import Session
    from installer.wizard.ui import HungUp

    if not sys.stdin.isatty():
        raise refuse("the wizard needs a terminal", "`postern setup --answers FILE` needs none")
    now = in_force(box) if box.store.current() or page else None

    def put(settings: Settings, secrets: Secrets, say: Callable[[str], None]) -> None:
        say("Applying the settings:")
        put_in_force(box, settings, secrets, "setup wizard")

    ui = choose("plain" if plain else "")
    before, hidden = (now.settings, now.secrets) if now else (None, None)
    keyboard = Keyboard() if at_screen() else None
    session = Session(ui, box.profile, box.places, put, before, hidden, keyboard=keyboard, page=page)
    try:
        done = session.run()
    except HungUp:
        done = False
    if not done:
        raise refuse("the setup was left before its end, and nothing was changed")


def open_box(places: Places) -> Box:
    """The box that we stand on. Raises `Refused` when it is another model than the image is for."""
    return Box(places, detect.check_box(places.root))


def in_force(box: Box, number: int | None = None) -> InForce:
    """The settings in force, or those of an earlier generation. Raises `Refused` before set-up."""
    generation = box.store.get(number) if number is not None else box.store.current()
    if generation is None:
        raise refuse(NOT_SET_UP, SET_UP_HINT)
    return InForce(generation, *box.store.load(generation))


def read_answers(box: Box, settings: Path, secrets: Path | None) -> tuple[Settings, Secrets]:
    """From files that the caller may read; without a secrets file, with the secrets in force. Raises `Refused`."""
    with caller.rights():
        found = answers.from_files(settings, secrets)
    decided, hidden = found.parse(box.places, ask=sys.stdin.isatty())
    if secrets is None and box.store.current():
        hidden = in_force(box).secrets
    return decided, hidden


def require_no_problems(box: Box, settings: Settings, secrets: Secrets, source: str) -> None:
    """Raises `Refused` with everything that apply would refuse."""
    found = pipeline.find_problems(box, settings, secrets, source)
    if found:
        raise Refused(found)


def put_in_force(
    box: Box,
    settings: Settings,
    secrets: Secrets,
    reason: str,
    source: str = "settings",
    confirm_within: float = trial.SECONDS,
) -> Outcome:
    """Apply, with its steps on this terminal, say what came of it, and let it be confirmed if it could lock us out."""
    with to_the_end():
        outcome = pipeline.apply(
            box,
            settings,
            secrets,
            reason,
            Steps(pipeline.STEPS, cast(TextIO, Lasting(sys.stderr))),
            source,
            confirm_within,
        )
        boot.mark_slot(box.places, lambda _: None)
    with suppress(OSError):
        print(f"Generation {outcome.generation.number} is in force: {outcome.actions}.")
    if outcome.generation.about.verdict is Verdict.TRIAL:
        confirm.ask(box, outcome.generation, confirm_within)
    return outcome


@contextmanager
def to_the_end() -> Iterator[None]:
    """A change of the network may cut the line that it was asked for on; it goes on to its end all the same."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


class Lasting:
    """A terminal that may go away meanwhile, as a change of the network can do: what is written then is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()

    def flush(self) -> None:
        """Written text has been flushed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
