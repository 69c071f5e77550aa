"""What comes again is filed once, whoever died: between a real client and a real next hop."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from overlays.quarantine import carry, filing
from overlays.quarantine.agent import session
from overlays.quarantine.begun import Begun
from overlays.quarantine.filing import ROOM, Filing
from overlays.quarantine.store import Away, Mailbox
from tests.unit.overlays.quarantine.test_agent import Hop, codes
from tests.unit.overlays.quarantine.test_policy import POLICY

ANN, NEWS, BOB = "ann@example.com", "Ann+news@example.com", "bob@example.com"
TRACE = (
    b"Received: from x (unknown [192.0.2.77])\r\n\tby mx1.example.com (Postfix) with ESMTPS id 4bXyZ1234567\r\n"
    b"\tfor <ann@example.com>; Tue, 24 Nov 2026 10:00:00 +0000 (UTC)\r\n"
)
LETTER = (
    b"X-Postern-Verdict: clean\r\n" + TRACE + b"Received: by other.example id 999\r\nSubject: s\r\n\r\nhi\r\n..\r\n"
)


class Store(Hop):
    """A next hop that answers for each recipient, as the store does."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        answer = await super().handle_DATA(server, session, envelope)
        return "\r\n".join([answer] * len(envelope.rcpt_tos))


@dataclass
class Bench:
    """Postfix's place, and the store. The agent can die: what it has written down it knows again."""

    path: Path
    store: Store
    filing: Filing

    def bring(self, *recipients: str, letter: bytes = LETTER, more: bytes = b"") -> list[str]:
        """Hand a message over as Postfix does; the answer for each recipient, or none when the connection was cut."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(str(self.path))
            reader = line.makefile("rb")
            assert reader.readline()[:3] == b"220"
            line.sendall(b"LHLO box\r\n")
            while reader.readline()[3:4] == b"-":
                pass
            commands = (f"MAIL FROM:<eve@outside.example>\r\n{_named(recipients)}DATA\r\n").encode()
            line.sendall(commands)  # all at once, as PIPELINING lets it
            said = [reader.readline()[:3] for _ in commands.splitlines()]
            assert said == [b"250"] * (1 + len(recipients)) + [b"354"]
            line.sendall(letter + b".\r\n" + more)
            return [reader.readline().decode().strip() for _ in (*recipients, *more.splitlines())]

    def die(self) -> None:
        """The agent is another one, with the same file."""
        self.filing._begun = Begun(self.path.parent / "begun")  # as a restart does


def _named(recipients: tuple[str, ...]) -> str:
    return "".join(f"RCPT TO:<{one}>\r\n" for one in recipients)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    policy = tmp_path / "policy.json"
    policy.write_text(POLICY.model_dump_json())
    made = Bench(tmp_path / "filing", Store(), Filing(policy, Begun(tmp_path / "begun")))
    monkeypatch.setattr(carry, "STORE", str(tmp_path / "store"))
    monkeypatch.setattr(carry, "UNDER_WAY", 0)
    monkeypatch.setattr(filing, "_PAUSE", 0.01)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.start_unix_server(made.filing.connection, made.path, limit=ROOM))
    loop.run_until_complete(loop.create_unix_server(lambda: session(made.store, loop), tmp_path / "store"))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield made
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    ended = asyncio.all_tasks(loop)
    for task in ended:
        task.cancel()
    if ended:
        loop.run_until_complete(asyncio.wait(ended))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many copies a look into a user's mailboxes finds; the real look is in tests/container."""
    found: dict[str, int] = {}

    def asked(mailbox: Mailbox, number: str) -> int:
        return found.get(mailbox.owner, 0) if number == "4bXyZ1234567" else 0

    monkeypatch.setattr(Mailbox, "copies", asked)
    return found


def test_what_comes_goes_on_as_it_is(bench: Bench) -> None:
    assert codes(bench.bring(ANN, BOB, more=b"RSET\r\nQUIT\r\n")) == ["250", "250", "250", "221"]
    assert bench.store.took == [("eve@outside.example", [ANN, BOB], LETTER.replace(b"..", b"."))]


@pytest.mark.parametrize("length", [*range(ROOM - 3, ROOM + 3), 5 * ROOM + 1])
def test_a_message_of_any_length(bench: Bench, length: int) -> None:
    letter = LETTER[:-6] + b"x" * (length - len(LETTER)) + b"\r\n.\r.\n..\r\n"
    assert codes(bench.bring(ANN, letter=letter)) == ["250"]
    ((_, _, took),) = bench.store.took
    assert len(took) >= length - 20
    assert took.startswith(LETTER[:100])


