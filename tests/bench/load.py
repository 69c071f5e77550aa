"""Mail under load: a client that sends as fast as it is let, a server that takes all, and how long it took."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from tests.container.box import Box, until
from tests.container.network import Segment
from tests.peers import Peers, inside

CLIENT = "192.0.2.77"
SESSIONS = 20
SIZE = 10_000
_LETTERS = 10  # that differ, each sent again and again by two sessions
_COUNTED = re.compile(r"mesg=(\d+)")
_TEXT = "the mail of this morning was late again so please look at what we have got and tell me when it is done"


@dataclass(frozen=True)
class Side:
    """A mail system, where its clients stand, and the server behind it."""

    box: Box
    peers: Peers
    outside: Segment
    target: str  # address and port
    letters: tuple[Path, ...]
    sink: Path  # where the server counts

    def per_second(self, count: int) -> float:
        """Messages a second, from the first connection to the last message at the server."""
        wanted = self.arrived + count
        begun = time.monotonic()
        with ExitStack() as stack:
            for path in self.letters:
                argv = ["-s", str(SESSIONS // _LETTERS), "-m", str(count // _LETTERS), "-M", "client.example.net"]
                argv += ["-f", "someone@example.net", "-t", "ann@example.com", "-F", str(inside(path)), self.target]
                command = self.peers.command("smtp-source", *argv, namespace=self.outside.namespace)
                stack.enter_context(run.spawn(command, log=path.with_suffix(".log")))
            until(lambda: self.arrived >= wanted, f"{wanted} messages", self._now, patience=300)
            return count / (time.monotonic() - begun)

    @property
    def arrived(self) -> int:
        found = _COUNTED.findall(self.sink.read_text())
        return int(found[-1]) if found else 0

    def _now(self) -> str:
        said = {text for path in self.letters for text in path.with_suffix(".log").read_text().splitlines()}
        return f"{self.arrived}; {said}; {self.box.tail()}"


@contextmanager
def sink(peers: Peers, segment: Segment, address: str, log: Path) -> Iterator[Path]:
    """A mail server at that address (with its port) that takes all and keeps nothing; it counts in `log`."""
    argv = peers.command("smtp-sink", "-c", "-u", "nobody", address, "1024", namespace=segment.namespace)
    host, _, port = address.rpartition(":")
    with run.spawn(argv, log=log):
        until(lambda: segment.answers(host, int(port)), "the server", log.read_text)
        yield log


def letters(folder: Path) -> tuple[Path, ...]:
    """Messages of `SIZE` as people write them."""
    folder.mkdir()
    made = []
    for number in range(_LETTERS):
        words = random.Random(number)  # noqa: S311 - the same text in each run
        text = "From: Some One <someone@example.net>\nTo: Ann <ann@example.com>\n"
        text += f"Date: Tue, 24 Nov 2026 10:00:00 +0000\nMessage-ID: <{number}@example.net>\nUser-Agent: Test\n"
        text += f"Subject: number {number}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"
        while len(text) < SIZE:
            text += " ".join(words.choices(_TEXT.split(), k=words.randrange(6, 14))).capitalize() + ".\n"
        made.append(folder / f"{number}.eml")
        made[-1].write_text(text)
    return tuple(made)
