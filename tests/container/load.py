"""A mail server that has many messages for the box: many connections, and what is put off is sent again."""

from __future__ import annotations

import queue
import smtplib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.container.client import Client

_PAUSE = 0.3  # seconds after an answer that was not 250
_A_SESSION = 8  # messages: Postfix slows a client that has been refused more often than ten times


@dataclass(frozen=True)
class Letter:
    """One message to send, by its number."""

    number: int
    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass
class Load:
    """The sender: letters are let go by `release`, and each thread sends one after the other."""

    connect: Callable[[], Client]
    letters: Sequence[Letter]
    lanes: int = 12
    accepted: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    put_off: list[str] = field(default_factory=list)  # the box's words, each time
    released: int = 0
    unanswered: list[int] = field(default_factory=list)  # sent whole, but the session ended before the last answer
    _todo: queue.SimpleQueue[Letter | None] = field(default_factory=queue.SimpleQueue)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.lanes)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(timeout=60)

    def release(self, count: int) -> None:
        """Let so many more go."""
        for letter in self.letters[self.released : self.released + count]:
            self._todo.put(letter)
        self.released = min(self.released + count, len(self.letters))

    @property
    def attempts(self) -> int:
        """How often the box has said something of a message, whatever it was."""
        return self.settled + len(self.put_off)

    @property
    def settled(self) -> int:
        """How many letters have an answer that is final."""
        return len(self.accepted) + len(self.refused) + len(self.unanswered)

    def _work(self) -> None:
        client: Client | None = None
        sent = 0
        while letter := self._todo.get():
            try:
                if client is None or sent == _A_SESSION:
                    if client:
                        client.quit()
                    client, sent = self.connect(), 0
                sent += 1
                said = self._offer(client, letter)
            except (OSError, smtplib.SMTPException) as failure:
                client, said = None, f"421 {failure!r}"
            self._note(letter, said)

    def _note(self, letter: Letter, said: str) -> None:
        if said.startswith("250"):
            self.accepted.add(letter.number)
        elif said.startswith("5"):
            self.refused[letter.number] = said
        elif not said:
            self.unanswered.append(letter.number)
        else:
            self.put_off.append(said)
            time.sleep(_PAUSE)
            self._todo.put(letter)

    def _offer(self, client: Client, letter: Letter) -> str:
        """One transaction: the answer that ends it, nothing when the last one did not come."""
        client.rset()
        for line in (f"MAIL FROM:<{letter.sender}>", *(f"RCPT TO:<{one}>" for one in letter.recipients), "DATA"):
            code, text = client.say(line)
            if code not in (250, 354):
                return f"{code} {text}"
        if client.sock is None:
            raise smtplib.SMTPServerDisconnected("the session is over")
        client.sock.sendall(letter.content + b"\r\n.\r\n")
        try:
            code, answer = client.getreply()
        except (OSError, smtplib.SMTPException):
            return ""
        return f"{code} {answer.decode(errors='replace')}"