def test_each_recipient_has_the_stores_answer(bench: Bench) -> None:
    bench.store.refuses = {"DATA": "452 4.2.2 the mailbox is full"}
    assert bench.bring(ANN, BOB) == ["452 4.2.2 the mailbox is full"] * 2
    bench.store.refuses = {}
    assert codes(bench.bring(ANN, BOB)) == ["250", "250"]  # what was refused is not looked for
    assert len(bench.store.took) == 1


@pytest.mark.parametrize("filed", [1, 0])
def test_a_store_that_dies_before_it_answers(bench: Bench, there: dict[str, int], filed: int) -> None:
    bench.store.dies = True
    there[ANN] = filed
    assert codes(bench.bring(ANN)) == ["250" if filed else "451"]
    bench.store.dies = False
    assert codes(bench.bring(ANN)) == ["250"]
    assert len(bench.store.took) == (1 if filed else 2)


def test_an_agent_that_dies_before_it_answers(bench: Bench, there: dict[str, int]) -> None:
    assert codes(bench.bring(ANN)) == ["250"]  # which nobody hears
    there[ANN] = 1
    bench.die()
    assert codes(bench.bring(ANN)) == ["250"]
    assert len(bench.store.took) == 1


def test_of_two_recipients_one_has_it(bench: Bench, there: dict[str, int]) -> None:
    bench.bring(ANN, BOB)
    there[ANN] = 1
    bench.die()
    assert codes(bench.bring(ANN, BOB)) == ["250", "451"]
    assert codes(bench.bring(BOB)) == ["250"]
    assert [recipients for _, recipients, _ in bench.store.took] == [[ANN, BOB], [BOB]]


def test_two_addresses_of_one_user(bench: Bench, there: dict[str, int]) -> None:
    """The store died after the first of them."""
    bench.bring(ANN, NEWS)
    there[ANN] = 1
    assert codes(bench.bring(ANN, NEWS)) == ["250", "451"]
    assert codes(bench.bring(NEWS)) == ["250"]
    there[ANN] = 2
    assert codes(bench.bring(ANN, NEWS)) == ["250", "250"]
    assert len(bench.store.took) == 2


def test_the_same_recipient_twice(bench: Bench) -> None:
    """By an alias and by name: Postfix keeps both."""
    assert codes(bench.bring(ANN, ANN)) == ["250", "250"]


def test_what_may_be_under_way_is_waited_for(
    bench: Bench, there: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carry, "UNDER_WAY", 20)
    bench.bring(ANN)
    bench.die()
    assert codes(bench.bring(ANN)) == ["451"]
    later = time.time() + 30
    monkeypatch.setattr(time, "time", lambda: later)
    assert codes(bench.bring(ANN)) == ["250"]
    assert codes(bench.bring(ANN)) == ["451"]  # this may be under way again
    assert len(bench.store.took) == 2


def test_nothing_is_filed_while_nobody_can_look(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> int:
        raise Away("the store does not answer")

    bench.bring(ANN)
    monkeypatch.setattr(Mailbox, "copies", away)
    assert codes(bench.bring(ANN, BOB)) == ["451", "451"]
    assert len(bench.store.took) == 1


def test_a_store_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(carry, "STORE", str(tmp_path / "nothing"))
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(bench.path))
        assert line.makefile("rb").read().startswith(b"421 4.3.0 the store is away")


def test_without_postfixs_trace_the_beginning_tells(bench: Bench, there: dict[str, int]) -> None:
    """Nothing of Postfix's is like that; it is filed all the same."""
    assert codes(bench.bring(ANN, letter=b"Subject: s\r\n\r\nhi\r\n")) == ["250"]
    assert codes(bench.bring(ANN, letter=b"Subject: t\r\n\r\nhi\r\n")) == ["250"]
    there[ANN] = 1
    assert codes(bench.bring(ANN, letter=b"Subject: t\r\n\r\nhi\r\n")) == ["250"]
    assert len(bench.store.took) == 3


def test_what_could_not_be_read_along_is_not_offered() -> None:
    said = b"250-mx1\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-XCLIENT ADDR PORT\r\n250-SMTPUTF8\r\n250 STARTTLS\r\n"
    assert filing._offered(said) == b"250-mx1\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"


def test_a_message_is_remembered_as_long_as_it_may_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Begun(tmp_path / "begun")
    assert begun.begin("4bXyZ1234567", ANN, ANN).ago is None
    assert begun.begin("4bXyZ1234567", ANN, ANN).ago == 0
    later = time.time() + 7 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    assert begun.begin("4bXyZ1234568", ANN, ANN).ago is None
    assert begun.begin("4bXyZ1234567", ANN, ANN).ago is None
