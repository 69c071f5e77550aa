"""Where an answer file comes from when nobody is at the console.

In this order: the firmware's credentials, a volume labelled POSTERN, and the CD on which a hypervisor hands over what
was typed into the form of an OVF package. age may have encrypted the secrets file, to this box or with a passphrase.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hardware.host import age
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.run import Failed, run
from installer.apply.places import Places
from overlays import ovf
from overlays.settings import Secrets, Settings, parse_answers, parse_secrets

LABEL = "POSTERN"
_KINDS, _CD = "vfat,ext4,iso9660", "iso9660,udf"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Answers:
    """The texts of an answer file and its secrets file, and what to call them in messages."""

    settings: str
    secrets: bytes = field(repr=False)
    settings_source: str = "answers.yaml"
    secrets_source: str = "secrets.yaml"

    def parse(self, places: Places, *, ask: bool = False) -> tuple[Settings, Secrets]:
        """Both documents' values. Raises `Refused` with the problems of form of both.

        `ask`: a passphrase may be asked for on our terminal.
        """
        found: list[Problem] = []
        settings = secrets = None
        try:
            settings = parse_answers(self.settings, self.settings_source)
        except Refused as refused:
            found += refused.problems
        try:
            secrets = (
                parse_secrets(self._opened(places, ask), self.secrets_source) if self.secrets else Secrets(format=1)
            )
        except Refused as refused:
            found += refused.problems
        if settings is None or secrets is None:
            raise Refused(found)
        return settings, secrets

    def _opened(self, places: Places, ask: bool) -> str:
        by_key = age.sealed(self.secrets) and not age.by_passphrase(self.secrets)
        whose = f"this box opens what is encrypted to {recipient(places)}" if by_key else ""
        return age.opened(self.secrets, self.secrets_source, places.age_key, whose, ask=ask)


def recipient(places: Places) -> str:
    """Whom to encrypt secrets for this box to. Raises `Refused`: there is a key from the first start on."""
    try:
        return places.age_recipient.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise refuse("this box has no key yet", "it is made when the box starts") from error


def find(places: Places) -> Answers | None:
    """The answers that wait for this box. Raises `Refused` when they cannot be read."""
    return from_credentials(places) or from_volume(places) or from_hypervisor(places)


def from_credentials(places: Places) -> Answers | None:
    """The systemd credentials `postern.answers` and `postern.secrets`."""
    settings = places.credential("postern.answers")
    if settings is None:
        return None
    secrets = places.raw_credential("postern.secrets") or b""
    return Answers(settings, secrets, "credential postern.answers", "credential postern.secrets")


def from_volume(places: Places) -> Answers | None:
    """`answers.yaml` and `secrets.yaml` in the root of a volume labelled POSTERN."""
    device = places.root / "dev/disk/by-label" / LABEL
    if not device.exists():
        return None
    where = f"volume {LABEL}"
    try:
        with _mounted(device, places.run / "media", _KINDS) as folder:
            settings = _read(folder / "answers.yaml", where)
            secrets = _read(folder / "secrets.yaml", where) or _read(folder / "secrets.yaml.age", where) or b""
    except Failed as failed:
        hint = "it must be FAT, ext4 or ISO 9660"
        raise refuse(f"cannot be mounted: {_last_line(failed.output)}", hint, where=where) from failed
    if settings is None:
        raise refuse("holds no answers.yaml", "put it into the root of the volume", where=where)
    return Answers(_text(settings, where, "answers.yaml"), secrets, f"{where}: answers.yaml", f"{where}: secrets.yaml")


def from_hypervisor(places: Places) -> Answers | None:
    """What was typed into the form of an OVF package, from the CD that the hypervisor made of it."""
    where = f"OVF environment ({ovf.FILE})"
    for device in sorted((places.root / "dev").glob("sr[0-9]*")):
        try:
            with _mounted(device, places.run / "media", _CD) as folder:
                raw = _read(folder / ovf.FILE, where)
        except Failed:  # an empty drive, or music
            continue
        typed = ovf.read(_text(raw, where, ""), where) if raw else None
        if typed:
            return Answers(typed.answers, typed.secrets, where, where)
    return None


def from_files(settings: Path, secrets: Path | None) -> Answers:
    """From files that a person named. Raises `Refused`."""
    raw = []
    for path in (settings, secrets):
        try:
            raw.append(path.read_bytes() if path else b"")
        except OSError as error:
            raise refuse(f"cannot be read: {error.strerror}", where=str(path)) from error
    return Answers(_text(raw[0], str(settings), ""), raw[1], str(settings), str(secrets or "secrets"))


@contextmanager
def _mounted(device: Path, folder: Path, kinds: str) -> Iterator[Path]:
    """A volume to look at. Raises `Failed` when it cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    run(["mount", "-t", kinds, "-o", "ro,nosuid,noexec,nodev", device, folder], timeout=60)
    try:
        yield folder
    finally:
        run(["umount", folder], timeout=60)


def _read(path: Path, where: str) -> bytes | None:
    """A plain file's bytes: what a stranger's volume holds is neither followed through links nor read without end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}", where=where, path=path.name) from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise refuse("is not a file", where=where, path=path.name)
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise refuse("is larger than 1 MiB", where=where, path=path.name)
    return raw


def _text(raw: bytes, where: str, path: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse("cannot be read: is not UTF-8 text", where=where, path=path) from error


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")
