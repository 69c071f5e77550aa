"""A message between the client and the server: held back until it is judged, then sent, or refused, or kept.

The proxy never takes a message over. So it is in no queue of ours, and none is lost or doubled by us: whoever is cut
off before the final reply knows as much as without us.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from overlays.transparent.content import Content, Decoder
from overlays.transparent.judge import Envelope, Fate, Judge, Unsure, Verdict
from overlays.transparent.rules import Limits
from overlays.transparent.server import Server, ServerGone
from overlays.transparent.wire import Gone, Wire
from overlays.transparent.words import own


class Message:
    """One message, from the reply to DATA on."""

    def __init__(
        self,
        envelope: Envelope,
        client: Wire,
        server: Server,
        judge: Judge,
        spool: Path,
        limits: Limits,
        note: Callable[[str], None],
    ) -> None:
        self._envelope = envelope
        self._client = client
        self._server = server
        self._judge = judge
        self._limits = limits
        self._note = note
        self._content = Content(spool, limits.message_bytes)

    async def pass_on(self) -> bytes:
        """Read it, and bring it where it belongs; the final reply, which is the server's own if the server got it."""
        try:
            await self._read()
            fate, answer = await self._settle(time.monotonic() + self._limits.answer)
            self._note(f"{self._envelope.number}: {self._told(fate, answer)}")
        finally:
            self._content.close()
        return answer

    async def _read(self) -> None:
        await self._client.send(own(354, "End data with <CR><LF>.<CR><LF>"), self._limits.reply)
        decoder = Decoder()
        after = None
        while after is None:
            piece, after = decoder.feed(await self._client.some(self._limits.data_block))
            self._content.add(piece)
        self._content.complete()
        self._client.give_back(after)

    async def _settle(self, deadline: float) -> tuple[Fate, bytes]:
        """What became of a message that was read to its end, and the reply to it."""
        if self._content.too_large:
            return Fate.REJECT, await self._withhold(own(552, "5.3.4 Message too large"))
        if self._content.failure:
            self._note(f"{self._envelope.number}: {self._content.failure}")
            return Fate.DEFER, await self._withhold(own(452, "4.3.1 Not enough room, please try again later"))
        try:
            async with asyncio.timeout(self._limits.judging):
                verdict = await self._judge.judge(self._envelope, self._content)
                self._require_client()
                if verdict.fate is Fate.QUARANTINE:
                    await self._judge.keep(self._envelope, self._content, verdict)
        except (Unsure, TimeoutError) as reason:
            self._note(f"{self._envelope.number}: cannot be judged: {reason or 'it takes too long'}")
            return Fate.DEFER, await self._withhold(own(451, "4.7.1 Cannot be checked now, please try again later"))
        match verdict.fate:
            case Fate.REJECT:
                answer = await self._withhold(own(550, verdict.text or "5.7.1 Message refused"))
            case Fate.DEFER:
                answer = await self._withhold(own(451, verdict.text or "4.7.1 Please try again later"))
            case Fate.QUARANTINE | Fate.DISCARD:
                answer = await self._withhold(own(250, "2.0.0 OK"))
            case Fate.DELIVER:
                answer = await self._deliver(verdict, deadline)
        return verdict.fate, answer

    def _require_client(self) -> None:
        """A client that is gone hears no answer and sends its message again: it is not to be delivered twice."""
        if self._client.gone:
            raise Gone

    async def _withhold(self, answer: bytes) -> bytes:
        """The answer, after the server has forgotten the envelope. One that is gone is told of at the next command."""
        try:
            await self._server.forget()
        except ServerGone as reason:
            self._note(f"the server {reason}")
            self._server.wire.abort()
        return answer

    async def _deliver(self, verdict: Verdict, deadline: float) -> bytes:
        """Send the message; the server's final reply. Without one the client tries again, and we have kept nothing."""
        try:
            reply = await self._server.ask(b"DATA\r\n", self._limits.data_start)
            if reply.code != 354:
                return await self._withhold(
                    reply.raw if not reply.good else own(451, "4.3.0 The server is out of step")
                )
            pieces = self._while_client_is_there(self._content.outgoing(verdict.header, verdict.mark))
            return (await self._server.take(pieces, self._limits.data_block, deadline)).raw
        except ServerGone as reason:
            self._note(f"the server {reason}")
            self._server.wire.abort()
            return own(451, "4.4.2 Connection to the server lost, please try again later")
        except Gone:
            self._server.wire.abort()  # before the end of the content, so that it is dropped
            raise

    def _while_client_is_there(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._require_client()
            yield piece

    def _told(self, fate: Fate, answer: bytes) -> str:
        """What the journal gets of a message, which the message history is made from."""
        facts = {
            "from": self._envelope.sender,
            "to": self._envelope.recipients,
            "message_id": self._content.field("Message-ID"),
            "subject": self._content.field("Subject"),
            "fate": fate,
            "answer": answer.decode("utf-8", "replace").strip(),
        }
        return json.dumps(facts)
