"""Where an answer file comes from when nobody is at the console.

In this order: the firmware's credentials, a volume labelled POSTERN, and the CD on which a hypervisor hands over what
was typed into the form of an OVF package. age may have encrypted the secrets file, to this box or with a passphrase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hardware.host import age
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.run import Failed
from installer.apply import volume
from installer.apply.places import Places
from overlays import ovf
from overlays.settings import Secrets, Settings, parse_answers, parse_secrets

_CD = "iso9660,udf"


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
    where = volume.NAME
    with volume.labelled(places) as folder:
        if folder is None:
            return None
        settings = volume.read(folder / "answers.yaml", where)
        secrets = volume.read(folder / "secrets.yaml", where) or volume.read(folder / "secrets.yaml.age", where) or b""
    if settings is None:
        raise refuse("holds no answers.yaml", "put it into the root of the volume", where=where)
    text = volume.text(settings, where, "answers.yaml")
    return Answers(text, secrets, f"{where}: answers.yaml", f"{where}: secrets.yaml")


def from_hypervisor(places: Places) -> Answers | None:
    """What was typed into the form of an OVF package, from the CD that the hypervisor made of it."""
    where = f"OVF environment ({ovf.FILE})"
    for device in sorted((places.root / "dev").glob("sr[0-9]*")):
        try:
            with volume.mounted(places, device, _CD) as folder:
                raw = volume.read(folder / ovf.FILE, where)
        except Failed:  # an empty drive, or music
            continue
        typed = ovf.read(volume.text(raw, where, ""), where) if raw else None
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
    return Answers(volume.text(raw[0], str(settings), ""), raw[1], str(settings), str(secrets or "secrets"))
