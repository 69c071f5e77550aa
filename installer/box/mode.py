"""`postern mode`: another operation mode on a box in service. What the new one has not is told, and kept aside."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import yaml

from hardware.host import files
from hardware.host.errors import Problem, Refused, refuse
from hardware.parts import OperationMode
from installer.apply.places import Places
from installer.apply.store import Store, Verdict
from installer.box.change import InForce, in_force, open_box, put_in_force, require_no_problems
from installer.box.settings import with_users
from overlays.mode import Difference, changed, difference
from overlays.settings import Settings, dump_answers, dump_secrets
from overlays.users import table
from overlays.values import Host, read_host


def main(places: Places, arguments: argparse.Namespace) -> None:
    """Change the mode, or with --check only say what would come of it. Raises `Refused`."""
    if arguments.json and not arguments.check:
        raise refuse("--json goes with --check")
    box = open_box(places)
    now, mode = in_force(box), OperationMode(arguments.mode)
    if now.settings.mode is mode:
        raise refuse(f"this box is in {mode} mode")
    servers = _servers(arguments.server, now.settings)
    become = partial(changed, now.settings, mode, box.profile.port_names, last(box.store, mode))
    wanted = become(servers)
    if sys.stdin.isatty() and not (arguments.check or arguments.yes):
        wanted = become(servers | _asked(wanted))
    users = table.read(places.root) if now.settings.keeps_mailboxes else ()
    found = difference(now.settings, wanted)
    print(told(mode, found, len(tuple(users)), as_json=arguments.json))
    require_no_problems(box, wanted, now.secrets, f"{mode} mode")
    if arguments.check:
        return
    if not arguments.yes:
        _confirm(mode)
    saved = save(places, now)
    print(f"The settings until now are kept in {saved}; `postern mode {now.settings.mode}` leads back.", flush=True)
    reason = f"{now.settings.mode} mode to {mode} mode"
    put_in_force(box, wanted, now.secrets, reason, confirm_within=arguments.confirm_within)


def last(store: Store, mode: OperationMode) -> Settings | None:
    """The settings with which the box was in that mode the last time."""
    for one in reversed(store.history()):
        if one.about.verdict is Verdict.GOOD:
            try:
                settings, _ = store.load(one)
            except Refused:  # of a firmware that this one does not understand
                continue
            if settings.mode is mode:
                return settings
    return None


def told(mode: OperationMode, found: Difference, users: int, *, as_json: bool) -> str:
    """What the change drops and what it brings."""
    if as_json:
        return json.dumps({"mode": mode.value, "users": users, **asdict(found)}, indent=1)
    lines = [f"In {mode} mode the box keeps its name, addresses, routes, name servers, time and administrators."]
    for title, part in (("It drops:", found.gone), ("It adds:", found.come)):
        if part:
            lines += [title, *(f"  {path}: {_plain(value)}" for path, value in part.items())]
    if users:
        lines.append(f"Its {users} users have no service; their mail and their passwords stay on the box.")
    return "\n".join(lines)


def save(places: Places, now: InForce) -> Path:
    """Write the settings in force as an answer file, users and all, and its secrets beside it."""
    folder = places.state / "saved"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{now.settings.mode}-{now.generation.number:04}"
    whole = with_users(now, table.read(places.root))
    files.write(folder / f"{name}.yaml", dump_answers(whole.settings))
    files.write(folder / f"{name}-secrets.yaml", dump_secrets(whole.secrets), mode=0o600)
    return folder / f"{name}.yaml"


def _servers(typed: list[str], settings: Settings) -> dict[str, Host]:
    """The mail servers that were named, by domain. Raises `Refused` with every problem."""
    known = {domain.name for domain in settings.domains}
    servers: dict[str, Host] = {}
    found: list[Problem] = []
    for text in typed:
        name, equals, server = text.partition("=")
        if not equals or name not in known:
            hint = f"DOMAIN=SERVER, of a protected domain: {', '.join(sorted(known)) or 'there is none'}"
            found.append(Problem("--server", "", f"{text!r} names no domain of this box", hint))
            continue
        try:
            servers[name] = read_host(server)
        except ValueError as error:
            found.append(Problem("--server", name, str(error)))
    if found:
        raise Refused(found)
    return servers


def _asked(settings: Settings) -> dict[str, Host]:
    """The mail servers that nothing names, from this terminal. Whoever types nothing reads which are missing."""
    nowhere = () if settings.keeps_mailboxes else settings.domains
    servers: dict[str, Host] = {}
    for name in (domain.name for domain in nowhere if domain.server is None):
        while typed := input(f"The mail server of {name}: ").strip():
            try:
                servers[name] = read_host(typed)
                break
            except ValueError as error:
                print(error)
    return servers


def _plain(value: object) -> str:
    """A value as an answer file has it, in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=1 << 16).removesuffix("\n...\n").strip()


def _confirm(mode: OperationMode) -> None:
    if not sys.stdin.isatty():
        raise refuse("a change of the mode has to be confirmed", "--yes does it without a terminal")
    if input(f"Type {mode} to go on: ").strip() != mode:
        raise refuse("not confirmed, and nothing was changed")
