"""A machine over SSH as the place of a disk: looked at, written and read back by the code that does so here."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import paramiko
from pydantic import TypeAdapter

from hardware.host.errors import Problem, Refused, refuse
from hardware.host.log import Steps
from installer.flash import mark, write
from installer.flash.ahead import ahead
from installer.flash.image import Image
from installer.flash.machine import Seen
from installer.flash.target import Target
from installer.remote import wire
from installer.remote.link import Address, Link, Lost, plain

PAUSES_S = (1, 2, 4, 8, 15, 30, 60)  # before the connection is made anew; the other side lets go after a minute
_GONE = (OSError, EOFError, paramiko.SSHException)
_SEEN, _PROBLEMS = TypeAdapter(Seen), TypeAdapter(tuple[Problem, ...])


class Remote:
    """The machine behind a link."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def named(self, path: object) -> str:
        return f"{self._link.where}:{path}" if path else str(self._link.where)

    def look(self, path: Path | None, image: Image) -> Seen:
        order = {"path": path, "bytes": image.length, "table": image.table}
        with _closed(self._link.start(_line(order))) as channel, self._told():
            for said in self._lines(channel):
                if "done" in said:
                    return _SEEN.validate_python(said["done"])
            raise self._link.why(channel)

    def write(self, image: Image, target: Target, what: str, steps: Steps, *, keep: bool = False) -> None:
        order = {"path": target.path, "serial": target.serial, "job": asdict(image.job(what, keep))}
        reason = ""
        for pause in (0, *PAUSES_S):
            try:
                if reason:
                    steps.total += write.STEPS + 1
                    with steps.step(f"connect again ({reason})"):
                        time.sleep(pause)
                        self._link.connect()
                self._write(image, order, steps, again=bool(reason))
                return
            except Lost as lost:
                reason = str(lost)
        hint = "it does not start; run the same once more: what it has already is not sent again"
        raise refuse(f"the connection was lost: {reason}", hint, where=self.named(target.path))

    def _write(self, image: Image, order: dict[str, Any], steps: Steps, again: bool) -> None:
        answers: SimpleQueue[bool] = SimpleQueue()
        begun = False
        with (
            _closed(self._link.start(_line(order))) as channel,
            ThreadPoolExecutor(1) as sender,
            ExitStack() as step,
            self._told(),
            _closed(channel),
        ):
            sending = sender.submit(_send, channel, image, answers)
            try:
                for said in self._lines(channel):
                    if "step" in said:
                        begun = True
                        step.close()
                        step.enter_context(steps.step(said["step"]))
                    elif "progress" in said:
                        steps.progress(said["progress"])
                    elif "same" in said:
                        answers.put(said["same"])
                    elif "done" in said:
                        return
            except Refused as refused:
                if again and not begun:  # the program of the connection before may not have let go yet
                    raise Lost(str(refused)) from refused
                raise
            finally:
                answers.put(False)
            failure = sending.exception()
            if failure and not isinstance(failure, _GONE):
                raise failure  # of the image, not of the line
            raise self._link.why(channel)

    def _lines(self, channel: paramiko.Channel) -> Iterator[dict[str, Any]]:
        """What is said over there, until nothing more is. A refusal is raised."""
        for line in channel.makefile("r"):
            if not line.startswith("{"):
                continue  # what the login shell has to say
            said = _plain(json.loads(line))
            if "refused" in said:
                problems = _PROBLEMS.validate_python(said["refused"])
                raise Refused(replace(one, where=self.named(one.where)) for one in problems)
            yield said

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _GONE as gone:
            raise Lost(str(gone) or "nothing was heard for too long") from gone


@contextmanager
def reached(where: Address, fingerprint: str, identity: Path | None) -> Iterator[Remote]:
    """That machine, while we are connected to it."""
    link = Link(where, fingerprint, identity)
    try:
        link.connect()
        yield Remote(link)
    except Lost as lost:
        raise refuse(f"cannot be reached: {lost}", where=str(where)) from lost
    finally:
        link.close()


def _send(channel: paramiko.Channel, image: Image, answers: SimpleQueue[bool]) -> None:
    """The image, from the first block on that is not there yet."""
    asking = True
    with ahead(image.blocks()) as blocks:
        for block in blocks:
            data = cast("memoryview", block.data)  # the image has it
            if asking and block.at >= mark.BYTES:
                channel.sendall(wire.piece(wire.ASK, block.at, block.end, hashlib.sha256(data).digest()))
                asking = answers.get()
                if asking:
                    continue
            channel.sendall(wire.data(block.at, block.end, data))
    channel.sendall(wire.piece(wire.END))


def _plain(value: Any) -> Any:
    """What was said there, without what would drive our terminal."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _line(order: dict[str, Any]) -> bytes:
    return json.dumps(order, default=str).encode() + b"\n"


@contextmanager
def _closed(channel: paramiko.Channel) -> Iterator[paramiko.Channel]:
    try:
        yield channel
    finally:
        channel.close()
