"""What the filter's answers come to, with programs that answer as Rspamd and the quarantine's agent do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from overlays.transparent import scan
from overlays.transparent.content import Content
from overlays.transparent.judge import Client, Envelope, Fate, Unsure, Verdict
from overlays.transparent.scan import Scanner, Spam
from overlays.transparent.words import Address

SPAM = {"example.com": Spam.QUARANTINE, "example.net": Spam.SUBJECT, "example.org": Spam.HEADER}
SCANNER = Scanner("filter.example.org", SPAM, Spam.HEADER, "[SPAM]")
TEXT = b"X-Postern-Access: bypass\r\nX-Postern-Verdict: clean\r\nSubject: x\r\n\r\nhello\r\n"


def envelope(group: str = "", client: str = "192.0.2.77") -> Envelope:
    who = Client(client, "mail.example.edu", authenticated=True)
    return Envelope("n.1", who, "ann@example.edu", ("bob@example.com", "büb@example.com"), group)


def answer(verdict: str = "clean", action: str = "no action", **more: Any) -> dict[str, Any]:
    added = {"X-Postern-Score": {"value": "7.00", "order": 1}, "X-Postern-Verdict": {"value": verdict, "order": 1}}
    return {"action": action, "score": 7.0, "milter": {"add_headers": added}} | more


@pytest.fixture
def content(tmp_path: Path) -> Content:
    made = Content(tmp_path, 1000)
    made.add(TEXT)
    made.complete()
    return made


@asynccontextmanager
async def rspamd(monkeypatch: pytest.MonkeyPatch, said: object, status: str = "200 OK") -> AsyncIterator[list[bytes]]:
    """Answers everything with `said`; yields what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split()[0])
        asked.append(head + await reader.readexactly(length))
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{json.dumps(said)}".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setattr(scan, "FILTER", server.sockets[0].getsockname())
    async with server:
        yield asked


def judged(monkeypatch: pytest.MonkeyPatch, content: Content, said: object, group: str = "") -> Verdict:
    async def ask() -> Verdict:
        async with rspamd(monkeypatch, said):
            return await SCANNER.judge(envelope(group), content)

    return asyncio.run(ask())


def test_the_filter_is_told_all_and_never_a_milder_rule(monkeypatch: pytest.MonkeyPatch, content: Content) -> None:
    async def ask() -> list[bytes]:
        async with rspamd(monkeypatch, answer()) as asked:
            await SCANNER.judge(envelope(), content)
            return asked

    (request,) = asyncio.run(ask())
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /checkv2 HTTP/1.1"
    said = ["IP: 192.0.2.77", "Helo: mail.example.edu", "From: ann@example.edu", "Rcpt: bob@example.com"]
    for line in (*said, "Rcpt: büb@example.com", "Queue-Id: n.1", "User: authenticated"):
        assert line.encode() in head.split(b"\r\n")
    assert body == b"X-Postern-Access: take\r\n" + TEXT


@pytest.mark.parametrize(
    ("said", "group", "verdict"),
    [
        (answer(), "example.com", ("deliver", "clean", "", "")),
        (answer("spam"), "example.com", ("quarantine", "spam", "", "")),
        (answer("spam"), "example.net", ("deliver", "spam", "", "[SPAM]")),
        (answer("spam"), "example.org", ("deliver", "spam", "X-Spam: Yes\r\n", "")),
        (answer("spam"), "", ("deliver", "spam", "X-Spam: Yes\r\n", "")),
        (answer("virus"), "example.net", ("quarantine", "virus", "", "")),
        (answer(action="greylist"), "example.com", ("deliver", "clean", "", "")),
    ],
)
def test_what_an_answer_comes_to(
    monkeypatch: pytest.MonkeyPatch,
    content: Content,
    said: dict[str, Any],
    group: str,
    verdict: tuple[str, str, str, str],
) -> None:
    fate, word, added, mark = verdict
    header = f"X-Postern-Score: 7.00\r\nX-Postern-Verdict: {word}\r\n{added}".encode()
    assert judged(monkeypatch, content, said, group) == Verdict(Fate(fate), header=header, mark=mark)


@pytest.mark.parametrize(
    ("said", "fate", "text"),
    [
        ({"action": "reject", "messages": {"smtp_message": "virus\r\nfound"}}, Fate.REJECT, "5.7.1 virus found"),
        ({"action": "reject"}, Fate.REJECT, "5.7.1 refused as spam"),
        ({"action": "soft reject"}, Fate.DEFER, "4.7.1 Please try again later"),
    ],
)
def test_what_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: Content, said: dict[str, Any], fate: Fate, text: str
) -> None:
    assert judged(monkeypatch, content, said) == Verdict(fate, text)


@pytest.mark.parametrize("said", [[], {"action": "no action"}, answer() | {"milter": {"add_headers": []}}])
def test_an_answer_of_another_form_is_none(monkeypatch: pytest.MonkeyPatch, content: Content, said: object) -> None:
    with pytest.raises(Unsure):
        judged(monkeypatch, content, said)


def test_without_a_filter_nothing_is_known(monkeypatch: pytest.MonkeyPatch, content: Content) -> None:
    monkeypatch.setattr(scan, "FILTER", ("127.0.0.1", 1))
    with pytest.raises(Unsure, match="does not answer"):
        asyncio.run(SCANNER.judge(envelope(), content))


def test_recipients_of_one_protected_domain_are_a_group() -> None:
    groups = [SCANNER.group(Address(path, ())) for path in (b"a@example.com", b"b@Example.COM.", b"c@example.edu")]
    assert groups == ["example.com", "example.com", ""]


@pytest.mark.parametrize("last", ["250 2.0.0 kept", "451 4.3.0 no room"])
def test_what_is_kept_goes_to_the_agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: Content, last: str
) -> None:
    heard: list[bytes] = []

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            heard.append(line)
            if line == b"DATA\r\n":
                writer.write(b"354 go on\r\n")
                heard.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(f"250 2.0.0 kept\r\n{last}\r\n".encode())
            else:
                writer.write(b"250-localhost\r\n250 OK\r\n")

    async def keep() -> None:
        async with await asyncio.start_unix_server(agent, tmp_path / "agent"):
            verdict = Verdict(Fate.QUARANTINE, header=b"X-Postern-Verdict: spam\r\n")
            await SCANNER.keep(envelope("example.com", "2001:db8::7"), content, verdict)

    monkeypatch.setattr(scan, "KEEPER", tmp_path / "agent")
    if last.startswith("451"):
        with pytest.raises(Unsure, match="no room"):
            asyncio.run(keep())
    else:
        asyncio.run(keep())
    assert heard[1:4] == [
        b"MAIL FROM:<ann@example.edu> BODY=8BITMIME SMTPUTF8\r\n",
        b"RCPT TO:<bob@example.com>\r\n",
        "RCPT TO:<büb@example.com>\r\n".encode(),
    ]
    trace, _, rest = heard[5].partition(b"X-Postern-Verdict: spam\r\n")
    assert trace.startswith(b"Received: from mail.example.edu (unknown [IPv6:2001:db8::7])\r\n\tby filter.example.org ")
    assert rest == f"X-Postern-Content: {content.digest()}\r\nSubject: x\r\n\r\nhello\r\n.\r\n".encode()
