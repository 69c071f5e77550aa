"""Dialogues as a table of text (conformance.txt says how): what a client sends, what the RFC asks for, what arrives."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

_SOON = 0.3  # what was not said by then is not said: silence can only be waited for
_REPEATED = re.compile(rb"\{(\d+)\*([^{}]+)\}")
_ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|.)")
_MEANING = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"s": b" ", b"\\": b"\\"}
_CLOSED = "closed"
_SILENCE = "silence"
_UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNVERIFIED.check_hostname = False
_UNVERIFIED.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Step:
    """What goes over the line, and a pattern for each answer that must come."""

    send: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Heard:
    """What became of a case: the answers to each step, and the bodies of the messages that arrived."""

    answers: list[list[str]]
    arrived: list[bytes]
    bare: bool  # with a CR or LF among them that ends no line
    transcript: str


@dataclass(frozen=True)
class Case:
    """One dialogue. `arrives`: the bodies of the messages that arrive, `messages`: how many; None where nobody asks."""

    name: str
    steps: tuple[Step, ...]
    arrives: tuple[bytes, ...] | None
    messages: int | None
    oracle: str  # why the oracle may do otherwise
    proxy: str  # why the proxy of transparent mode does

    def problems(self, heard: Heard) -> list[str]:
        """Where a server did otherwise, and then all that was said."""
        found = [
            f"{answer} instead of {pattern} to {step.send[:80]!r}"
            for step, answers in zip(self.steps, heard.answers, strict=True)
            for pattern, answer in zip(step.answers, answers, strict=True)
            if not any(fnmatchcase(answer, one.replace("x", "[0-9]")) for one in pattern.split("|"))
        ]
        if self.arrives is not None and sorted(heard.arrived) != sorted(self.arrives):
            found.append(f"{heard.arrived!r} arrived instead of {self.arrives!r}")
        if self.messages is not None and len(heard.arrived) != self.messages:
            found.append(f"{len(heard.arrived)} messages arrived instead of {self.messages}")
        if heard.bare:
            found.append("CR or LF alone was handed on")
        return [*found, heard.transcript] if found else []


def read(path: Path) -> dict[str, Case]:
    """The cases of a table, in their order."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    short: dict[str, list[Step]] = {}
    cases: dict[str, Case] = {}
    for block in re.split(r"\n{2,}", text.strip()):
        title, *lines = block.splitlines()
        if title.startswith("@"):
            short[title] = [_step(line) for line in lines]
        elif title in cases:
            raise ValueError(f"twice: {title}")
        else:
            cases[title] = _case(title, lines, short)
    return cases


def _case(title: str, lines: list[str], short: Mapping[str, list[Step]]) -> Case:
    steps: list[Step] = []
    arrives: list[bytes] | None = None
    messages: int | None = None
    oracle = proxy = ""
    for line in lines:
        key, _, rest = line.partition(": ")
        if line.startswith("@"):
            steps += [step for word in line.split() for step in short[word]]
        elif key == "oracle":
            oracle = rest
        elif key == "proxy":
            proxy = rest
        elif key == "messages":
            messages = int(rest)
        elif key == "arrives":
            arrives = (arrives or []) + ([] if rest == "nothing" else [unescape(rest)])
        else:
            steps.append(_step(line))
    return Case(title, tuple(steps), None if arrives is None else tuple(arrives), messages, oracle, proxy)


def _step(line: str) -> Step:
    send, _, answers = line.partition("  ")
    return Step(send, tuple(unescape(answers).decode().split()))


def unescape(text: str) -> bytes:
    """`{3*ab}` is `ababab`; `\\r`, `\\n`, `\\0`, `\\x41` are bytes, and `\\s` a space."""
    repeated = _REPEATED.sub(lambda found: found[2] * int(found[1]), text.encode())
    return _ESCAPED.sub(lambda found: _MEANING.get(found[1]) or bytes.fromhex(found[1][1:].decode()), repeated)


class Dialogue:
    """One connection: `say` sends a step and gives the code of each answer, `closed` or `silence`.

    `token` stands for TOKEN.
    """

    def __init__(self, line: socket.socket, token: str) -> None:
        self._line = line
        self._token = token
        self._rest = b""
        self.transcript: list[str] = []

    def say(self, step: Step) -> list[str]:
        text = step.send.replace("TOKEN", self._token)
        if text == "(TLS)":
            self._line = _UNVERIFIED.wrap_socket(self._line)
        elif text == "(end)":
            self._line.close()
            return []
        elif text != "(listen)":
            self._send(unescape(text.removesuffix("\\")) + (b"" if text.endswith("\\") else b"\r\n"))
        self.transcript.append(f"> {text[:200]}")
        return [self._answer(expected) for expected in step.answers]

    def close(self) -> None:
        self._line.close()

    def _send(self, data: bytes) -> None:
        with suppress(ConnectionError, ssl.SSLError):  # closed: the next answer says so
            self._line.sendall(data)

    def _answer(self, expected: str) -> str:
        patience = self._line.gettimeout()
        if expected == _SILENCE:  # not by select: what makes an encrypted line readable may be its own affair
            self._line.settimeout(_SOON)
        code = self._read()
        self._line.settimeout(patience)
        self.transcript.append(f"< {code}")
        return code[:3] if code[:3].isdigit() else code

    def _read(self) -> str:
        """All lines of one answer."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            while b"\n" not in self._rest:
                try:
                    more = self._line.recv(65536)
                except TimeoutError:
                    return _SILENCE
                except (ConnectionError, ssl.SSLError):
                    more = b""
                if not more:
                    return _CLOSED
                self._rest += more
            line, self._rest = self._rest.split(b"\n", 1)
            lines.append(line.decode(errors="replace").rstrip("\r"))
        return "\n< ".join(lines)
