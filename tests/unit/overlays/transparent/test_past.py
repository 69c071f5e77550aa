"""Sender reputation in the proxy's dialogue: when the access rules' service is asked, and what comes of its answers.

The service's socket and protocol are its own; what it answers is the test's choice: Valkey is in the container lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from overlays.access.policy import _Smtpd
from overlays.access.reputation import REFUSALS, Standing
from tests.unit.overlays.transparent.talk import Talk, talk

PUT_OFF = REFUSALS[Standing.PUT_OFF]
Asked = list[tuple[str, str]]


@asynccontextmanager
async def strangers(folder: Path, answer: str = "DUNNO", asked: Asked | None = None) -> AsyncIterator[Talk]:
    """A session of somebody whose past is asked for; `asked` gets what the service hears."""
    heard: Asked = [] if asked is None else asked

    def answering(attributes: Mapping[str, str]) -> str:
        assert attributes["client_address"] == "127.0.0.1"
        heard.append((attributes["policy_context"], attributes.get("known", "")))
        return answer

    socket = folder / "policy.sock"
    service = await asyncio.get_running_loop().create_unix_server(lambda: _Smtpd(answering), socket)
    try:
        async with talk(folder, pasts=socket) as session:
            await session.greet()
            yield session
    finally:
        service.close()


def test_who_may_is_asked_for_once_a_message_and_told_of_with_each_recipient(tmp_path: Path) -> None:
    asked: Asked = []

    async def run() -> None:
        async with strangers(tmp_path, asked=asked) as session:
            for _ in range(2):
                await session.exchange("MAIL FROM:<eve@example.net>", "250 fine")
                await session.exchange("RCPT TO:<nobody@example.com>", "550 5.1.1 nobody")
                await session.exchange("RCPT TO:<busy@example.com>", "451 4.3.0 later")
                await session.exchange("RCPT TO:<bob@example.com>", "250 fine")
                await session.exchange("RSET", "250 fine")

    asyncio.run(run())
    assert asked == [("begins", ""), ("heard", "no"), ("heard", "yes")] * 2


def test_who_may_not_is_never_shown_to_the_server(tmp_path: Path) -> None:
    asked: Asked = []

    async def run() -> None:
        async with strangers(tmp_path, PUT_OFF, asked) as session:
            await session.exchange("MAIL FROM:<eve@example.net>", "250 fine")
            for name in ("bob", "ann"):
                await session.client.says(f"RCPT TO:<{name}@example.com>")
                await session.client.hears(PUT_OFF)
            await session.exchange("QUIT", "221 bye")

    asyncio.run(run())
    assert asked == [("begins", "")]


def test_who_has_logged_in_at_the_server_has_no_past(tmp_path: Path) -> None:
    asked: Asked = []

    async def run() -> None:
        async with strangers(tmp_path, PUT_OFF, asked) as session:
            await session.exchange("AUTH PLAIN AGFubgB4", "235 fine")
            await session.envelope()

    asyncio.run(run())
    assert asked == []


@pytest.mark.parametrize("there", [False, True], ids=["away", "broken"])
def test_while_the_service_says_nothing_nobody_has_a_past(tmp_path: Path, there: bool) -> None:
    """One that is there breaks off, as it does at a question that it cannot answer."""
    socket, tries = tmp_path / "policy.sock", []

    async def breaks_off(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(writer)
        writer.close()

    async def run() -> list[str]:
        service = await asyncio.start_unix_server(breaks_off, socket) if there else None
        async with talk(tmp_path, pasts=socket) as session:
            await session.greet()
            await session.envelope("bob@example.com", "ann@example.com")
            if service:
                service.close()
            return session.notes

    notes = [note for note in asyncio.run(run()) if note.startswith("reputation is not known: ")]
    assert len(notes) == 1
    assert len(tries) == there
