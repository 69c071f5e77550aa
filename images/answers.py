"""`./build.py answers`: what a box would say of an answer file, before there is a box."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from hardware import profile as profiles
from hardware.host import age, documents
from hardware.host.documents import Document
from hardware.host.errors import Problem, Refused, refuse
from overlays.problems import problems as settings_problems
from overlays.settings import Secrets, Settings, parse_secrets, schema


def answers(arguments: Namespace) -> int:
    """Check an answer file for a hardware profile, or print the schema of such files. Raises `Refused`."""
    if arguments.action == "schema":
        print(json.dumps(schema(), indent=2))
        return 0
    if arguments.file is None:
        raise refuse("check needs an answer file", "./build.py answers check FILE")
    profile = profiles.load(arguments.profile)
    found: list[Problem] = []
    settings = read(arguments.file, Settings, found)
    secrets = read_secrets(arguments.secrets, arguments.identity, found)
    if settings:
        found += settings_problems(settings, profile, str(arguments.file), secrets)
    if arguments.json:
        print(json.dumps([asdict(problem) for problem in found], indent=2))
        return 2 if found else 0
    if found:
        raise Refused(found)
    print(f"{arguments.file}: no problems on {profile.id}")
    return 0


def sealed(path: Path | None) -> bool:
    """Whether a secrets file is for the box alone to open."""
    return path is not None and path.is_file() and age.sealed(path.read_bytes())


def read_secrets(path: Path | None, identity: Path | None, problems: list[Problem]) -> Secrets | None:
    """A secrets file if one was named, which age may have encrypted to `identity` or with a passphrase."""
    if path is None:
        return None
    try:
        raw = path.read_bytes()
        text = age.opened(raw, str(path), identity, ask=sys.stdin.isatty())
        return parse_secrets(text, str(path))
    except OSError as error:
        problems.append(Problem(str(path), "", f"cannot be read: {error.strerror}"))
    except Refused as refused:
        problems += refused.problems
    return None


def read(path: Path | None, model: type[Document], problems: list[Problem]) -> Document | None:
    """A document if one was named; what is wrong with it joins the problems."""
    try:
        return documents.read(path, model) if path else None
    except Refused as refused:
        problems += refused.problems
        return None
