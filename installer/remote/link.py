"""The SSH connection: whose key the other machine must have, who we are there, and what is run."""

from __future__ import annotations

import getpass
import logging
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.hostkeys import InvalidHostKey

from hardware.host.errors import Refused, refuse
from hardware.host.log import redact
from installer.remote.program import OLDEST_PYTHON, START, TOO_OLD, program

_EVERYBODYS = "/etc/ssh/ssh_known_hosts"
_CONNECT_S, _SILENCE_S = 20, 120
_ADDRESS = re.compile(r"([^@\s:]+)@(\[[^]\s]+\]|[^@\s:\[\]]+)(?::(\d{1,5}))?")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # it would tell stderr what we tell in a sentence


class Lost(Exception):
    """The connection is gone, or was not to be had."""


@dataclass(frozen=True)
class Address:
    """Where, and as whom."""

    user: str
    host: str
    port: int = 22

    def __str__(self) -> str:
        return f"{self.user}@{self.host}{f':{self.port}' if self.port != 22 else ''}"


def address(text: str) -> Address:
    """From USER@HOST or USER@HOST:PORT; an address of IPv6 in brackets."""
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise refuse(f"is {text!r}", "USER@HOST or USER@HOST:PORT would be right", where="--ssh")
    return Address(found[1], found[2].strip("[]"), int(found[3] or 22))


class Link:
    """A connection that can be made anew; what was typed for the first one serves for the others."""

    def __init__(self, where: Address, fingerprint: str = "", identity: Path | None = None) -> None:
        if fingerprint and not _FINGERPRINT.fullmatch(fingerprint):
            hint = "SHA256: and 43 characters would be right, as `ssh-keygen -lf` prints them there"
            raise refuse(f"is {fingerprint!r}", hint, where="--fingerprint")
        if identity and not identity.is_file():
            raise refuse("is no file", "the file of a private key would be right", where=f"--identity {identity}")
        self.where = where
        self._fingerprint, self._identity = fingerprint, identity
        self._password: str | None = None
        self._client = paramiko.SSHClient()
        self._root = False

    def connect(self) -> None:
        """Raises `Refused` when the other side is not who it should be or does not let us in, and `Lost`."""
        try:
            self._connect()
        except paramiko.AuthenticationException as denied:
            if self._password is not None or not sys.stdin.isatty():
                hint = "add a key to your SSH agent, name one with --identity, or run it at a terminal, which asks"
                raise refuse(f"does not let us in: {denied}", hint, where=str(self.where)) from denied
            self._password = getpass.getpass(f"Password of {self.where}, or of your key: ")
            redact(self._password)
            self.connect()
            return
        self._root = self._said("id -u").split()[-1:] == ["0"]

    def start(self, order: bytes) -> paramiko.Channel:
        """Our program over there, as root, with its order. Raises `Lost`, or why it ended before it could read it."""
        try:
            channel = self._opened(START if self._root else f"sudo -n {START}")
        except (OSError, EOFError, paramiko.SSHException) as gone:
            raise Lost(str(gone) or "it was closed") from gone
        try:
            channel.sendall(program() + order)
        except (OSError, EOFError, paramiko.SSHException) as gone:
            raise self.why(channel) from gone
        return channel

    def why(self, channel: paramiko.Channel) -> Exception:
        """Why the program ended without a last word."""
        said = ""
        with suppress(OSError):
            said = plain(channel.makefile_stderr("rb").read().decode(errors="replace").strip())
        status, where = channel.recv_exit_status(), str(self.where)
        if status == -1:
            return Lost("it was closed")
        if "sudo" in said and not self._root:
            hint = f"log in as root, or let {self.where.user} start python3 by sudo without a password"
            return refuse(f"{self.where.user} is not root there: {said.splitlines()[-1]}", hint, where=where)
        if status == 127:
            hint = "install it there (Debian: apt-get install python3), or start that machine from a medium that has it"
            return refuse("has no Python 3", hint, where=where)
        if status == TOO_OLD:
            oldest = ".".join(map(str, OLDEST_PYTHON))
            return refuse(f"has a Python older than {oldest}", "start that machine from a newer medium", where=where)
        return RuntimeError(f"the program on {where} ended with status {status}:\n{said}")

    def close(self) -> None:
        self._client.close()

    def _connect(self) -> None:
        self._client.close()
        self._client = paramiko.SSHClient()
        self._client.set_missing_host_key_policy(_Known(self.where, self._fingerprint))
        if not self._fingerprint:
            try:
                self._client.load_system_host_keys()
                with suppress(OSError):  # few machines have one
                    self._client.load_system_host_keys(_EVERYBODYS)
            except InvalidHostKey as wrong:
                raise refuse(f"has a line that is no key: {wrong.line}", where="known_hosts") from wrong
        try:
            self._client.connect(
                self.where.host,
                self.where.port,
                self.where.user,
                password=self._password,
                key_filename=str(self._identity) if self._identity else None,
                timeout=_CONNECT_S,
                banner_timeout=_CONNECT_S,
                auth_timeout=_CONNECT_S,
            )
        except paramiko.BadHostKeyException as other:
            raise refuse(
                f"has the host key {_told(other.key)}, and known_hosts says {_told(other.expected_key)}",
                "somebody may listen in; if it was set up anew, look at the fingerprint there and give --fingerprint",
                where=str(self.where),
            ) from other
        except (paramiko.AuthenticationException, Refused):
            raise
        except (OSError, EOFError, paramiko.SSHException) as gone:
            if "authentication methods" in str(gone):
                raise paramiko.AuthenticationException("it was offered no key and no password") from gone
            raise Lost(getattr(gone, "strerror", None) or str(gone) or type(gone).__name__) from gone

    def _opened(self, command: str) -> paramiko.Channel:
        transport = self._client.get_transport()
        if transport is None:
            raise EOFError("it was closed")
        transport.set_keepalive(15)
        channel = transport.open_session(timeout=_CONNECT_S)
        channel.settimeout(_SILENCE_S)
        channel.exec_command(command)
        return channel

    def _said(self, command: str) -> str:
        try:
            return self._opened(command).makefile("rb").read().decode(errors="replace").strip()
        except (OSError, EOFError, paramiko.SSHException) as gone:
            raise Lost(str(gone) or "it was closed") from gone


class _Known(paramiko.MissingHostKeyPolicy):
    """A host that nobody knows is nobody's, unless its fingerprint was given."""

    def __init__(self, where: Address, fingerprint: str) -> None:
        self._where, self._fingerprint = where, fingerprint

    def missing_host_key(self, _client: paramiko.SSHClient, _host: str, key: paramiko.PKey) -> None:
        if self._fingerprint == key.fingerprint:
            return
        if self._fingerprint:
            message = f"has the host key {_told(key)}, and --fingerprint says {self._fingerprint}"
            raise refuse(
                message, "give the fingerprint of that kind of key, if it is that machine", where=str(self._where)
            )
        hint = f"if `ssh-keygen -lf` says so there, give --fingerprint {key.fingerprint}"
        raise refuse(f"is not in known_hosts; its host key is {_told(key)}", hint, where=str(self._where))


def plain(text: str) -> str:
    """A text of the other machine without what would drive our terminal."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def _told(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"
