"""Who judges in service: Rspamd by HTTP, and the quarantine's agent by LMTP for what is kept.

Both are on the box. What they are asked is one connection each; what is not answered as expected is `Unsure`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from overlays import direction
from overlays.direction import Direction
from overlays.transparent.content import Content
from overlays.transparent.judge import Envelope, Fate, Unsure, Verdict
from overlays.transparent.words import Address

FILTER = ("127.0.0.1", 11333)
KEEPER = Path("/run/postern-quarantine/agent.sock")
_LONGEST_ANSWER = 4 * 1024 * 1024
_REFUSED = {"reject": Fate.REJECT, "soft reject": Fate.DEFER}
# The strictest answer of the access rules, which do not hold here: a client cannot write a milder one for itself.
_STRICTEST = b"X-Postern-Access: take\r\n"


class Spam(StrEnum):
    """What becomes of spam that is not refused."""

    QUARANTINE = "quarantine"
    SUBJECT = "subject"
    HEADER = "header"


class Unfiltered:
    """The judge where nobody's mail is filtered: all of it is delivered."""

    def group(self, _recipient: Address) -> str:
        return ""

    async def judge(self, _envelope: Envelope, _content: Content) -> Verdict:
        return Verdict(Fate.DELIVER)

    async def keep(self, _envelope: Envelope, _content: Content, _verdict: Verdict) -> None:
        raise Unsure("nothing is kept without a filter")


@dataclass(frozen=True)
class Scanner:
    """The judge in service. `spam` is by domain; for other recipients, to whom messages go out, `outgoing` holds."""

    name: str  # the box's
    spam: Mapping[str, Spam]
    outgoing: Spam
    subject_tag: str

    def group(self, recipient: Address) -> str:
        """Each protected domain is a group of its own, and the rest of the world is one."""
        incoming = direction.of_message(recipient.domain, self.spam) is Direction.INCOMING
        return recipient.domain if incoming else ""

    async def judge(self, envelope: Envelope, content: Content) -> Verdict:
        answer = await _checked(envelope, content)
        if fate := _REFUSED.get(str(answer.get("action"))):
            return Verdict(fate, _told(answer, fate))
        try:
            added = answer["milter"]["add_headers"]
            score, verdict = (str(added[f"X-Postern-{what}"]["value"]) for what in ("Score", "Verdict"))
        except (KeyError, TypeError) as error:
            raise Unsure("the filter's answer has another form") from error
        header = f"X-Postern-Score: {score}\r\nX-Postern-Verdict: {verdict}\r\n".encode()
        if verdict == "clean":
            return Verdict(Fate.DELIVER, header=header)
        match self.spam.get(envelope.group, self.outgoing) if verdict == "spam" else Spam.QUARANTINE:
            case Spam.QUARANTINE:
                return Verdict(Fate.QUARANTINE, header=header)
            case Spam.SUBJECT:
                return Verdict(Fate.DELIVER, header=header, mark=self.subject_tag)
            case Spam.HEADER:
                return Verdict(Fate.DELIVER, header=header + b"X-Spam: Yes\r\n")

    async def keep(self, envelope: Envelope, content: Content, verdict: Verdict) -> None:
        """Hand it to the quarantine's agent, which decides for each recipient whose own welcome list it knows."""
        async with _agent() as (reader, writer):
            await _expect(reader, b"220")
            plain = all(text.isascii() for text in (envelope.sender, *envelope.recipients))
            options = " BODY=8BITMIME" + ("" if plain else " SMTPUTF8")
            said = ["LHLO localhost", f"MAIL FROM:<{envelope.sender}>{options}"]
            for line in (*said, *(f"RCPT TO:<{recipient}>" for recipient in envelope.recipients)):
                writer.write(f"{line}\r\n".encode())
                await _expect(reader, b"250")
            writer.write(b"DATA\r\n")
            await _expect(reader, b"354")
            known_by = f"X-Postern-Content: {content.digest()}\r\n".encode()  # when its client sends it again
            for block in content.outgoing(_trace(envelope, self.name) + verdict.header + known_by):
                writer.write(block)
                await writer.drain()
            for _ in envelope.recipients:
                await _expect(reader, b"250")


async def _checked(envelope: Envelope, content: Content) -> dict[str, Any]:
    """Rspamd's answer to POST /checkv2."""
    client = envelope.client
    fields = [("IP", client.address), ("Helo", client.helo), ("From", envelope.sender)]
    fields += [("Rcpt", recipient) for recipient in envelope.recipients]
    fields += [("Queue-Id", envelope.number), ("User", "authenticated" if client.authenticated else "")]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields if value)
    request = f"POST /checkv2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}"
    request += f"Content-Length: {len(_STRICTEST) + content.size}\r\n\r\n"
    try:
        reader, writer = await asyncio.open_connection(*FILTER, limit=_LONGEST_ANSWER)
        try:
            writer.write(request.encode() + _STRICTEST)
            for block in content.blocks():
                writer.write(block)
                await writer.drain()
            status = (await reader.readline()).split()
            while (await reader.readline()).strip():
                pass
            answer = json.loads(await reader.read(_LONGEST_ANSWER))
        finally:
            writer.close()
    except (OSError, ValueError) as error:
        raise Unsure(f"the filter does not answer: {error}") from error
    if len(status) < 2 or status[1] != b"200" or not isinstance(answer, dict):
        raise Unsure("the filter could not look at it")
    return answer


@asynccontextmanager
async def _agent() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        reader, writer = await asyncio.open_unix_connection(KEEPER)
        try:
            yield reader, writer
        finally:
            writer.close()
    except (OSError, ValueError) as error:
        raise Unsure(f"the quarantine does not answer: {error}") from error


async def _expect(reader: asyncio.StreamReader, code: bytes) -> None:
    line = await reader.readline()
    while line[3:4] == b"-":
        line = await reader.readline()
    if not line.startswith(code):
        raise Unsure(f"the quarantine says {line.decode('utf-8', 'replace').strip() or 'nothing'}")


def _trace(envelope: Envelope, name: str) -> bytes:
    """The trace that whoever takes a message leaves; the agent reads the client in it."""
    client = envelope.client
    helo = client.helo.split()[0] if client.helo.strip() else "unknown"
    tag = "IPv6:" if ip_address(client.address).version == 6 else ""
    received = f"Received: from {helo} (unknown [{tag}{client.address}])\r\n\tby {name} with SMTP id {envelope.number}"
    return f"{received}; {formatdate()}\r\n".encode()


def _told(answer: dict[str, Any], fate: Fate) -> str:
    """The filter's own words to the client, on one line. It has none for spam."""
    messages = answer.get("messages")
    said = messages.get("smtp_message") if isinstance(messages, dict) else None
    words = " ".join(str(said).split()) if said else ""
    if fate is Fate.REJECT:
        return f"5.7.1 {words[:200] or 'refused as spam'}"
    return f"4.7.1 {words[:200] or 'Please try again later'}"
