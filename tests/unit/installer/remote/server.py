"""Another machine: an SSH server that runs what it is told on this one (Debian's: tests/machine/test_flash_ssh.py)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO, cast

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from hardware.host import run

PASSWORD = "open sesame 42"


class Server:
    """`received` counts what came on a program's stdin, one number a program; with `cut_at`, the one that gets beyond
    it loses its connection. Its root is whoever runs the tests, so `id` says 0.
    """

    def __init__(self, folder: Path) -> None:
        self.key: paramiko.PKey = paramiko.ECDSAKey.generate()
        self.welcomed: list[paramiko.PKey] = []
        self.received: list[int] = []
        self.commands: list[str] = []
        self.cut_at = 0
        self.closes = False  # nobody comes in again after the cut
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True)
        self.program("id", "echo 0")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    @property
    def address(self) -> str:
        return f"root@127.0.0.1:{self.port}"

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def welcome(self, key: Path) -> None:
        """Let who has this private key in."""
        self.welcomed.append(paramiko.ECDSAKey.from_private_key_file(str(key)))

    def known(self, path: Path) -> None:
        """Put its key into a file of known hosts."""
        path.write_text(f"[127.0.0.1]:{self.port} {self.key.get_name()} {self.key.get_base64()}\n")

    @contextmanager
    def on(self) -> Iterator[Server]:
        Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self.close()

    def close(self) -> None:
        """Let nobody in any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        transport = paramiko.Transport(line)
        transport.add_server_key(self.key)
        with suppress(paramiko.SSHException, EOFError):  # a client that does not like our key
            transport.start_server(server=_Session(self, transport))

    def run(self, command: str, channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        self.commands.append(command)
        self.received.append(0)
        number = len(self.received) - 1
        errors = self.folder / f"stderr{number}"
        path = f"{self.programs}:{run.environment()['PATH']}"
        script = f"({command}) 2>{errors}"
        with run.spawn(["sh", "-c", script], env={"PATH": path}, feed=True) as process, suppress(OSError, EOFError):
            Thread(target=self._feed, args=(process.stdin, channel, transport, number), daemon=True).start()
            while said := cast("IO[bytes]", process.stdout).read1():  # type: ignore[attr-defined]  # a pipe has it
                channel.sendall(said)
            status = process.wait()
            channel.sendall_stderr(errors.read_bytes())
            channel.send_exit_status(status)
            channel.close()

    def _feed(self, stdin: IO[bytes], channel: paramiko.Channel, transport: paramiko.Transport, number: int) -> None:
        with suppress(OSError, ValueError), stdin:  # the program may have ended
            while data := channel.recv(1 << 16):
                self.received[number] += len(data)
                if self.cut_at and self.received[number] > self.cut_at:
                    self.cut_at = 0
                    if self.closes:
                        self.close()
                    transport.close()
                    return
                stdin.write(data)
                stdin.flush()


class _Session(paramiko.ServerInterface):
    def __init__(self, server: Server, transport: paramiko.Transport) -> None:
        self._server, self._transport = server, transport

    def get_allowed_auths(self, _name: str) -> str:
        return "publickey,password"

    def check_auth_publickey(self, _name: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL if key in self._server.welcomed else AUTH_FAILED

    def check_auth_password(self, _name: str, password: str) -> int:
        return AUTH_SUCCESSFUL if password == PASSWORD else AUTH_FAILED

    def check_channel_request(self, _kind: str, _number: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        arguments = (command.decode(), channel, self._transport)
        Thread(target=self._server.run, args=arguments, daemon=True).start()
        return True
