"""`postern definitions FILE`: virus definitions from files. ClamAV's by their signature, one's own by request."""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hardware.host import files
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.run import run
from installer.apply.places import Places
from installer.box import caller
from installer.box.definitions import FOLDER, describe, installed, read_head, report
from overlays.filtering.settings import OFFICIAL_MEMORY_MIB

SIGNED = ("main.cvd", "daily.cvd", "bytecode.cvd")
_LARGE = SIGNED[:2]
_OWN = re.compile(r"(?!postern-test\.)[A-Za-z0-9][A-Za-z0-9_-]{0,60}\.(hdb|hsb|ldb|ndb)")
_UNIT = "clamav-daemon.service"
# Whoever reads a file that could be anybody's has no rights here.
_UNPRIVILEGED = ("setpriv", "--reuid=clamav", "--regid=clamav", "--clear-groups", "--no-new-privs", "--")
_LONGEST = 600.0


def main(places: Places, arguments: argparse.Namespace) -> None:
    """The command; without files it only shows what there is. Raises `Refused`."""
    if arguments.remove:
        print(remove(places, arguments.remove))
    if arguments.files:
        print(take(places, arguments.files, unsigned=arguments.unsigned))
    if not (arguments.files or arguments.remove):
        print(report(places, as_json=arguments.json))


def take(places: Places, given: Sequence[Path], *, unsigned: bool) -> str:
    """Put all of these files in service, or none. Raises `Refused` with a line for each that cannot be."""
    problems = list(_misnamed(given, unsigned=unsigned))
    if problems:
        raise Refused(problems)
    folder = places.root / FOLDER
    with tempfile.TemporaryDirectory(prefix=".taking-", dir=folder) as name:
        staged = Path(name)
        staged.chmod(0o755)
        _copy(given, staged)
        problems = [problem for path in given if (problem := _problem(places, path, staged / path.name))]
        if problems:
            raise Refused(problems)
        for path in given:
            (staged / path.name).replace(folder / path.name)
            # What was fetched earlier, with the changes since: of the two, clamd would load this one.
            if path.name in SIGNED:
                (folder / path.name).with_suffix(".cld").unlink(missing_ok=True)
    files.sync(folder)
    taken = {path.name for path in given}
    return "\n".join(describe(one) for one in installed(places) if one.name in taken) + "\n" + _reload()


def remove(places: Places, names: Sequence[str]) -> str:
    """Take one's own sets away again. Raises `Refused` when one of them is not there."""
    folder = places.root / FOLDER
    own = [one.name for one in installed(places) if not one.signed]
    there = f"one's own here are: {', '.join(own)}" if own else "there is none of one's own"
    missing = [Problem("", "", f"{name} cannot be removed", there) for name in names if name not in own]
    if missing:
        raise Refused(missing)
    for name in names:
        (folder / name).unlink()
    files.sync(folder)
    return _reload()


def _misnamed(given: Iterable[Path], *, unsigned: bool) -> Iterator[Problem]:
    """What can be said of files by their names. clamd goes by them too."""
    seen: set[str] = set()
    for path in given:
        if path.name in seen:
            yield Problem(str(path), "", "has the name of another", "take one of them")
        seen.add(path.name)
        if path.suffix == ".cld":
            yield Problem(str(path), "", "was changed since it was signed", "take the .cvd file")
        elif _OWN.fullmatch(path.name):
            if not unsigned:
                hint = "if it is your own, --unsigned takes it all the same"
                yield Problem(str(path), "", "is not signed by ClamAV", hint)
        elif path.name not in SIGNED:
            hint = f"{', '.join(SIGNED)}; your own end in .hdb, .hsb, .ldb or .ndb"
            yield Problem(str(path), "", "has no name of virus definitions", hint)


def _copy(given: Iterable[Path], folder: Path) -> None:
    """With the caller's rights; what is looked at afterwards is the copy, which nobody else can change."""
    for path in given:
        try:
            with caller.rights():
                source = path.open("rb")
            with source, (folder / path.name).open("wb") as target:
                shutil.copyfileobj(source, target)
        except OSError as error:
            raise refuse(f"cannot be copied: {error.strerror}", where=str(path)) from error
        (folder / path.name).chmod(0o644)
        files.sync(folder / path.name)


def _problem(places: Places, path: Path, copy: Path) -> Problem | None:
    """Why a file cannot be put in service, by ClamAV's own programs; the file as the caller named it."""
    if path.name not in SIGNED:
        argv = [*_UNPRIVILEGED, "clamscan", "--no-summary", f"--database={copy}", "-"]
        loaded = run(argv, timeout=_LONGEST, check=False).status == 0
        return None if loaded else Problem(str(path), "", "cannot be loaded", f"`clamscan --database={path}` says why")
    verified = run([*_UNPRIVILEGED, "sigtool", f"--info={copy}"], timeout=_LONGEST, check=False)
    if verified.status != 0 or "Verification OK" not in verified.stdout or read_head(copy) is None:
        hint = "fetch it again from ClamAV or from your mirror"
        return Problem(str(path), "", "is damaged, or not signed by ClamAV", hint)
    memory = _memory_mib(places)
    if path.name in _LARGE and memory < OFFICIAL_MEMORY_MIB * 9 // 10:  # the kernel keeps some of it back
        return Problem(str(path), "", f"needs {OFFICIAL_MEMORY_MIB} MiB of memory, and this box has {memory}")
    return None


def _memory_mib(places: Places) -> int:
    """What the kernel says; a box without that file is one in a test."""
    file = places.root / "proc/meminfo"
    match = re.match(r"MemTotal:\s+(\d+) kB", file.read_text()) if file.is_file() else None
    return int(match[1]) >> 10 if match else OFFICIAL_MEMORY_MIB


def _reload() -> str:
    """Let the scanner take up what is there now. While it loads, it goes on with what it has, or mail waits."""
    if run(["systemctl", "is-active", "--quiet", _UNIT], check=False).status != 0:
        return "The virus scanner does not run; it loads them when it starts."
    run(["systemctl", "reload", _UNIT])
    return "The virus scanner loads them now."
