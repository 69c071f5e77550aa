"""`postern quarantine`: what is kept, for whom, and what becomes of it. The same store as the web pages'."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from hardware.host.errors import Problem, Refused, refuse
from installer.apply.places import Places
from overlays.quarantine import policy as policies
from overlays.quarantine import report
from overlays.quarantine.carry import NotTaken
from overlays.quarantine.policy import SYSTEM, Policy
from overlays.quarantine.records import Records
from overlays.quarantine.store import Away, Kept, Mailbox
from overlays.values import read_mail_address

_SYSTEM_WORD = "system"


def main(places: Places, arguments: argparse.Namespace) -> None:
    """The verbs of `postern quarantine`. Raises `Refused`."""
    file = places.root / policies.POLICY.relative_to("/")
    if not file.is_file():
        raise refuse("there is no quarantine yet", "`postern setup` puts the box into service")
    now = policies.load(file)
    try:
        _do(now, Records(), arguments)
    except Away as failure:
        raise refuse(f"the store does not answer: {failure}", "`systemctl status dovecot` says why") from failure
    except NotTaken as failure:
        raise refuse(f"was not taken, and is kept: {failure}") from failure


def _do(now: Policy, records: Records, arguments: argparse.Namespace) -> None:
    if arguments.verb == "report":
        sent = report.send_all(now, records)
        text = "".join(f"{owner} was told of {number}.\n" for owner, number in sent.items()) or "Nothing is new.\n"
        print(json.dumps(sent) if arguments.json else text.rstrip("\n"))
    elif arguments.verb == "list":
        owners = [_owner(now, arguments.owner)] if arguments.owner else records.owners()
        found = [(owner, one) for owner in owners for one in Mailbox(now, owner).all()]
        print(listed(found, as_json=arguments.json), end="")
    elif arguments.verb == "senders":
        owner = _owner(now, arguments.owner)
        if owner == SYSTEM:
            raise refuse(
                "the system quarantine has no senders", "filtering.welcome and filtering.block are for everybody"
            )
        print(senders(records, owner, arguments), end="")
    else:
        _one(Mailbox(now, _owner(now, arguments.owner)), arguments)


def senders(records: Records, owner: str, arguments: argparse.Namespace) -> str:
    """Change one of an owner's lists, if that is asked for, and show both. Raises `Refused`."""
    try:
        if arguments.welcome:
            records.welcome(owner, read_mail_address(arguments.welcome))
        elif arguments.block:
            records.block(owner, read_mail_address(arguments.block))
    except ValueError as reason:
        raise refuse(str(reason)) from reason
    if arguments.forget:
        records.unlist(owner, arguments.forget)
    lists = {"welcome": records.welcomed(owner), "block": records.blocked(owner)}
    if arguments.json:
        return json.dumps(lists, indent=1) + "\n"
    lines = [f"{word} {sender}\n" for word, listed in lists.items() for sender in listed]
    return "".join(lines) or "Nobody is on a list.\n"


def _one(mailbox: Mailbox, arguments: argparse.Namespace) -> None:
    names = arguments.names if arguments.verb in ("release", "delete") else [arguments.name]
    found = {name: mailbox.find(name) for name in names}
    hint = "nothing was done; `postern quarantine list` names what is"
    missing = [name for name, one in found.items() if one is None]
    if missing:
        raise Refused([Problem("", "", f"{name} is not kept for {mailbox.owner}", hint) for name in missing])
    for name, one in found.items():
        if arguments.verb == "release":
            mailbox.release(name)
            print(f"{name} is released.")
        elif arguments.verb == "delete":
            mailbox.delete([name])
            print(f"{name} is deleted.")
        elif one:
            _show(mailbox, one, as_json=arguments.json)


def _show(mailbox: Mailbox, one: Kept, *, as_json: bool) -> None:
    text = (mailbox.raw(one.name) or b"").decode("utf-8", "replace")
    if as_json:
        print(json.dumps(_facts(mailbox.owner, one) | {"message": text}, indent=1))
        return
    # A terminal obeys control characters: a stranger's message gets none through.
    shown = (c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\r\n", "\n"))
    sys.stdout.write("".join(shown))


def listed(found: Iterable[tuple[str, Kept]], *, as_json: bool = False) -> str:
    """A line for each message, or all that is known of them."""
    if as_json:
        return json.dumps([_facts(owner, one) for owner, one in found], indent=1) + "\n"
    lines = [
        f"{_word(owner)} {one.name} {one.received.astimezone():%Y-%m-%d %H:%M} {one.kind} {one.score or '-'} "
        f"<{one.address}> {one.subject}".rstrip()
        for owner, one in found
    ]
    return "".join(f"{line}\n" for line in lines) or "Nothing is kept.\n"


def _facts(owner: str, one: Kept) -> dict[str, Any]:
    return {"owner": _word(owner)} | asdict(one) | {"received": one.received.isoformat()}


def _word(owner: str) -> str:
    return _SYSTEM_WORD if owner == SYSTEM else owner


def _owner(now: Policy, word: str) -> str:
    if word == _SYSTEM_WORD:
        return SYSTEM
    owner = now.owner_of(word)
    if owner == SYSTEM:
        raise refuse(f"{word!r} is nobody's address", f"an address, or `{_SYSTEM_WORD}` for the system quarantine")
    return owner
