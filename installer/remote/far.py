"""What runs on the other machine: it looks, writes, reads back, and leaves nothing behind.

Standard library only: it is sent there, and comes in on stdin, as do its order and the image.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from hardware.host.errors import Problem, Refused, refuse
from hardware.host.run import Failed
from installer.flash import machine, target
from installer.flash.ahead import memory
from installer.flash.disk import Disk
from installer.flash.machine import Seen
from installer.flash.target import Wanted
from installer.flash.write import Block, Job, Range, write
from installer.remote import wire

PATIENCE_S = 60  # without a sign of life from home; the disk is free for the next run then


def main(stdin: IO[bytes]) -> None:
    """Do what the first line orders, and say how it went."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
    order = json.loads(stdin.readline())
    try:
        if "job" in order:
            _write(stdin, order)
            wire.say(done=None)
        else:
            wire.say(done=asdict(_look(order)))
    except Refused as refused:
        wire.say(refused=[asdict(one) for one in refused.problems])
    except Failed as failed:
        wire.say(refused=[asdict(Problem("", "", str(failed), "lsblk and losetup are in util-linux"))])


def _look(order: dict[str, Any]) -> Seen:
    wanted = Wanted(order["bytes"], table=order["table"])
    return machine.look(Path(order["path"]) if order["path"] else None, wanted)


def _write(stdin: IO[bytes], order: dict[str, Any]) -> None:
    """Write and read back, if the target still is what it was when somebody agreed."""
    job = Job(**{**order["job"], "ranges": tuple(Range(**one) for one in order["job"]["ranges"])})
    here = machine.around()
    chosen = target.find(Path(order["path"]), here)
    if problems := target.objections(chosen, Wanted(job.length), here):
        raise Refused(problems)
    if chosen.serial != order["serial"]:
        raise refuse(f"is another disk now: {chosen.serial}, and it was {order['serial']}", where=order["path"])
    write(job, chosen, lambda disk: _blocks(stdin, disk), _Teller())


def _blocks(stdin: IO[bytes], disk: Disk) -> Generator[Block, None, None]:
    """What comes in, each block in memory that direct access can use; what the disk has already need not come."""
    rooms, asked = (memory(), memory()), memory()
    while True:
        kind, at, end, body = wire.taken(lambda count: _read(stdin, count))
        if kind == wire.END:
            return
        if kind == wire.ASK:
            same = hashlib.sha256(disk.read(at, asked[: end - at])).digest() == body
            wire.say(same=same)
            if same:
                yield Block(at, end, None)
            continue
        rooms = rooms[::-1]  # the one before is being written
        rooms[0][: end - at] = body
        yield Block(at, end, rooms[0][: end - at])


def _read(stdin: IO[bytes], count: int) -> bytes:
    signal.alarm(PATIENCE_S)
    found = stdin.read(count)
    signal.alarm(0)
    if len(found) < count:
        raise refuse("the connection was cut")
    return found


class _Teller:
    """Tells home how far it is."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        wire.say(step=name)
        yield

    def progress(self, text: str) -> None:
        wire.say(progress=text)
