"""A box on its profile's virtual twin in QEMU: the real image, the real kernel, a serial line to talk over.

Stages, each waited for by what the box says, never by time: off, wizard (the welcome of a box that is not set up), in
service (a login prompt).
"""

from __future__ import annotations

import io
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
from pexpect.fdpexpect import fdspawn

from hardware.host import run
from hardware.profile import HardwareProfile
from hardware.twin import ImageFile, NbdServer, PortLink, SerialSocket, TwinOptions, UserNet
from images import emulate
from images.steps import virtual
from images.steps.virtual import Format
from images.tools import Tools

if TYPE_CHECKING:
    from subprocess import Popen

PASSWORD = "correct horse 7 battery"
WELCOME = r"Press Enter to set it up here \(console (ttyS[0-9])\)"
LOGIN = r"login: $"
PROMPT = r"admin@[a-z0-9-]+:[^\r\n]*\$ $"
# A boot takes 30 to 60 s of an emulated processor; a loaded machine may take several times as long.
PATIENCE = 300.0
USB = ("-device", "qemu-xhci,id=usb")
# The host's side of port1, and the box: what the examples' answers give it.
NET = UserNet(IPv4Interface("192.0.2.25/24"), IPv4Address("192.0.2.10"))


@dataclass
class Box:
    """One box: its image, its disk, and when it is on, its serial line."""

    tools: Tools
    profile: HardwareProfile
    image: Path
    folder: Path
    cpus: int | None = None  # the profile's
    disk: ImageFile | NbdServer = field(init=False)
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = emulate.disk(self.tools, self.image, self.profile, self.folder / "disk.qcow2")

    @contextmanager
    def on(self, *, ports: Sequence[PortLink] = (NET,), **changes: object) -> Iterator[Line]:
        """The box switched on; at the end of the block its power is cut. `changes` are fields of `TwinOptions`."""
        serial, control = self.folder / "serial", self.folder / "control"
        for left in (serial, control):
            left.unlink(missing_ok=True)
        log = self.folder / f"serial-{len(self.heard)}.log"
        options = TwinOptions(
            disk=self.disk,
            ovmf=emulate.firmware(self.tools, self.profile, self.folder),
            ports=tuple(ports),
            serial=SerialSocket(serial, wait=True, log=log),
            qmp=control,
            restart=False,
            cpus=self.cpus,
            accelerator=emulate.accelerator(self.tools),
        )
        argv = emulate.command(self.tools, self.profile, replace(options, **changes))  # type: ignore[arg-type]  # by name
        said = self.folder / "qemu.log"
        with run.spawn(argv, log=said) as process, _connect(serial, process.poll, said) as connection:
            line = Line(connection, process)
            try:
                yield line
            finally:
                process.kill()
                self.heard.append(line.rest())

    def begin_as_vmdk(self) -> None:
        """Have the disk begin as the VMDK that a build makes of the image, in place of its qcow2."""
        raw = self.raw()
        (vmdk,) = virtual.forms(raw, self.folder, self.profile, "", (Format.VMDK,), self.tools)
        raw.unlink()
        over = self.folder / "over-vmdk.qcow2"
        self.tools.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "vmdk", "-b", vmdk, over)
        self.disk = ImageFile(over, "qcow2")

    def put_in(self, stick: ImageFile) -> None:
        """Put a stick into the box while it is on; it was switched on with `USB` among its extras."""
        backend = {"driver": "file", "filename": str(stick.path), "read-only": True}
        disk = {"driver": stick.format, "node-name": "stick", "read-only": True, "file": backend}
        control(
            self.folder / "control",
            {"execute": "blockdev-add", "arguments": disk},
            {"execute": "device_add", "arguments": {"driver": "usb-storage", "bus": "usb.0", "drive": "stick"}},
        )

    def raw(self) -> Path:
        """The disk as a sparse raw file, made from its present state."""
        assert isinstance(self.disk, ImageFile)
        target = self.folder / "disk.raw"
        form = ["-f", self.disk.format]
        self.tools.run("qemu-img", "convert", *form, "-O", "raw", self.disk.path, target)
        return target


