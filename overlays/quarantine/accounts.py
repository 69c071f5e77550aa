"""Who may look into the quarantine: whoever knows the password, as the domain's own server sees it."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import hmac
import imaplib
import poplib
import smtplib
import ssl
import time
from collections import deque

from overlays.quarantine.policy import LoginServer
from overlays.quarantine.settings import LoginProtocol, LoginTls

ADMINISTRATOR = "admin"
_PATIENCE = 15.0
_WINDOW = 900.0  # seconds in which wrong passwords are counted
_MOST_KEYS = 10_000


class Away(Exception):
    """The server that knows the passwords does not answer."""


def is_right(server: LoginServer, user: str, password: str, client: str) -> bool:
    """Whether that server lets the user in. It learns who asks where it would count failures against the box."""
    if not password or not password.isprintable():  # a line end would begin a command of its own
        return False
    ask = {LoginProtocol.IMAP: _imap, LoginProtocol.POP3: _pop3, LoginProtocol.SMTP: _smtp}[server.protocol]
    try:
        return ask(server, user, password, client)
    except (OSError, EOFError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException) as failure:
        raise Away(f"{server.host}: {failure}") from failure


def is_hash_of(hashed: str, password: str) -> bool:
    """Whether crypt(3) makes this hash of the password; no password has the hash `*`."""
    if not hashed.startswith("$") or not password or "\0" in password:
        return False
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    made = library.crypt(password.encode(), hashed.encode())
    return isinstance(made, bytes) and hmac.compare_digest(made, hashed.encode())


class Failures:
    """Wrong passwords of the last quarter of an hour, by whatever they are counted for. In memory, and bounded."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def count(self, key: str) -> int:
        times = self._times.get(key, deque())
        while times and times[0] < time.monotonic() - _WINDOW:
            times.popleft()
        return len(times)

    def add(self, key: str) -> None:
        if len(self._times) >= _MOST_KEYS:
            self._times = {one: times for one, times in self._times.items() if self.count(one)}
        self._times.setdefault(key, deque(maxlen=1000)).append(time.monotonic())


def _imap(server: LoginServer, user: str, password: str, client: str) -> bool:
    context = _context(server)
    with (
        imaplib.IMAP4_SSL(server.host, server.port, ssl_context=context, timeout=_PATIENCE)
        if server.tls is LoginTls.TLS
        else imaplib.IMAP4(server.host, server.port, timeout=_PATIENCE)
    ) as line:
        if server.tls is LoginTls.STARTTLS:
            line.starttls(context)
        if server.host == "127.0.0.1":
            line.xatom("ID", f'("x-originating-ip" "{client}")')
        try:
            if "AUTH=PLAIN" in line.capabilities:
                line.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
            else:
                line.login(user, password)
        except imaplib.IMAP4.abort:
            raise
        except (imaplib.IMAP4.error, UnicodeError):
            return False
        return True


def _pop3(server: LoginServer, user: str, password: str, _client: str) -> bool:
    context = _context(server)
    line = (
        poplib.POP3_SSL(server.host, server.port, context=context, timeout=_PATIENCE)
        if server.tls is LoginTls.TLS
        else poplib.POP3(server.host, server.port, timeout=_PATIENCE)
    )
    try:
        if server.tls is LoginTls.STARTTLS:
            line.stls(context)
        try:
            line.user(user)
            line.pass_(password)
        except poplib.error_proto as said:
            if "-ERR" in str(said):
                return False
            raise
        return True
    finally:
        line.close()


def _smtp(server: LoginServer, user: str, password: str, _client: str) -> bool:
    context = _context(server)
    with (
        smtplib.SMTP_SSL(server.host, server.port, context=context, timeout=_PATIENCE)
        if server.tls is LoginTls.TLS
        else smtplib.SMTP(server.host, server.port, timeout=_PATIENCE)
    ) as line:
        if server.tls is LoginTls.STARTTLS:
            line.starttls(context=context)
        line.ehlo_or_helo_if_needed()
        try:
            if "PLAIN" in line.esmtp_features.get("auth", "").upper().split():
                word = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
                return line.docmd("AUTH", f"PLAIN {word}")[0] == 235
            line.login(user, password)
        except (smtplib.SMTPAuthenticationError, UnicodeError):
            return False
        return True


def _context(server: LoginServer) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not server.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
