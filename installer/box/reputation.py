"""`postern reputation`: how strangers stand who have sent mail in the last hours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass

from hardware.host.errors import refuse
from installer.apply.places import Places
from installer.box.change import in_force, open_box
from overlays.access import reputation
from overlays.access.reputation import HOURS, Hour, Limits, Standing


@dataclass(frozen=True)
class Client:
    """One of them, with the sums of all hours."""

    client: str
    score: int
    standing: Standing
    past: Hour


def report(places: Places, *, as_json: bool) -> str:
    """The worst first, for a person or a program. Raises `Refused`."""
    chosen = in_force(open_box(places)).settings.filtering.reputation
    if not chosen.enabled:
        raise refuse("nobody's past counts", "filtering.reputation.enabled: true lets it")
    found = of_clients(asyncio.run(_pasts()), Limits.model_validate_json(chosen.limits_json))
    if as_json:
        return json.dumps([asdict(one) for one in found], indent=1)
    return "\n".join(map(_line, found)) or f"No stranger has sent anything in the last {HOURS} hours."


def of_clients(pasts: dict[str, Sequence[Hour]], limits: Limits) -> list[Client]:
    """How everybody stands, the worst first."""
    found = [
        Client(name, reputation.score(hours), reputation.standing(hours, limits), _sum(hours))
        for name, hours in pasts.items()
    ]
    return sorted(found, key=lambda one: (-one.score, one.client))


def _sum(hours: Sequence[Hour]) -> Hour:
    return Hour(*(sum(counts) for counts in zip(*map(astuple, hours), strict=True)))


def _line(one: Client) -> str:
    past = one.past
    counts = f"{past.messages} messages, {past.known} of {past.asked} recipients exist"
    return f"{one.client} {one.score} {one.standing}: {counts}, {past.spam} spam, {past.virus} viruses"


async def _pasts() -> dict[str, Sequence[Hour]]:
    from redis import RedisError

    from overlays.access.ledger import Ledger

    ledger = Ledger()
    try:
        pasts = {name: await ledger.hours(name) for name in await ledger.clients()}
        await ledger.close()
    except (RedisError, OSError) as error:
        raise refuse(f"what is remembered cannot be read: {error}", "`systemctl status valkey-server`") from error
    return {name: hours for name, hours in pasts.items() if any(map(any, map(astuple, hours)))}
