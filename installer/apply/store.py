"""Generations: every set of settings that this box was given, the last 50 of them.

    /var/lib/postern/generations/0007/{settings.yaml, secrets.yaml, about.json}
    /var/lib/postern/current -> generations/0007

A generation is made in a folder with a hidden name, flushed, and renamed; `current` is a symbolic link that is replaced
by a rename. At whatever moment the power goes, the link leads to a whole generation: the old one or the new one.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from hardware.host import files
from hardware.host.errors import Problem, Refused, refuse
from installer.apply.places import Places, read_json
from overlays.settings import Secrets, Settings, dump_answers, dump_secrets, parse_answers, parse_secrets

KEPT = 50


class Verdict(Enum):
    """What became of a generation."""

    PENDING = "pending"  # in force, and its health is not known yet
    TRIAL = "trial"  # in force until the time is over that somebody has to confirm it
    GOOD = "good"
    FAILED = "failed"  # it was in force, and the box went back


@dataclass(frozen=True)
class About:
    """What a generation says of itself."""

    time: str  # UTC, ISO 8601, to the second
    reason: str
    digest: str  # of settings and secrets
    verdict: Verdict = Verdict.PENDING
    checked: str = ""  # image and rendered files that the daemons' parsers have accepted


@dataclass(frozen=True)
class Generation:
    """One stored set of settings."""

    number: int
    folder: Path
    about: About


class Store:
    """The generations of a box."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.folder = places.state / "generations"
        self.link = places.state / "current"

    def history(self) -> list[Generation]:
        """All generations, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (self._read(path) for path in sorted(self.folder.iterdir()) if path.name.isdigit())
        return sorted((one for one in found if one), key=lambda one: one.number)

    def current(self) -> Generation | None:
        """The generation in force; None before the box was set up."""
        try:
            target = self.link.readlink()
        except OSError:
            return None
        return self._read(self.folder / target.name)

    def get(self, number: int) -> Generation:
        """A generation by its number. Raises `Refused`."""
        for one in self.history():
            if one.number == number:
                return one
        kept = [one.number for one in self.history()]
        hint = f"kept: {kept[0]} to {kept[-1]}" if kept else "nothing was stored yet"
        raise refuse(f"there is no generation {number}", hint)

    def before(self, generation: Generation) -> Generation | None:
        """The newest generation before this one that was in service."""
        older = [one for one in self.history() if one.number < generation.number]
        return next((one for one in reversed(older) if one.about.verdict is Verdict.GOOD), None)

    def load(self, generation: Generation) -> tuple[Settings, Secrets]:
        """What a generation holds. Raises `Refused` when it cannot be read."""
        texts = []
        for name in ("settings.yaml", "secrets.yaml"):
            path = generation.folder / name
            try:
                texts.append(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise Refused([Problem(str(path), "", f"cannot be read: {error}")]) from error
        name = f"generation {generation.number}"
        return parse_answers(texts[0], name), parse_secrets(texts[1], f"{name}, secrets")

    def add(
        self,
        settings: Settings,
        secrets: Secrets,
        reason: str,
        checked: str = "",
        verdict: Verdict = Verdict.PENDING,
    ) -> Generation:
        """Store a generation, whole and flushed; it is not in force before `switch`."""
        self.places.state.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        number = max((one.number for one in self.history()), default=0) + 1
        public, hidden = dump_answers(settings), dump_secrets(secrets)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        about = About(now, reason, files.digest_of(public, hidden), verdict, checked)
        unfinished = self.folder / f".new-{number:04}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        files.write(unfinished / "settings.yaml", public)
        files.write(unfinished / "secrets.yaml", hidden, mode=0o600)
        _write_about(unfinished, about)
        final = self.folder / f"{number:04}"
        unfinished.rename(final)
        files.sync(self.folder)
        files.sync(self.places.state)
        self.tidy()
        return Generation(number, final, about)

    def switch(self, generation: Generation | None) -> None:
        """Put a generation in force for this and every later boot; None returns to the factory state."""
        if generation is None:
            self.link.unlink(missing_ok=True)
        else:
            beside = self.link.with_name(".current.new")
            beside.unlink(missing_ok=True)
            beside.symlink_to(f"generations/{generation.folder.name}")
            beside.replace(self.link)
        files.sync(self.places.state)

    def judge(self, generation: Generation, verdict: Verdict, checked: str | None = None) -> Generation:
        """Note what became of a generation, and the check that it passed."""
        about = replace(
            generation.about, verdict=verdict, checked=generation.about.checked if checked is None else checked
        )
        if about != generation.about:
            _write_about(generation.folder, about)
        return replace(generation, about=about)

    def tidy(self) -> None:
        """Remove what an interrupted `add` left, and all but 50 generations (the one in force and the newest stay)."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob(".new-*"):
            shutil.rmtree(path)
        kept, current = self.history(), self.current()
        surplus = len(kept) - KEPT
        removable = [one for one in kept[:-1] if current is None or one.number != current.number]
        for one in removable[: max(0, surplus)]:
            shutil.rmtree(one.folder)

    def _read(self, folder: Path) -> Generation | None:
        """The generation in a folder. A damaged about.json costs its story, not the settings."""
        if not folder.name.isdigit() or not folder.is_dir():
            return None
        raw = read_json(folder / "about.json")
        verdict = raw.get("verdict")
        about = About(
            time=str(raw.get("time", "")),
            reason=str(raw.get("reason", "")),
            digest=str(raw.get("digest", "")),
            verdict=next((one for one in Verdict if one.value == verdict), Verdict.FAILED),
            checked=str(raw.get("checked", "")),
        )
        return Generation(int(folder.name), folder, about)


def _write_about(folder: Path, about: About) -> None:
    text = json.dumps(asdict(about) | {"verdict": about.verdict.value}, indent=1)
    files.write(folder / "about.json", text + "\n")
