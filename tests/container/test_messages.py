"""What goes through the box arrives, once, as it was."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.container.lab import Lab

COUNT = 1000
LANES = 8  # sessions at once
SECONDS = 90
# One line or several of the trace that the box adds on top.
_TRACE = re.compile(rb"(?:Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+")
_NUMBER = re.compile(rb"^X-Number: (\d+)\r\n", re.MULTILINE)
_DOMAINS = ("example.com", "example.net", "example.org", "bücher.example")
_NAMES = ("ann", "bob", "jürgen", "佐藤", "o'hara+box")


@dataclass(frozen=True)
class Letter:
    """One message to send."""

    sender: str
    recipient: str
    content: bytes

    @property
    def options(self) -> list[str]:
        """What MAIL FROM says of it."""
        utf8 = not (self.sender + self.recipient).isascii()
        return [f"SIZE={len(self.content)}", "BODY=8BITMIME", *(["SMTPUTF8"] if utf8 else [])]


def test_a_thousand_messages_arrive_once_and_as_they_were(gateway: Lab) -> None:
    gateway.example_com.know_all()  # whatever another test had it know
    letters = dict(enumerate(_letters()))
    assert sum(len(letter.content) > 19_000_000 for letter in letters.values()) >= 2
    began = time.monotonic()
    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(lambda lane: _send(gateway, list(letters.values())[lane::LANES]), range(LANES)))
    sent = time.monotonic()
    gateway.until_empty()
    done = time.monotonic()
    arrived: Counter[int] = Counter()
    for server in gateway.servers:
        for message in server.received():
            found = _NUMBER.search(message.content)
            if found is None:
                continue  # another test's
            number = int(found[1])
            arrived[number] += 1
            letter = letters[number]
            assert message.content.endswith(letter.content), f"message {number} was changed"
            assert _TRACE.fullmatch(message.content.removesuffix(letter.content)), f"message {number} has more on top"
            assert _decoded(message.recipients) == (letter.recipient,)
            assert message.sender == letter.sender
    assert set(arrived) == set(letters)
    assert set(arrived.values()) == {1}
    volume = sum(len(letter.content) for letter in letters.values()) / 1e6
    print(f"{COUNT} messages, {volume:.0f} MB: accepted in {sent - began:.1f} s, arrived in {done - began:.1f} s")
    assert done - began < SECONDS


def _decoded(recipients: tuple[str, ...]) -> tuple[str, ...]:
    """The domain of an internationalized address may come in either of its two forms."""
    return tuple(recipient.replace("xn--bcher-kva.example", "bücher.example") for recipient in recipients)


def _send(gateway: Lab, letters: list[Letter]) -> None:
    client = gateway.stranger()
    for letter in letters:
        client.sendmail(letter.sender, letter.recipient, letter.content, letter.options)
    client.quit()


def _letters() -> Iterator[Letter]:
    """The same thousand at each run: most of them small, some of 1 to 5 MB, three of 20 MB."""
    chance = random.Random(20)  # noqa: S311 - the same letters each time
    bodies = (_plain, _eight_bit, _long_lines, _dots)
    for number in range(COUNT):
        size = int(1000 * 10 ** chance.uniform(0, 2))
        if number % 50 == 7:
            size = chance.randrange(1_000_000, 5_000_000)
        if number in (100, 500, 900):
            size = 20_000_000
        recipient = f"{chance.choice(_NAMES)}@{chance.choice(_DOMAINS)}"
        sender = chance.choice(("someone@example.edu", "", "grüße@müller.example"))
        head = (
            f"Subject: message {number}\r\nX-Number: {number}\r\nX-Folded: one\r\n\ttwo  \r\nx-ODD:no space\r\n"
            if number % 3
            else f"X-Number: {number}\r\nSubject: grüße {number}\r\n"
        ).encode()
        body = bodies[number % len(bodies)](chance, size - len(head))
        yield Letter(sender, recipient, head + b"\r\n" + body + b"\r\n")


def _plain(chance: random.Random, size: int) -> bytes:
    line = b"The quick brown fox jumps over the lazy dog, and the mail goes on its way. \r\n"
    return line * (size // len(line) + 1)


def _eight_bit(chance: random.Random, size: int) -> bytes:
    """Bytes of every value that a line may hold."""
    line = bytes(value for value in chance.randbytes(900) if value not in b"\0\r\n") + b"\r\n"
    return line * (size // len(line) + 1)


def _long_lines(chance: random.Random, size: int) -> bytes:
    line = chance.randbytes(20_000).hex().encode() + b"\r\n"
    return (line * (size // len(line) + 1))[:size]


def _dots(chance: random.Random, size: int) -> bytes:
    lines = b".\r\n..\r\n...\r\n.leading\r\n \r\n\t\r\nFrom here\r\n\r\n--\r\n.\r\n"
    return lines * (size // len(lines) + 1)
