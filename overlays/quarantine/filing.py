"""The last step before a user's mailbox, in server mode: what Postfix says goes on to the store word for word, and the
store's answers back; but what is begun is written down first, and a message that comes again is looked for.

The store can die between filing a message and its 250, and so can we. Then Postfix brings the message again, and only
the mailbox knows whether it is there. Postfix's number for the message, in the trace on top of it, tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import sqlite3
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from overlays.quarantine import carry, message, policy
from overlays.quarantine.begun import Begun, Copy
from overlays.quarantine.store import Away, Mailbox

log = logging.getLogger("agent")

ROOM = 1 << 16  # of a message so much is held at a time; Postfix's trace is in the first of it
_END = b"\r\n.\r\n"
_VERBS = (b"LHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"QUIT")
_NOT_OFFERED = re.compile(rb"250[- ](?:CHUNKING|STARTTLS|XCLIENT)\b")  # what we could not read along
_PATIENCE = 30  # seconds in which a store that died is in service again
_PAUSE = 0.5
_LONGEST = 3600.0  # seconds for an answer: longer than Postfix waits


@dataclass(frozen=True)
class Line:
    """A connection: what comes in, what goes out."""

    reader: StreamReader
    writer: StreamWriter

    async def say(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """The next answer with all of its lines. Raises `EOFError` when the connection ends, as all reading does."""
        lines: list[bytes] = []
        async with asyncio.timeout(_LONGEST):
            while not lines or lines[-1][3:4] == b"-":
                lines.append(await self.reader.readuntil(b"\n"))
        return b"".join(lines)

    async def piece(self) -> bytes:
        """The next piece of a message; the last one ends in `_END`."""
        try:
            return await self.reader.readuntil(_END)
        except asyncio.LimitOverrunError as more:
            return await self.reader.readexactly(more.consumed)


class Filing:
    """What the store's side of the agent is made of; `connection` serves one of Postfix's."""

    def __init__(self, policy_file: Path, begun: Begun) -> None:
        self._policy_file = policy_file
        self._begun = begun

    async def connection(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Read along until one of the two ends; then the other end hears it, as if they spoke to each other."""
        client = Line(reader, writer)
        with closing(writer):
            try:
                store = Line(*await asyncio.open_unix_connection(carry.STORE, limit=ROOM))
            except OSError as failure:
                writer.write(f"421 4.3.0 the store is away: {failure}\r\n".encode())
                return
            with closing(store.writer), suppress(OSError, EOFError, asyncio.LimitOverrunError):
                await self._talk(client, store)

    async def _talk(self, client: Line, store: Line) -> None:
        await client.say(await store.answer())
        taken: list[str] = []
        while True:
            line = await client.reader.readuntil(b"\r\n")
            verb = line[:4].upper()
            if verb not in _VERBS:
                await client.say(b"502 5.5.2 not known here\r\n")
                continue
            await store.say(line)
            answer = await store.answer()
            match verb, answer[:3]:
                case b"RCPT", b"250":
                    taken.append(_address(line))
                case b"RSET", b"250":
                    taken = []
                case b"LHLO", b"250":
                    taken, answer = [], _offered(answer)
            await client.say(answer)
            if answer.startswith(b"354"):
                if not await self._content(client, store, taken):
                    return
                taken = []
            if verb == b"QUIT":
                return

    async def _content(self, client: Line, store: Line, recipients: Sequence[str]) -> bool:
        """A message, and an answer for each recipient; false when the connection to the store can be of no more use."""
        piece = await client.piece()
        number = message.handed_over(piece) or hashlib.sha256(piece).hexdigest()
        copies, answers = await self._begun_before(number, recipients)
        if answers:
            while not piece.endswith(_END):
                piece = await client.piece()
            # The store drops a message that has no end. Whoever has no answer is brought it in a message of their own.
            for recipient in recipients:
                await client.say(answers.get(recipient) or _again("once more, without the others"))
            return False
        await store.say(piece)
        while not piece.endswith(_END):
            piece = await client.piece()
            await store.say(piece)
        for place, recipient in enumerate(recipients):
            try:
                answer = await store.answer()
            except (OSError, EOFError):
                for unheard in recipients[place:]:
                    await client.say(await self._unheard(number, unheard, copies[unheard]))
                return False
            if answer[:1] in (b"4", b"5") and not answer.startswith(b"421"):  # 421: it ends, whatever it has done
                self._begun.settle(number, recipient)
            await client.say(answer)
        return True

    async def _begun_before(self, number: str, recipients: Sequence[str]) -> tuple[dict[str, Copy], dict[str, bytes]]:
        """Write down what begins now. Returns that, and what is said at once of some; of nobody: all may be filed."""
        copies: dict[str, Copy] = {}
        answers: dict[str, bytes] = {}
        try:
            for recipient in dict.fromkeys(recipients):
                copies[recipient] = copy = self._begun.begin(number, recipient, policy.user_of(recipient))
                if copy.ago is not None and (said := await self._known(number, recipient, copy)):
                    answers[recipient] = said
            for recipient, copy in copies.items():
                if answers and copy.ago is None:
                    self._begun.settle(number, recipient)
                elif not answers and copy.ago is not None:
                    self._begun.begin_again(number, recipient)
        except (Away, OSError, sqlite3.Error) as failure:  # nothing is filed: Postfix keeps the message
            log.error("id=%s is not filed yet: %s", number, failure)
            return copies, dict.fromkeys(recipients, _again(str(failure)))
        return copies, answers

    async def _known(self, number: str, recipient: str, copy: Copy) -> bytes:
        """What is said of a message that comes again; nothing when it is to be filed."""
        if await self._is_there(number, recipient, copy):
            log.info("id=%s came again to=<%s> and was there", number, recipient)
            return b"250 2.0.0 <%b> was there already\r\n" % recipient.encode("utf-8", "surrogateescape")
        return _again("it may be under way") if copy.ago is not None and copy.ago < carry.UNDER_WAY else b""

    async def _unheard(self, number: str, recipient: str, copy: Copy) -> bytes:
        """The store died with a message in its hands. It is asked at once: later its user may have taken it away."""
        until = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            try:
                return await self._known(number, recipient, copy) or _again("the store died")
            except Away as failure:
                if asyncio.get_running_loop().time() > until:
                    return _again(str(failure))
            await asyncio.sleep(_PAUSE)

    async def _is_there(self, number: str, recipient: str, copy: Copy) -> bool:
        """The store files for one recipient after the other: a user's first copy is there before the second."""
        mailbox = Mailbox(policy.load(self._policy_file), policy.user_of(recipient))
        return await asyncio.to_thread(mailbox.copies, number) > copy.place


def _offered(answer: bytes) -> bytes:
    """The answer to LHLO without what only the two ends could do."""
    lines = [line for line in answer.splitlines(keepends=True) if not _NOT_OFFERED.match(line)]
    return b"".join([*(b"250-" + line[4:] for line in lines[:-1]), b"250 " + lines[-1][4:]])


def _address(line: bytes) -> str:
    """The recipient in `RCPT TO:<...>`, as Postfix writes it."""
    return line.partition(b"<")[2].rpartition(b">")[0].decode("utf-8", "surrogateescape")


def _again(why: str) -> bytes:
    return f"451 4.3.0 {' '.join(why.split())[:300]}\r\n".encode()
