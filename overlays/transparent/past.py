"""What a client's own past says about it: asked of the access rules' service, which keeps and knows it
(overlays/access/gate.py), in the words in which Postfix asks it. Where reputation does not count, nobody makes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

SERVICE = Path("/run/postern-access/policy.sock")
_PATIENCE = 5.0


class Past:
    """One session's line to the service. While it does not answer, nobody has a past: the scanner still looks."""

    def __init__(self, address: str, note: Callable[[str], None], service: Path = SERVICE) -> None:
        self._address = address
        self._note = note
        self._service = service
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._away = False
        self._begun = ("", "")  # the message that was asked for, and the answer

    async def refusal(self, message: str) -> tuple[int, str] | None:
        """What a client hears who begins this message; None when it may. It is asked once a message, so that who names
        many at once is not let off."""
        if self._begun[0] != message:
            self._begun = (message, await self._ask(policy_context="begins"))
        code, _, text = self._begun[1].partition(" ")
        return (int(code), text) if code.isdigit() else None

    async def heard(self, *, known: bool) -> None:
        """Tell that the client has named somebody, and whether the server knows them."""
        await self._ask(policy_context="heard", known="yes" if known else "no")

    def close(self) -> None:
        if self._line:
            self._line[1].close()

    async def _ask(self, **attributes: str) -> str:
        if self._away:
            return ""
        try:
            async with asyncio.timeout(_PATIENCE):
                if self._line is None:
                    self._line = await asyncio.open_unix_connection(self._service)
                reader, writer = self._line
                told = {"request": "smtpd_access_policy", "client_address": self._address} | attributes
                writer.write("".join(f"{name}={value}\n" for name, value in told.items()).encode() + b"\n")
                said = await reader.readuntil(b"\n\n")
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            self._note(f"reputation is not known: {error or 'no answer'}")
            self._away = True
            return ""
        return said.decode("utf-8", "replace").strip().removeprefix("action=")
