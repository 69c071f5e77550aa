"""Where an answer file comes from when nobody is at the console: the firmware's credentials, or a labelled volume."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hardware.host.errors import Problem, Refused, refuse
from hardware.host.run import Failed, run
from installer.apply.places import Places
from overlays.settings import Secrets, Settings, parse_answers, parse_secrets

LABEL = "POSTERN"
_KINDS = "vfat,ext4,iso9660"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Answers:
    """The texts of an answer file and its secrets file, and what to call them in messages."""

    settings: str
    secrets: str = field(repr=False)
    settings_source: str = "answers.yaml"
    secrets_source: str = "secrets.yaml"

    def parse(self) -> tuple[Settings, Secrets]:
        """Both documents' values. Raises `Refused` with the problems of form of both."""
        found: list[Problem] = []
        settings = secrets = None
        try:
            settings = parse_answers(self.settings, self.settings_source)
        except Refused as refused:
            found += refused.problems
        try:
            secrets = parse_secrets(self.secrets, self.secrets_source) if self.secrets else Secrets(format=1)
        except Refused as refused:
            found += refused.problems
        if settings is None or secrets is None:
            raise Refused(found)
        return settings, secrets


def find(places: Places) -> Answers | None:
    """The answers that wait for this box; credentials go before a volume. Raises `Refused` when they cannot be read."""
    return from_credentials(places) or from_volume(places)


def from_credentials(places: Places) -> Answers | None:
    """The systemd credentials `postern.answers` and `postern.secrets`."""
    settings = places.credential("postern.answers")
    if settings is None:
        return None
    secrets = places.credential("postern.secrets") or ""
    return Answers(settings, secrets, "credential postern.answers", "credential postern.secrets")


def from_volume(places: Places) -> Answers | None:
    """`answers.yaml` and `secrets.yaml` in the root of a volume labelled POSTERN."""
    device = places.root / "dev/disk/by-label" / LABEL
    if not device.exists():
        return None
    with _mounted(device, places.run / "media") as folder:
        settings = _read(folder / "answers.yaml")
        if settings is None:
            raise refuse("holds no answers.yaml", "put it into the root of the volume", where=f"volume {LABEL}")
        secrets = _read(folder / "secrets.yaml") or ""
    return Answers(settings, secrets, f"volume {LABEL}: answers.yaml", f"volume {LABEL}: secrets.yaml")


def from_files(settings: Path, secrets: Path | None) -> Answers:
    """From files that a person named. Raises `Refused`."""
    texts = []
    for path in (settings, secrets):
        try:
            texts.append(path.read_text(encoding="utf-8") if path else "")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise refuse(f"cannot be read: {reason}", where=str(path)) from error
    return Answers(texts[0], texts[1], str(settings), str(secrets or "secrets"))


@contextmanager
def _mounted(device: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        run(["mount", "-t", _KINDS, "-o", "ro,nosuid,noexec,nodev", device, folder], timeout=60)
    except Failed as failed:
        hint = "it must be FAT, ext4 or ISO 9660"
        raise refuse(f"cannot be mounted: {_last_line(failed.output)}", hint, where=f"volume {LABEL}") from failed
    try:
        yield folder
    finally:
        run(["umount", folder], timeout=60)


def _read(path: Path) -> str | None:
    """A plain file's text: what a stranger's volume holds is neither followed through links nor read without end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}", where=f"volume {LABEL}", path=path.name) from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise refuse("is not a file", where=f"volume {LABEL}", path=path.name)
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise refuse("is larger than 1 MiB", where=f"volume {LABEL}", path=path.name)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("is not UTF-8 text", where=f"volume {LABEL}", path=path.name) from error


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")
