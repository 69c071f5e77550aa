"""Where the pasts of clients are kept: in Valkey, a hash for each client and hour, gone by itself when it is too old.

Rspamd (decide.lua) writes there as well: of spam and viruses it alone knows. To lose it all is harmless.
"""

from __future__ import annotations

import time
from dataclasses import fields

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from overlays.access.reputation import HOURS, Hour

SOCKET = "/run/valkey/valkey.sock"
_PREFIX = "reputation"
_HOUR = 3600
_KEPT = (HOURS + 1) * _HOUR
_PATIENCE = 0.5
_NAMES = tuple(field.name for field in fields(Hour))


class Ledger:
    """Every call raises `redis.RedisError` or `OSError` when Valkey does not answer."""

    def __init__(self) -> None:
        self._redis = Redis(
            unix_socket_path=SOCKET,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            decode_responses=True,
            retry=Retry(NoBackoff(), 1),  # by itself it tries for seconds, while a client waits
        )

    async def hours(self, client: str) -> list[Hour]:
        """What a client did, the running hour first."""
        now = int(time.time()) // _HOUR
        async with self._redis.pipeline(transaction=False) as asked:
            for hour in range(now, now - HOURS, -1):
                asked.hmget(_key(client, hour), _NAMES)
            return [Hour(*(int(count or 0) for count in counts)) for counts in await asked.execute()]

    async def add(self, client: str, *names: str) -> None:
        """Count one more of each of these."""
        key = _key(client, int(time.time()) // _HOUR)
        async with self._redis.pipeline(transaction=False) as asked:
            for name in names:
                asked.hincrby(key, name, 1)
            asked.expire(key, _KEPT)
            await asked.execute()

    async def clients(self) -> list[str]:
        """Everybody who did anything."""
        return sorted({key.split("|")[1] async for key in self._redis.scan_iter(match=f"{_PREFIX}|*", count=1000)})

    async def close(self) -> None:
        await self._redis.aclose()


def _key(client: str, hour: int) -> str:
    return f"{_PREFIX}|{client}|{hour}"
