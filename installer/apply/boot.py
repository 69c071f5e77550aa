"""Each start of the box: which hardware, which settings, which services; and what to say when one of them cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardware import detect
from hardware.host import files
from hardware.host.errors import Problem, Refused
from hardware.host.log import clean
from hardware.host.run import Failed
from installer.apply import answers, device, pipeline, plan, space, volume
from installer.apply.pipeline import Box
from installer.apply.places import Places, Stage
from installer.apply.plan import Plan
from installer.apply.store import Generation, Verdict
from installer.update import slots
from overlays.problems import check as check_settings

Say = Callable[[str], None]


@dataclass(frozen=True)
class Resumed:
    """A generation that runs again, and its plan."""

    generation: Generation
    plan: Plan


def main(root: Path = Path("/")) -> int:
    """What postern.service runs; the exit status. All mail waits for it: it reads no command line."""
    try:
        boot(Places(root), to_journal)
    except Refused as refused:
        to_journal(str(refused))
        return 2
    return 0


def to_journal(line: str) -> None:
    """A line for the journal, from a unit."""
    print(clean(line), flush=True)


def boot(places: Places, say: Say) -> Stage:
    """Start what this box is for. `say` gets one line for each thing that an administrator should know."""
    try:
        box = Box(places, detect.check_box(places.root))
    except Refused as refused:
        return refuse_to_run(places, refused, say)
    with files.locked(places.lock):
        device.prepare(places, device.serial(places))
        tidy(box, say)
        resumed = resume(box, say)
        if not resumed:
            pipeline.enforce(box, plan.of_factory(box.profile))
        space.prepare(places, say)  # what was started needs some time; mail does not wait for us
        if resumed:
            prove(box, resumed, say)
            return Stage.IN_SERVICE
    volume.wait_for_devices()
    stage = take_answers(box, say)
    places.enter(stage)
    if box.store.current() is None:
        mark_slot(places, say)  # a box that nobody has set up works as far as it can
    return stage


def refuse_to_run(places: Places, refused: Refused, say: Say) -> Stage:
    """Say why, on the journal and for the consoles; the init fence stays and nothing starts."""
    files.write(places.refused, f"{refused}\n")
    places.enter(Stage.REFUSED)
    say(str(refused))
    return Stage.REFUSED


def tidy(box: Box, say: Say) -> None:
    """Remove what an interrupted apply left behind; leave what nobody has confirmed; judge what is not in force."""
    box.store.tidy()
    current = box.store.current()
    if current and current.about.verdict is Verdict.TRIAL:
        say(f"generation {current.number} was not confirmed before this start of the box, and was taken back")
        current = box.store.before(current)
        box.store.switch(current)
    for one in box.store.history():
        if one.about.verdict in (Verdict.PENDING, Verdict.TRIAL) and one != current:
            box.store.judge(one, Verdict.FAILED)


def resume(box: Box, say: Say) -> Resumed | None:
    """Put the settings in force again: the current generation, or the last good one when this image cannot take it."""
    current = box.store.current()
    candidates = [current, box.store.before(current)] if current else []
    for generation in filter(None, candidates):
        try:
            settings, secrets = box.store.load(generation)
            check_settings(settings, box.profile, f"generation {generation.number}")
            wanted = plan.of(settings, secrets, box.profile)
            mark = pipeline.accept(box, wanted, known=generation.about.checked)
        except Refused as refused:
            report(
                box.places, [Problem("", "", f"generation {generation.number} cannot be used"), *refused.problems], say
            )
            continue
        pipeline.enforce(box, wanted)
        box.places.enter(Stage.IN_SERVICE)
        return Resumed(box.store.judge(generation, generation.about.verdict, checked=mark), wanted)
    return None


def prove(box: Box, resumed: Resumed, say: Say) -> None:
    """Wait for the services. A generation that never was well is taken back; with all well, the slot is good."""
    generation = resumed.generation
    try:
        if generation.about.verdict is Verdict.PENDING:
            with pipeline.returning(box, generation, box.store.before(generation)):
                pipeline.require_health(box, resumed.plan)
        else:
            pipeline.require_health(box, resumed.plan)
    except Refused as refused:
        report(box.places, list(refused.problems), say)
        return
    box.places.health_problems.unlink(missing_ok=True)
    box.store.judge(generation, Verdict.GOOD)
    say(f"in service: generation {generation.number}")
    mark_slot(box.places, say)


def mark_slot(places: Places, say: Say) -> None:
    """Tell the boot loader that the slot we run from works; a box that cannot say so is in service all the same."""
    slot = slots.booted(places.root)
    if slot is None:
        return
    try:
        with slots.environment_block(places.root) as block:
            slots.mark_good(slot, block, places.grubenv_copy)
        say(f"slot {slot.value} is good")
    except (Refused, Failed, OSError) as failure:
        say(f"slot {slot.value} works, but the boot loader could not be told: {failure}")


def take_answers(box: Box, say: Say, *, ask: bool = False) -> Stage:
    """Apply an answer file that waits for a box before its set-up. Problems go to the consoles, and nothing changes.

    `ask`: a passphrase of the secrets file may be asked for on our terminal.
    """
    try:
        found = answers.find(box.places)
        if found is None:
            return Stage.FACTORY
        settings, secrets = found.parse(box.places, ask=ask)
        outcome = pipeline.apply(box, settings, secrets, f"from {found.settings_source}", source=found.settings_source)
    except Refused as refused:
        files.write(box.places.answers_problems, f"{refused}\n", mode=0o600)
        say(f"the answers were not applied:\n{refused}")
        return Stage.FACTORY
    box.places.answers_problems.unlink(missing_ok=True)
    say(f"in service: generation {outcome.generation.number}, from {found.settings_source}")
    mark_slot(box.places, say)
    return Stage.IN_SERVICE


def later_answers(places: Places, say: Say) -> None:
    """A labelled volume was put in while the box waits for its set-up (udev starts us)."""
    if places.stage() is Stage.FACTORY:
        places.enter(take_answers(Box(places, detect.check_box(places.root)), say))


def report(places: Places, problems: list[Problem], say: Say) -> None:
    """For the journal, for `postern status`, and for whoever logs in next."""
    text = "\n".join(map(str, problems))
    files.write(places.health_problems, f"{text}\n")
    say(text)
