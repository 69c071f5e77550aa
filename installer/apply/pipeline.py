"""A change of settings, from the decision to mail service; and back when it does not get there.

Until the generation is stored nothing on the box has changed. From then on a failure, whichever it is, leads back to
the generation that was in force before. A power cut leaves the old or the new generation in force; a new one that has
not yet proved itself is judged at the next boot.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardware.host import files, log
from hardware.host.errors import Problem, Refused
from hardware.host.log import Steps
from hardware.profile import HardwareProfile
from installer.apply import certificate, check, device, health, plan, services, trial, users, write
from installer.apply.places import Places, Stage
from installer.apply.plan import Plan
from installer.apply.store import Generation, Store, Verdict
from overlays.problems import problems as settings_problems
from overlays.settings import Secrets, Settings

STEPS = 6
BUSY = "another change is being applied at this moment"


@dataclass(frozen=True)
class Box:
    """The box that we change."""

    places: Places
    profile: HardwareProfile
    patience: float = health.PATIENCE  # seconds until a service must be well
    ask: health.Ask = health.silence

    @property
    def store(self) -> Store:
        return Store(self.places)


@dataclass(frozen=True)
class Outcome:
    """What an apply did."""

    generation: Generation
    changes: write.Changes
    actions: services.Actions


def apply(
    box: Box,
    settings: Settings,
    secrets: Secrets,
    reason: str,
    steps: Steps | None = None,
    source: str = "settings",
    confirm_within: float = 0,
) -> Outcome:
    """Put settings in force. Raises `Refused` with every problem, or with what did not get well.

    `confirm_within`: seconds after which a change that can lock its maker out is taken back; 0 for never.
    """
    say = steps or Steps(STEPS)
    store = box.store
    with files.locked(box.places.lock, busy=BUSY):
        with say.step("look for problems"):
            trial.require_none(store)
            require_none(box, settings, secrets, source)
            kept = plan.hashed(secrets)
        with say.step("render"):
            wanted = plan.of(settings, kept, box.profile)
        with say.step("let the daemons' parsers read it"):
            mark = accept(box, wanted)
        with say.step("store"):
            before = store.current()
            verdict = Verdict.TRIAL if confirm_within and trial.needed(store, settings) else Verdict.PENDING
            generation = store.add(settings.without_users, kept.without_users, reason, mark, verdict)
        with returning(box, generation, before), users.taken_in(box.places, settings, secrets):
            if verdict is Verdict.TRIAL:  # whatever becomes of this process
                trial.start_clock(generation, confirm_within + box.patience)
            with say.step("put in force"):
                store.switch(generation)
                changes, actions = enforce(box, wanted)
            with say.step("wait for the services"):
                require_health(box, wanted)
            if verdict is Verdict.TRIAL:
                trial.start_clock(generation, confirm_within)
            else:
                generation = store.judge(generation, Verdict.GOOD)
        box.places.enter(Stage.IN_SERVICE)
        return Outcome(generation, changes, actions)


def confirm(box: Box) -> Generation | None:
    """The generation on trial is to last; None when none was."""
    with files.locked(box.places.lock):
        current = box.store.current()
        if current is None or current.about.verdict is not Verdict.TRIAL:
            return None
        trial.stop_clock()
        return box.store.judge(current, Verdict.GOOD)


def take_back(box: Box, number: int) -> str:
    """Go back from a generation on trial, if it is still that. Says what came of it, or nothing."""
    with files.locked(box.places.lock):
        current = box.store.current()
        if current is None or (current.number, current.about.verdict) != (number, Verdict.TRIAL):
            return ""
        trial.stop_clock()
        return leave(box, current, box.store.before(current))


def find_problems(box: Box, settings: Settings, secrets: Secrets, source: str = "settings") -> list[Problem]:
    """Everything that would keep `apply` from storing these settings. Changes nothing."""
    try:
        require_none(box, settings, secrets, source)
        accept(box, plan.of(settings, plan.hashed(secrets), box.profile))
    except Refused as refused:
        return list(refused.problems)
    return []


def require_none(box: Box, settings: Settings, secrets: Secrets, source: str) -> None:
    """Raises `Refused` with every problem of the settings, and of the certificate and the users that they give today.

    A start of the box asks the models alone: a certificate that has ended since must not keep it from service.
    """
    found = settings_problems(settings, box.profile, source, secrets)
    own = certificate.pair_of(settings, secrets)
    if own:
        found += certificate.problems(own, settings.mailhost.fqdn, source=source)
    found += users.problems(box.places, settings, source)
    if found:
        raise Refused(found)


def accept(box: Box, wanted: Plan, known: str = "") -> str:
    """Let the daemons' parsers read what was rendered; returns the mark of what they accepted.

    They are not asked again about the same files on the same image: `known` is the mark of an earlier time.
    """
    mark = f"{box.places.image}:{write.digest_all(wanted.files)}" if box.places.image else ""
    if not mark or mark != known:
        with write.laid_out(wanted.files, box.places.candidate) as candidate:
            check.require_accepted(wanted.checks, candidate)
    return mark


def enforce(box: Box, wanted: Plan) -> tuple[write.Changes, services.Actions]:
    """Make the plan true: the box's own secrets, files, host name, services. Safe to repeat."""
    places = box.places
    first = not places.rendered.exists()
    another = device.ensure(places, wanted.name or device.serial(places), wanted.certificate, acme=wanted.acme)
    device.ensure_dkim(places, wanted.dkim)
    stopped = () if first else services.end_unneeded(wanted)  # while their files are there: they read them to stop
    changes = write.install(wanted.files, places.root, places.rendered)
    set_host_name(places.root, changes)
    return changes, services.begin(wanted) if first else services.bring(
        wanted, changes.all | ({device.TLS} if another else set()), stopped
    )


