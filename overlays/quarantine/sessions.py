"""Who is logged in to the quarantine's pages."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

_IDLE, _LONGEST = 30 * 60.0, 8 * 3600.0  # seconds until somebody has to log in again
_MOST = 1000


@dataclass
class Session:
    """Somebody who is logged in."""

    user: str
    begun: float
    seen: float


class Sessions:
    """Everybody who is logged in, in memory: a log-out holds, and so does a restart."""

    def __init__(self) -> None:
        self._live: dict[str, Session] = {}

    def begin(self, user: str) -> str:
        now = time.monotonic()
        self._live = {key: one for key, one in self._live.items() if self._lives(one, now)}
        while len(self._live) >= _MOST:
            del self._live[min(self._live, key=lambda key: self._live[key].seen)]
        key = secrets.token_urlsafe(32)
        self._live[key] = Session(user, now, now)
        return key

    def user(self, key: str) -> str | None:
        now, one = time.monotonic(), self._live.get(key)
        if one is None or not self._lives(one, now):
            return None
        one.seen = now
        return one.user

    def end(self, key: str) -> None:
        self._live.pop(key, None)

    @staticmethod
    def _lives(one: Session, now: float) -> bool:
        return now - one.seen < _IDLE and now - one.begun < _LONGEST