class Line:
    """The serial line of a box that is on."""

    def __init__(self, connection: socket.socket, process: Popen[bytes]) -> None:
        self.process = process
        self.talk = fdspawn(connection, timeout=PATIENCE, encoding="utf-8", codec_errors="replace")
        self.talk.logfile_read = self._heard = io.StringIO()

    def expect(self, pattern: str, seconds: float = PATIENCE) -> str:
        """Wait for a pattern; what was said up to its end. Patterns with `$` match at what came last."""
        self.talk.expect(pattern, timeout=seconds)
        return f"{self.talk.before}{self.talk.after}"

    def matched(self, group: int) -> str:
        """A group of the pattern that was waited for."""
        assert isinstance(self.talk.match, re.Match)
        return self.talk.match[group]

    def send(self, text: str) -> None:
        """A line typed by the operator."""
        self.talk.send(f"{text}\r")

    def press(self, key: str) -> None:
        """A key, with no line behind it."""
        self.talk.send(key)

    def answer(self, *pairs: tuple[str, str]) -> None:
        """Prompts to wait for, and what to type at each."""
        for prompt, text in pairs:
            self.expect(prompt)
            self.send(text)

    def log_in(self, password: str = PASSWORD) -> None:
        """From the login prompt, which was waited for, to the administrator's shell."""
        self.send("admin")
        self.answer((r"Password: $", password))
        self.expect(PROMPT)

    def command(self, text: str, seconds: float = PATIENCE, prompt: str = PROMPT) -> str:
        """What a command of the administrator's prints, or of whoever has that prompt."""
        self.send(text)
        return _printed(self.expect(prompt, seconds))

    def root(self, text: str) -> str:
        """What a command prints as root."""
        self.send(f"sudo -k; sudo {text}")
        self.answer((r"password for admin: $", PASSWORD))
        return _printed(self.expect(PROMPT))

    def wait_for(self, true: Callable[[], bool], what: str) -> None:
        """Ask until the answer is yes, and listen meanwhile: a box stands still when nobody reads its line."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            ended = self.talk.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0.05)
            assert not ended, f"{what}: the box went off. {str(self.talk.before)[-2000:]}"
            assert time.monotonic() < deadline, f"{what}: never. {str(self.talk.before)[-2000:]}"

    def rest(self) -> str:
        """All that was said, after the box is off. The emulator's own log repeats a character now and then."""
        self.until_off()
        return self._heard.getvalue()

    def until_off(self, seconds: float = PATIENCE) -> None:
        """Wait until the box restarts, which ends this emulator. A line that nobody reads would stop the box."""
        self.talk.expect(pexpect.EOF, timeout=seconds)


def _printed(said: str) -> str:
    """What stands between the typed line and the next prompt, without what the shell tells the terminal."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).replace("\r", "")
    return plain.partition("\n")[2].rpartition("\n")[0]


def _connect(path: Path, ended: object, log: Path) -> socket.socket:

    connection = socket.socket(socket.AF_UNIX)
    for _ in range(200):
        try:
            connection.connect(str(path))
            return connection
        except OSError:
            if ended() is not None:  # type: ignore[operator]  # Popen.poll
                break
            time.sleep(0.05)  # QEMU makes the socket a moment after it started; nothing announces it
    raise AssertionError(f"QEMU did not start: {log.read_text(errors='replace')}")


def control(path: Path, *commands: dict[str, object]) -> None:
    """Give the emulator QMP commands, each after the answer to the one before. Raises AssertionError with a refusal."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(path))
        answers = channel.makefile("r")
        answers.readline()  # its greeting
        for command in ({"execute": "qmp_capabilities"}, *commands):
            channel.sendall(json.dumps(command).encode())
            for answer in map(json.loads, answers):
                if "event" not in answer:
                    assert "error" not in answer, f"{command}: {answer}"
                    break