def renew_certificate(box: Box, settings: Settings, secrets: Secrets) -> None:
    """Another key and certificate of the box's own making, shown by all that show one. Raises `Refused`."""
    with files.locked(box.places.lock, busy=BUSY):
        wanted = plan.of(settings, secrets, box.profile)
        device.renew(box.places, wanted.name)
        services.bring(wanted, frozenset({device.TLS}))
        require_health(box, wanted)


def put_back_keys(box: Box, settings: Settings, secrets: Secrets, kept: Mapping[str, str]) -> None:
    """Give the box the keys of a backup, in place of its own; what reads them takes them up. Raises `Refused`."""
    with files.locked(box.places.lock, busy=BUSY):
        wanted = plan.of(settings, secrets, box.profile)
        device.put_back(box.places, kept)
        device.ensure(box.places, wanted.name, wanted.certificate, acme=wanted.acme)
        device.ensure_dkim(box.places, wanted.dkim)
        services.bring(wanted, device.SETS)
        require_health(box, wanted)


def take_certificate(box: Box) -> None:
    """What an authority gave the box, shown by all that show one. Raises `Refused` when it cannot be the box's."""
    with files.locked(box.places.lock):  # an apply may be under way; it has begun what we are the end of
        current = box.store.current()
        if current is None:
            return
        settings, secrets = box.store.load(current)
        if not settings.uses_acme:
            return
        name = settings.mailhost.fqdn
        pair = certificate.given(box.places, name)
        found = certificate.problems(pair, name, source="ACME")
        if found:
            raise Refused(found)
        if device.take(box.places, pair, name):
            wanted = plan.of(settings, secrets, box.profile)
            services.bring(wanted, frozenset({device.TLS}))
            require_health(box, wanted)


def require_health(box: Box, wanted: Plan) -> None:
    """Raises `Refused` with every service that does not get well."""
    found = health.problems(wanted.services, box.patience, box.ask)
    if found:
        raise Refused(found)


@contextmanager
def returning(box: Box, generation: Generation, before: Generation | None) -> Iterator[None]:
    """When the block fails, `before` is in force again (None: the factory state), and the failure goes on."""
    try:
        yield
    except BaseException as failure:
        with undisturbed():
            news = [Problem("", "", leave(box, generation, before))]
        if isinstance(failure, Refused):
            raise Refused([*failure.problems, *news]) from failure
        raise


@contextmanager
def undisturbed() -> Iterator[None]:
    """The way back is not interrupted from the keyboard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def leave(box: Box, generation: Generation, before: Generation | None) -> str:
    """Go back from a generation to the one before it. Says what came of it, for it never raises."""
    box.store.switch(before)
    box.store.judge(generation, Verdict.FAILED)
    return f"generation {generation.number} was taken back; {go_to(box, before)}"


def go_to(box: Box, generation: Generation | None) -> str:
    """Make a stored generation, or the factory state, true again. Says what is in force now, for it never raises."""
    what = f"generation {generation.number} is in force" if generation else "the box is as before its set-up"
    try:
        wanted = plan.of_factory(box.profile)
        if generation:
            wanted = plan.of(*box.store.load(generation), box.profile)
        enforce(box, wanted)
        box.places.enter(Stage.IN_SERVICE if generation else Stage.FACTORY)
        ill = health.problems(wanted.services, box.patience, box.ask)
        if ill:
            what += ", and is not well either: " + "; ".join(map(str, ill))
    except Exception as failure:  # the first failure is the one to report, with this one beside it
        return f"{what}, but not everything could be restored: {log.clean(str(failure))}"
    return what


def set_host_name(root: Path, changes: write.Changes) -> None:
    """Tell the kernel the name that was rendered: systemd read /etc/hostname before it was there."""
    if "etc/hostname" in changes.written and root == Path("/"):
        lines = (root / "etc/hostname").read_text(encoding="ascii").splitlines()
        socket.sethostname(next(line.strip() for line in lines if line and not line.startswith("#")))
