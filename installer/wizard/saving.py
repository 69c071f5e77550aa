"""A finished setup as an answer file: on the volume labelled POSTERN, or else on the data partition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hardware.host import files
from hardware.host.run import Failed, run
from installer.apply.places import Places
from installer.apply.volume import LABEL, NAME
from overlays.settings import Secrets, Settings, dump_answers, dump_secrets

# FAT has no owners and modes: the mount keeps others out instead, and `quiet` lets a change of mode pass.
_KINDS = {"vfat": "quiet,umask=0077", "ext4": "nosuid"}


def save(settings: Settings, secrets: Secrets, folder: Path, *, with_secrets: bool) -> list[Path]:
    """Write answers.yaml and, only if asked, secrets.yaml (mode 0600). Returns what was written."""
    answers, hidden = folder / "answers.yaml", folder / "secrets.yaml"
    files.write(answers, dump_answers(settings))
    if not with_secrets:
        return [answers]
    files.write(hidden, dump_secrets(secrets), mode=0o600)
    return [answers, hidden]


@contextmanager
def destination(places: Places) -> Iterator[tuple[Path, str]]:
    """Where to save, and its name for people: the volume if it can be written, or else beside the settings."""
    device = places.root / "dev/disk/by-label" / LABEL
    mounted = places.run / "save"
    if device.exists() and _mount(device, mounted):
        try:
            yield mounted, NAME
        finally:
            run(["umount", mounted], timeout=120)
        return
    folder = places.state / "saved"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    yield folder, str(folder)


def _mount(device: Path, folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for kind, options in _KINDS.items():
        try:
            run(["mount", "-t", kind, "-o", f"rw,noexec,nodev,{options}", device, folder], timeout=60)
        except Failed:
            continue
        return True
    return False
