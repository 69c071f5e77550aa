"""Who judges in service: Rspamd by HTTP, and Dovecot's LMTP for what is kept.

Both are on the box. What they are asked is one connection each; what is not answered as expected is `Unsure`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overlays.transparent.content import Content
from overlays.transparent.judge import Envelope, Fate, Unsure, Verdict
from overlays.transparent.words import Address

_LONGEST_ANSWER = 4 * 1024 * 1024
_REFUSED = {"reject": Fate.REJECT, "soft reject": Fate.DEFER, "greylist": Fate.DEFER}


@dataclass(frozen=True)
class Wishes:
    """What is wanted for the recipients of one group. Without `tag` nothing is spam."""

    tag: float | None = None
    spam: str = "header"

    @classmethod
    def of(cls, row: dict[str, Any]) -> Wishes:
        """From a row of the filter's own file, filtering.json."""
        return cls(row.get("tag"), row.get("spam", "header"))


@dataclass(frozen=True)
class Scanner:
    """The judge in service. `wishes` are by domain; other recipients, to whom messages go out, have `outgoing`."""

    host: str
    port: int
    store: Path
    wishes: dict[str, Wishes]
    outgoing: Wishes

    @classmethod
    def read(cls, host: str, port: int, store: Path, wishes: Path) -> Scanner:
        """With the wishes that the filter goes by, or with none where it has no such file."""
        found = json.loads(wishes.read_text(encoding="utf-8")) if wishes.exists() else {}
        by_domain = {name: Wishes.of(row) for name, row in found.get("domains", {}).items()}
        return cls(host, port, store, by_domain, Wishes.of(found.get("outgoing", {})))

    def group(self, recipient: Address) -> str:
        """Each protected domain is a group of its own, and the rest of the world is one."""
        return recipient.domain if recipient.domain in self.wishes else ""

    async def judge(self, envelope: Envelope, content: Content) -> Verdict:
        answer = await self._checked(envelope, content)
        action, score = answer.get("action"), answer.get("score")
        if not isinstance(action, str) or not isinstance(score, int | float):
            raise Unsure("the filter's answer has another form")
        if fate := _REFUSED.get(action):
            return Verdict(fate, _told(answer, fate))
        wishes = self.wishes.get(envelope.group, self.outgoing)
        spam = wishes.tag is not None and score >= wishes.tag and not _welcome(answer)
        header = f"X-Postern-Score: {score:.2f}\r\nX-Postern-Verdict: {'spam' if spam else 'clean'}\r\n".encode()
        if spam and wishes.spam == "quarantine" and envelope.group:
            return Verdict(Fate.QUARANTINE, header=header)
        if spam:
            header += b"X-Spam: Yes\r\n"
        return Verdict(Fate.DELIVER, header=header)

    async def keep(self, envelope: Envelope, content: Content, verdict: Verdict) -> None:
        """One copy for each recipient, with what a release needs to know; the first that is not taken ends it."""
        for recipient in dict.fromkeys(envelope.recipients):
            notes = f"X-Postern-Recipient: {recipient}\r\nX-Postern-Sender: {envelope.sender}\r\n"
            notes += "X-Postern-Quarantine: spam\r\n"
            await self._filed(recipient.lower(), content.outgoing(notes.encode() + verdict.header))

    async def _checked(self, envelope: Envelope, content: Content) -> dict[str, Any]:
        """Rspamd's answer to POST /checkv2."""
        client = envelope.client
        fields = [("IP", client.address), ("Helo", client.helo), ("From", envelope.sender)]
        fields += [("Rcpt", recipient) for recipient in envelope.recipients]
        fields += [("Queue-Id", envelope.number), ("User", "authenticated" if client.authenticated else "")]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields if value)
        request = f"POST /checkv2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}"
        request += f"Content-Length: {content.size}\r\n\r\n"
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port, limit=_LONGEST_ANSWER)
            try:
                writer.write(request.encode())
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

    async def _filed(self, owner: str, content: Iterable[bytes]) -> None:
        """One LMTP transaction."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.store)
            try:
                await _expect(reader, b"220")
                for line in ("LHLO localhost", "MAIL FROM:<>", f"RCPT TO:<{owner}>"):
                    writer.write(f"{line}\r\n".encode())
                    await _expect(reader, b"250")
                writer.write(b"DATA\r\n")
                await _expect(reader, b"354")
                for block in content:
                    writer.write(block)
                    await writer.drain()
                await _expect(reader, b"250")
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


def _told(answer: dict[str, Any], fate: Fate) -> str:
    """The filter's own words to the client, on one line."""
    messages = answer.get("messages")
    said = messages.get("smtp_message") if isinstance(messages, dict) else None
    words = " ".join(str(said).split()) if said else ""
    code = "5.7.1" if fate is Fate.REJECT else "4.7.1"
    return f"{code} {words[:200] or ('Message refused' if fate is Fate.REJECT else 'Please try again later')}"


def _welcome(answer: dict[str, Any]) -> bool:
    """Does the filter say itself, by its header, that the message is clean?"""
    milter = answer.get("milter")
    added = milter.get("add_headers") if isinstance(milter, dict) else None
    verdict = added.get("X-Postern-Verdict") if isinstance(added, dict) else None
    value = verdict.get("value") if isinstance(verdict, dict) else verdict
    return value == "clean"
