"""Long work as named steps with progress, on the terminal or as plain lines; secrets never pass."""

from __future__ import annotations

import os
import sys
import syslog
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_secrets: set[str] = set()


def redact(secret: str) -> None:
    """From now on, print `secret` as stars wherever it turns up."""
    if secret:
        _secrets.add(secret)


def clean(text: str) -> str:
    """A text without the secrets that `redact` was told."""
    for secret in _secrets:
        text = text.replace(secret, "********")
    return text


def act(text: str) -> None:
    """Tell the journal what somebody did to the box."""
    syslog.openlog("postern", 0, syslog.LOG_AUTH)
    syslog.syslog(syslog.LOG_NOTICE, clean(text))


class Steps:
    """Shows what is under way: `[3/9] squash the root … 4.1 s`; a step may end early, with a note such as `cached`."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = stream or sys.stderr
        self.number = 0
        self.live = self.stream.isatty()
        self.colour = self.live and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._note = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One named step; its line ends with the seconds it took, or with `failed`."""
        self.number += 1
        self._note = ""
        start = time.monotonic()
        label = f"[{self.number}/{self.total}] {name}"
        self._write(f"{label} …" if self.live else f"{label}\n", flush=True)
        try:
            yield
        except BaseException:
            self._end(label, self._paint("31", "failed"))
            raise
        took = f"{time.monotonic() - start:.1f} s"
        self._end(label, f"{took}{f' ({self._note})' if self._note else ''}")

    def progress(self, text: str) -> None:
        """Replace what the running step says of itself; only a terminal shows it."""
        if self.live:
            columns = os.get_terminal_size(self.stream.fileno()).columns if self.stream.isatty() else 80
            self._write(f"\r\x1b[K  {clean(text)[: columns - 4]}", flush=True)

    def note(self, text: str) -> None:
        """What the running step's last line adds, such as `cached`."""
        self._note = text

    def _end(self, label: str, result: str) -> None:
        lead = "\r\x1b[K" if self.live else ""
        self._write(f"{lead}{label} {self._paint('2', result)}\n" if self.live else f"    {result}\n", flush=True)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def _write(self, text: str, flush: bool = False) -> None:
        self.stream.write(clean(text))
        if flush:
            self.stream.flush()
