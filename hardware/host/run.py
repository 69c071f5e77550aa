"""The one door to other programs: argument lists, a made environment, stdin closed, a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Union

Argument = Union[str, Path]  # noqa: UP007 - this module also runs where Python is older (installer/remote)

# What a program may see of ours: nothing that changes its language, its output or its meaning.
_KEPT = ("PATH", "HOME", "TERM", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class Completed:
    """How a program ended: exit status (negative: killed by that signal), and what it printed."""

    status: int
    stdout: str
    stderr: str


class Failed(Exception):
    """A program ended badly. Carries the command, its exit status and its last lines."""

    def __init__(self, argv: Sequence[str], status: int | None, output: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.output = output
        how = "took too long" if status is None else f"ended with status {status}"
        tail = "\n".join(output.strip().splitlines()[-12:])
        super().__init__(f"{' '.join(argv)} {how}" + (f":\n{tail}" if tail else ""))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that every program gets: ours reduced to what is harmless, in the C.UTF-8 locale."""
    made = {name: os.environ[name] for name in _KEPT if name in os.environ}
    made.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return made | {"LC_ALL": "C.UTF-8"} | dict(extra or {})


def run(
    argv: Sequence[Argument],
    *,
    stdin: str | bytes | Path | None = None,
    stdout: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 600.0,
    check: bool = True,
) -> Completed:
    """Run a program to its end.

    `stdin` is text, bytes, a file to read, or nothing; `stdout` a file to write instead of a string.
    Raises `Failed` when it takes longer than `timeout` seconds or, with `check`, ends with a status other than 0.
    """
    words = [str(word) for word in argv]
    source: IO[bytes] | None = stdin.open("rb") if isinstance(stdin, Path) else None
    target: IO[bytes] | None = stdout.open("wb") if stdout else None
    fed = stdin.encode() if isinstance(stdin, str) else stdin if isinstance(stdin, bytes) else None
    try:
        done = subprocess.run(
            words,
            stdin=source if source else None if fed is not None else subprocess.DEVNULL,
            input=fed,
            stdout=target or subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            cwd=cwd,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as slow:
        raise Failed(words, None, (slow.stderr or b"").decode(errors="replace")) from slow
    except FileNotFoundError as missing:
        raise Failed(words, 127, str(missing)) from missing
    finally:
        for stream in (source, target):
            if stream:
                stream.close()
    out, err = (text.decode(errors="replace") if text else "" for text in (done.stdout, done.stderr))
    if check and done.returncode:
        raise Failed(words, done.returncode, err or out)
    return Completed(done.returncode, out, err)


@contextmanager
def spawn(
    argv: Sequence[Argument],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    feed: bool = False,
    source: IO[bytes] | None = None,
    grace: float = 10.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs beside us until the block ends; then it is asked to end, and after `grace` seconds made to.

    It leads a process group of its own, so that what it started ends with it. With `feed` its stdin is a pipe that the
    caller writes and closes, with `source` another program's output; without `log` its own can be read from `stdout`.
    """
    target: IO[bytes] | None = log.open("ab") if log else None
    child = subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.PIPE if feed else source or subprocess.DEVNULL,
        stdout=target or subprocess.PIPE,
        stderr=target or subprocess.STDOUT,
        env=environment(env),
        cwd=cwd,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            _signal(child, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(grace)
        _signal(child, signal.SIGKILL)
        child.wait()
        for stream in (target, child.stdin, child.stdout):
            if stream:
                stream.close()


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def attach(argv: Sequence[Argument], *, env: Mapping[str, str] | None = None) -> Completed:
    """Run a program that owns our terminal (dialog, an editor, a shell).

    What it writes to file descriptor 3 comes back as `stdout`: a program that draws on the terminal answers there.
    """
    words = [str(word) for word in argv]
    reading, writing = os.pipe()
    try:
        # posix_spawn places descriptor 3 without running Python between fork and exec; ours are closed on exec anyway.
        child = os.posix_spawnp(words[0], words, environment(env), file_actions=[(os.POSIX_SPAWN_DUP2, writing, 3)])
    except FileNotFoundError as missing:
        os.close(reading)
        raise Failed(words, 127, str(missing)) from missing
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        text = answers.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return Completed(os.waitstatus_to_exitcode(status), text, "")


def replace(argv: Sequence[Argument], *, env: Mapping[str, str] | None = None) -> None:
    """Become another program (login, sudo, a pager). Returns only by raising `OSError`."""
    words = [str(word) for word in argv]
    os.execvpe(words[0], words, environment(env))
