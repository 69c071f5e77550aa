"""The agent between a real client and real next hops: each recipient has the answer of what was done for it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from overlays.quarantine import carry
from overlays.quarantine.agent import Agent, session
from overlays.quarantine.carry import Letter
from overlays.quarantine.policy import SYSTEM, Policy
from overlays.quarantine.records import Records
from overlays.quarantine.store import Mailbox
from tests.unit.overlays.quarantine.test_policy import POLICY

BODY = b"\r\nhi\r\n.\r\n"


class Wide(SMTP):
    """A next hop that takes any line, as Postfix does."""

    line_length_limit = 1 << 30


@dataclass
class Hop:
    """A next hop: what it took, and whom it refuses with which answer."""

    took: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    dies: bool = False  # it takes the message, and nobody hears its answer

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        if "DATA" in self.refuses:
            return self.refuses["DATA"]
        self.took.append((envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b""))
        if self.dies:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    @property
    def recipients(self) -> list[str]:
        return [recipient for _, recipients, _ in self.took for recipient in recipients]


@dataclass
class Bench:
    """Agent, Postfix's way on, store."""

    path: Path
    onward: Hop
    store: Hop
    records: Records
    policy: Policy = POLICY

    def send(
        self, score: float, *recipients: str, sender: str = "eve@outside.example", header: bytes = b""
    ) -> list[str]:
        """Hand a message to the agent as Postfix does; the answer for each recipient."""
        lines = b"From: Eve <eve@outside.example>\r\nSubject: s\r\n" + header + f"X-Postern-Score: {score}\r\n".encode()
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(120)
            line.connect(str(self.path))
            reader = line.makefile("rb")
            for command in ("LHLO box", f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"):
                line.sendall(f"{command}\r\n".encode())
                while (answer := reader.readline())[3:4] == b"-" or answer.startswith(b"220"):
                    pass
                assert answer[:3] in (b"250", b"354"), answer
            line.sendall(lines + BODY.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            return [reader.readline().decode().strip() for _ in recipients]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    policy = tmp_path / "policy.json"
    policy.write_text(POLICY.model_dump_json())
    made = Bench(tmp_path / "agent", Hop(), Hop(), Records(tmp_path / "records"))
    loop = asyncio.new_event_loop()
    agent = Agent(policy, made.records, b"k" * 32)
    loop.run_until_complete(loop.create_unix_server(lambda: session(agent, loop), made.path))
    loop.run_until_complete(loop.create_unix_server(lambda: session(made.store, loop), tmp_path / "store"))
    onward = loop.create_server(
        lambda: Wide(made.onward, enable_SMTPUTF8=True, hostname="x", loop=loop), "127.0.0.1", 0
    )
    server = loop.run_until_complete(onward)
    monkeypatch.setattr(carry, "ONWARD", server.sockets[0].getsockname())
    monkeypatch.setattr(carry, "STORE", str(tmp_path / "store"))
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
    loop.close()


def codes(answers: list[str]) -> list[str]:
    return [answer[:3] for answer in answers]


def test_each_of_three_recipients_gets_what_is_theirs(bench: Bench) -> None:
    bench.records.welcome("liz@example.com", "Eve@outside.example")
    answers = bench.send(8, "liz@example.com", "ann@example.com", "bob@off.example", "ann@example.com")
    assert codes(answers) == ["250"] * 4
    assert bench.onward.recipients == ["liz@example.com", "bob@off.example"]
    assert bench.store.recipients == ["ann@example.com"]
    (_, _, kept) = bench.store.took[0]
    mark = carry.mark(Letter("eve@outside.example", bench.onward.took[0][2]), "ann@example.com")
    notes = ["Recipient: ann@example.com", "Sender: eve@outside.example", "Quarantine: spam", f"Filing: {mark}"]
    assert kept == b"".join(f"X-Postern-{note}\r\n".encode() for note in notes) + bench.onward.took[0][2]
    assert kept.endswith(BODY)
    assert bench.records.owners() == ["ann@example.com"]


def test_marks_are_for_those_who_want_them(bench: Bench) -> None:
    assert codes(bench.send(20, "a@example.net", "a@example.org", "a@off.example")) == ["250"] * 3
    by_recipient = {recipients[0]: raw for _, recipients, raw in bench.onward.took}
    assert b"Subject: [SPAM] s\r\n" in by_recipient["a@example.net"]
    assert by_recipient["a@example.org"].startswith(b"X-Spam: Yes\r\nFrom:")
    assert b"SPAM" not in by_recipient["a@off.example"].upper()


def test_who_was_not_taken_is_asked_for_again_and_nobody_else(bench: Bench) -> None:
    bench.onward.refuses = {"bob@off.example": "450 later"}
    bench.store.refuses = {"ann@example.com": "451 later"}
    answers = bench.send(8, "ann@example.com", "bob@off.example", "liz@off.example", "tom@example.com")
    assert codes(answers) == ["451", "451", "250", "250"]
    assert "450 later" in answers[1]
    bench.onward.refuses, bench.store.refuses = {}, {}
    assert codes(bench.send(8, "ann@example.com", "bob@off.example")) == ["250", "250"]
    assert sorted(bench.onward.recipients + bench.store.recipients) == sorted(
        ["ann@example.com", "bob@off.example", "liz@off.example", "tom@example.com"]
    )


@pytest.mark.parametrize("said", ["452 full", "552 too large", "554 no"])
def test_no_answer_of_a_next_hop_loses_a_message(bench: Bench, said: str) -> None:
    bench.onward.refuses = bench.store.refuses = {"DATA": said}
    assert codes(bench.send(8, "ann@example.com", "bob@off.example", "a@example.net")) == ["451"] * 3


def test_next_hops_that_are_away(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(carry, "STORE", str(tmp_path / "nothing"))
    assert codes(bench.send(8, "ann@example.com", "bob@off.example")) == ["451", "250"]
    monkeypatch.setattr(carry, "ONWARD", ("127.0.0.1", 1))
    assert codes(bench.send(8, "ann@example.com", "bob@off.example")) == ["451", "451"]


@pytest.mark.parametrize("filed", [True, False])
def test_a_store_that_dies_before_it_answers(bench: Bench, monkeypatch: pytest.MonkeyPatch, filed: bool) -> None:
    bench.store.dies = True
    assert codes(bench.send(8, "ann@example.com")) == ["451"]
    bench.store.dies = False
    monkeypatch.setattr(Mailbox, "holds", lambda *_: False)  # the real one is asked in tests/container
    assert "it may be under way" in bench.send(8, "ann@example.com")[0]
    assert len(bench.store.took) == 1
    monkeypatch.setattr(Mailbox, "holds", lambda *_: filed)
    monkeypatch.setattr(carry, "UNDER_WAY", 0)
    assert codes(bench.send(8, "ann@example.com")) == ["250"]
    assert len(bench.store.took) == (1 if filed else 2)
    monkeypatch.setattr(Mailbox, "holds", lambda *_: True)
    assert codes(bench.send(8, "ann@example.com")) == ["250"]  # nobody heard this answer
    assert len(bench.store.took) == (1 if filed else 2)


def test_a_store_that_ends_the_session_may_have_filed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store.refuses = {"DATA": "421 4.3.2 Shutting down"}
    assert codes(bench.send(8, "ann@example.com")) == ["451"]
    bench.store.refuses = {}
    monkeypatch.setattr(Mailbox, "holds", lambda *_: True)
    assert codes(bench.send(8, "ann@example.com")) == ["250"]
    assert bench.store.took == []


def test_what_the_proxy_brings_again_is_known_by_what_its_client_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mailbox, "holds", lambda *_: True)
    for header in (b"Received: at nine\r\nX-Postern-Content: 1f\r\n", b"Received: at ten\r\nX-Postern-Content: 1f\r\n"):
        assert codes(bench.send(8, "ann@example.com", header=header)) == ["250"]
    assert len(bench.store.took) == 1
    assert codes(bench.send(8, "ann@example.com", header=b"X-Postern-Content: 2e\r\n")) == ["250"]
    assert len(bench.store.took) == 2


def test_a_mailbox_that_cannot_be_is_the_administrators(bench: Bench) -> None:
    bench.store.refuses = {"ann@example.com": "550 no such mailbox"}
    assert codes(bench.send(8, "ann@example.com", '"../x"@example.com')) == ["250", "250"]
    assert bench.store.recipients == [SYSTEM, SYSTEM]
    assert b"X-Postern-Recipient: ann@example.com\r\n" in bench.store.took[0][2]


def test_without_a_policy_the_message_stays_in_the_queue(bench: Bench) -> None:
    (bench.path.parent / "policy.json").write_text("{")
    assert codes(bench.send(8, "ann@example.com", "bob@off.example")) == ["451", "451"]
    assert not bench.onward.took


@pytest.mark.parametrize(
    "sender", ["", '"a b"@outside.example', "a..b@outside.example", "x@[192.0.2.1]", "é@outside.example"]
)
def test_every_sender_is_handed_on_as_it_is(bench: Bench, sender: str) -> None:
    assert codes(bench.send(1, "bob@off.example", sender=sender)) == ["250"]
    assert bench.onward.took[0][0].removeprefix("<>") == sender


def test_a_line_as_long_as_its_sender_made_it(bench: Bench) -> None:
    header = b"X-Long: " + b"y" * 3_000_000 + b"\r\n"
    assert codes(bench.send(8, "ann@example.com", "bob@off.example", header=header)) == ["250", "250"]
    assert header in bench.store.took[0][2]
    assert header in bench.onward.took[0][2]
