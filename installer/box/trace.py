"""`postern trace`: the way of one message through the box, from connection to verdict to delivery."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime

from hardware.host.errors import refuse
from installer.box import log
from overlays.header import plain
from overlays.logs.message import Message, Stage, Step
from overlays.logs.trail import Trail, joined

_RECENT = "7 days ago"
_WIDTH = 118


def main(word: str, since: str | None, *, as_json: bool) -> None:
    """Print every message that a message-id, an address or a queue's number belongs to. Raises `Refused`."""
    begin = log.moment(since or _RECENT)
    found: list[Message] = []

    def done(message: Message) -> None:
        if message.has(word):
            found.append(message)

    trail = Trail(done=done)
    for entry in log.entries(begin, events=False):
        trail.take(entry)
    for message in trail.unfinished():
        done(message)
    messages = [one for one in joined(found) if one.begun >= begin]
    if not messages:
        raise refuse(
            f"no message of {word!r} since {since or _RECENT}", "`postern log history` lists them; see --since"
        )
    if as_json:
        print(json.dumps([_facts(one) for one in messages], indent=1, default=str))
    else:
        print("\n\n".join("\n".join(drawn(one)) for one in messages))


def drawn(message: Message) -> Iterator[str]:
    """The message for a person: what happened to the whole of it down one line, and a branch for each recipient."""
    head = {
        "Message": f"<{message.message_id}>" if message.message_id else "refused before it was sent",
        "From": message.sender or "<>",
        "Subject": plain(message.subject),
        "Client": f"{message.client}{f', logged in as {message.user}' if message.user else ''}" or "the box itself",
    }
    yield from (f"{name:8} {text}" for name, text in head.items() if text)
    yield f"         {message.begun.astimezone():%A, %Y-%m-%d}"
    whole, branches = _parted(message)
    yield from _steps(whole, "●", "│ ")
    for index, to in enumerate(branches):
        last = index == len(branches) - 1
        fate = message.fates.get(to)
        became = f": {fate.disposition.upper()} ({fate.classifier})" if fate else ""
        yield f"           {'└─' if last else '├─'} {to or 'nobody yet'}{became}"
        yield from _steps(branches[to], "   ●" if last else "│  ●", "   │ " if last else "│  │ ")


def _steps(steps: Iterable[Step], mark: str, under: str) -> Iterator[str]:
    for step in steps:
        first, *more = textwrap.wrap(step.text, _WIDTH - 26 - len(mark)) or [""]
        yield f"{_clock(step.time)}   {mark} {step.stage:11} {first}"
        yield from (f"           {under:{len(mark) + 1}}{'':12}{line}" for line in more)


def _parted(message: Message) -> tuple[list[Step], dict[str, list[Step]]]:
    """What happened to all of it, and to each recipient's; in order: within a second by stage."""
    steps = list(message.steps)
    if message.ruled and not any(step.stage is Stage.ACCESS for step in steps):
        steps.append(Step(message.begun, Stage.ACCESS, "no rule matched: mail for protected domains alone is taken"))
    steps.sort(key=lambda step: (int(step.time.timestamp()), list(Stage).index(step.stage)))
    branches = {to: [step for step in steps if step.to == to] for to in message.recipients}
    return [step for step in steps if not step.to], branches


def _clock(time: datetime) -> str:
    return f"{time.astimezone():%H:%M:%S}"


def _facts(message: Message) -> dict[str, object]:
    whole, branches = _parted(message)
    return {
        "id": message.id,
        "message_id": message.message_id,
        "client": message.client,
        "user": message.user,
        "from": message.sender,
        "subject": plain(message.subject),
        "verdict": asdict(message.verdict) if message.verdict else None,
        "steps": [_step(step) for step in whole],
        "recipients": [
            {
                "to": to,
                "disposition": message.fates[to].disposition if to in message.fates else None,
                "classifier": message.fates[to].classifier if to in message.fates else None,
                "steps": [_step(step) for step in steps],
            }
            for to, steps in branches.items()
        ],
    }


def _step(step: Step) -> dict[str, str]:
    return {"time": step.time.astimezone().isoformat(), "stage": step.stage, "text": step.text}
