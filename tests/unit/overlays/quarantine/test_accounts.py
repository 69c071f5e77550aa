"""Whose password is right: as a server says it, as crypt says it, and how often it may be wrong.

IMAP and POP3 are asked of a real server in the container lane.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from overlays.quarantine.accounts import Away, Failures, is_hash_of, is_right
from overlays.quarantine.policy import LoginServer
from overlays.quarantine.settings import LoginProtocol, LoginTls

USER, WORD = "ann@example.com", "Wären-~31 moss"


class Handler:
    """Knows one user."""

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - its name
        return "554 no mail here"


def _knows(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: LoginPassword) -> AuthResult:
    return AuthResult(success=(given.login, given.password) == (USER.encode(), WORD.encode()), handled=False)


@pytest.fixture
def server() -> Iterator[LoginServer]:
    loop = asyncio.new_event_loop()
    made = loop.run_until_complete(
        loop.create_server(
            lambda: SMTP(Handler(), authenticator=_knows, auth_require_tls=False, hostname="x", loop=loop),
            "127.0.0.1",
            0,
        )
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    port = made.sockets[0].getsockname()[1]
    yield LoginServer(protocol=LoginProtocol.SMTP, host="127.0.0.1", port=port, tls=LoginTls.OFF, verify=False)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.close()


def test_a_server_is_asked_by_smtp(server: LoginServer) -> None:
    assert is_right(server, USER, WORD, "10.0.0.66")
    assert not is_right(server, USER, "wrong", "10.0.0.66")
    assert not is_right(server, "bob@example.com", WORD, "10.0.0.66")


@pytest.mark.parametrize("password", ["", "a\r\nQUIT", "a\0b"])
def test_what_is_no_password_is_not_sent(server: LoginServer, password: str) -> None:
    away = server.model_copy(update={"port": 1})
    assert not is_right(away, USER, password, "10.0.0.66")


@pytest.mark.parametrize("protocol", list(LoginProtocol))
@pytest.mark.parametrize("tls", list(LoginTls))
def test_a_server_that_is_away_is_not_a_wrong_password(protocol: LoginProtocol, tls: LoginTls) -> None:
    away = LoginServer(protocol=protocol, host="127.0.0.1", port=1, tls=tls, verify=True)
    with pytest.raises(Away):
        is_right(away, USER, WORD, "10.0.0.66")


@pytest.mark.parametrize(
    "hashed",
    [
        "$6$abcdefgh$bp46WUxDu2cphMRE0PvVJlqas2imuSq186YS793XKfmqn9XUEL17HECskUTZInaNigNndLLYc7A6yWBmFEFn3/",
        "$5$abcdefgh$" + "x" * 43,
    ],
)
def test_a_hash_of_crypt(hashed: str) -> None:
    assert is_hash_of(hashed, "hello") is hashed.startswith("$6$")
    assert not is_hash_of(hashed, "Hello")
    assert not is_hash_of(hashed, "")


@pytest.mark.parametrize("hashed", ["", "*", "!", "hello"])
def test_what_is_no_hash_lets_nobody_in(hashed: str) -> None:
    assert not is_hash_of(hashed, hashed or "hello")


def test_failures_are_counted_for_a_while() -> None:
    failures = Failures()
    for _ in range(3):
        failures.add("from 192.0.2.1")
    assert failures.count("from 192.0.2.1") == 3
    assert failures.count("from 192.0.2.2") == 0
