"""The proxy's dialogue, with both ends scripted: order, limits, content, extensions, and who is cut off when.

What counts at every stage: nothing is doubled, and the server's final answer is the client's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from overlays.transparent import words
from overlays.transparent.judge import Fate, Verdict
from overlays.transparent.rules import Starttls
from tests.unit.overlays.transparent.talk import QUICK, FakeJudge, Talk, talk

LOST = 451
HELLO = b"Subject: hello\r\n\r\nhello\r\n"

Case = Callable[[Talk], Awaitable[None]]


def played(spool: Path, case: Case, judge: FakeJudge | None = None, starttls: Starttls = Starttls.STRIP) -> None:
    """Play a session; no file is left of it."""

    async def run() -> None:
        async with talk(spool, judge, starttls) as session:
            await case(session)

    asyncio.run(run())
    assert list(spool.iterdir()) == []


# From greeting to goodbye


def test_a_message_is_the_servers_affair(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet("PIPELINING")
        await session.envelope("bob@example.com", "ann@example.com")
        await session.content()
        assert await session.server_takes("250 2.0.0 queued as 4711") == HELLO
        await session.client.hears("250 2.0.0 queued as 4711")
        await session.exchange("QUIT", "221 2.0.0 see you")
        await session.client.hears_end()
        await session.server.hears_end()
        assert session.judge.seen[0].recipients == ("bob@example.com", "ann@example.com")
        assert session.judge.seen[0].client.helo == "client.example.net"

    played(tmp_path, case)


def test_several_messages_in_one_session(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        for number in range(3):
            await session.envelope()
            await session.content(b"%d\r\n" % number)
            assert await session.server_takes(f"250 {number}") == b"%d\r\n" % number
            await session.client.hears(f"250 {number}")
        assert [one.number for one in session.judge.seen] == ["test.1", "test.2", "test.3"]

    played(tmp_path, case)


@pytest.mark.parametrize("answer", ["550 5.1.1 nobody", "452 4.2.2 full", "251 2.1.5 elsewhere"])
def test_the_servers_word_on_a_recipient_is_the_clients(tmp_path: Path, answer: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.exchange("MAIL FROM:<ann@example.net>", "250 fine")
        await session.exchange("RCPT TO:<bob@example.com>", answer)

    played(tmp_path, case)


@pytest.mark.parametrize("answer", ["250 2.0.0 taken", "451 4.3.0 later", "554 5.6.0 no", "552 5.2.2 too much"])
def test_the_final_answer_is_the_clients(tmp_path: Path, answer: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server_takes(answer)
        await session.client.hears(answer)
        await session.envelope()  # and the session goes on

    played(tmp_path, case)


def test_a_final_answer_of_several_lines(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server_takes("550-5.7.1 no\r\n550 5.7.1 and no")
        await session.client.hears("550-5.7.1 no", "550 5.7.1 and no")

    played(tmp_path, case)


def test_a_refusal_of_data_is_the_clients(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server.hears("DATA")
        await session.server.says("554 5.5.1 not now")
        await session.server_forgets()
        await session.client.hears("554 5.5.1 not now")

    played(tmp_path, case)


def test_a_greeting_that_refuses(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.server.says("554 5.7.1 not you")
        await session.client.hears("554 5.7.1 not you")
        await session.exchange("QUIT", "221 bye")

    played(tmp_path, case)


def test_a_greeting_that_sends_away(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.server.says("421 4.3.2 full")
        await session.client.hears("421 4.3.2 full")
        await session.client.hears_end()

    played(tmp_path, case)


def test_helo(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.server.says("220 hello")
        await session.client.hears("220 hello")
        await session.exchange("HELO client.example.net", "250 mail.example.com")
        await session.envelope()

    played(tmp_path, case)


@pytest.mark.parametrize("line", ["NOOP", "VRFY bob", "EXPN staff", "HELP"])
def test_what_carries_nothing_is_passed(tmp_path: Path, line: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.exchange(line, "252 2.5.0 perhaps")

    played(tmp_path, case)


def test_rset_forgets(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.exchange("RSET", "250 2.0.0 forgotten")
        await session.client.says("DATA")
        await session.client.hears_code(503)

    played(tmp_path, case)


def test_ehlo_forgets(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.exchange("EHLO again.example.net", "250 mail.example.com")
        await session.client.says("RCPT TO:<bob@example.com>")
        await session.client.hears_code(503)

    played(tmp_path, case)


def test_authentication_is_between_client_and_server(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        assert await session.greet("AUTH PLAIN LOGIN") == ["AUTH PLAIN LOGIN"]
        await session.exchange("AUTH LOGIN", "334 VXNlcm5hbWU6")
        await session.exchange("YW5u", "334 UGFzc3dvcmQ6")
        await session.exchange("c2VjcmV0", "235 2.7.0 welcome")
        await session.envelope()
        await session.content()
        await session.server_takes("250 ok")
        await session.client.hears("250 ok")
        assert session.judge.seen[0].client.authenticated

    played(tmp_path, case)


# The order


@pytest.mark.parametrize(
    ("line", "code"), [("RCPT TO:<bob@example.com>", 503), ("DATA", 503)], ids=["recipient", "content"]
)
def test_nothing_before_mail(tmp_path: Path, line: str, code: int) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.client.says(line)
        await session.client.hears_code(code)

    played(tmp_path, case)


def test_no_content_without_a_recipient(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.exchange("MAIL FROM:<ann@example.net>", "250 fine")
        await session.exchange("RCPT TO:<bob@example.com>", "550 5.1.1 nobody")
        await session.client.says("DATA")
        await session.client.hears_code(554)

    played(tmp_path, case)


def test_no_mail_in_mail(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.client.says("MAIL FROM:<eve@example.net>")
        await session.client.hears_code(503)

    played(tmp_path, case)


# Lines


@pytest.mark.parametrize(
    "octets",
    [b"NOOP\n", b"NO\rOP\r\n", b"NOOP \0\r\n", b"NOOP\r\r\n", b"\r\n", b"\x16\x03\x01\r\n"],
    ids=["bare LF", "bare CR", "NUL", "two CR", "empty", "TLS"],
)
def test_what_is_no_whole_line_is_refused(tmp_path: Path, octets: bytes) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.client.sends(octets)
        await session.client.hears_code(500)
        await session.exchange("NOOP", "250 here")

    played(tmp_path, case)


@pytest.mark.parametrize("length", [3_000, 20_000, 200_000])
def test_a_line_that_is_too_long_is_refused_whole(tmp_path: Path, length: int) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.client.sends(b"NOOP " + b"x" * length + b"\r\n")
        await session.client.hears_code(500)
        await session.exchange("NOOP", "250 here")

    played(tmp_path, case)


def test_a_run_of_blanks_does_not_keep_the_others_waiting() -> None:
    line = b"AUTH x" + b" " * words.LONGEST_AUTH_LINE + b"x\r\n"
    begun = time.process_time()
    assert words.parse_command(line) == words.Command("AUTH", line[5:-2], line)
    assert time.process_time() - begun < 0.1  # seconds; a pattern that goes back and forth needs some


@pytest.mark.parametrize("line", ["XCLIENT ADDR=192.0.2.1", "XFORWARD NAME=x", "ETRN example.com", "TURN", "GET / x"])
def test_what_the_proxy_cannot_read_is_refused(tmp_path: Path, line: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.client.says(line)
        await session.client.hears_code(502)

    played(tmp_path, case)


@pytest.mark.parametrize(
    "line",
    ["MAIL FROM:ann@example.net", "MAIL <ann@example.net>", "MAIL FROM:<a b@example.net>", "RCPT TO:<>", "RCPT bob"],
)
def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path, line: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.client.says(line)
        await session.client.hears_code(501)

    played(tmp_path, case)


@pytest.mark.parametrize(
    ("line", "sender"),
    [
        ("MAIL FROM:<>", ""),
        ("mail from: <ann@example.net> SIZE=10 BODY=8BITMIME", "ann@example.net"),
        ('MAIL FROM:<"a> b"@example.net>', '"a> b"@example.net'),
        ("MAIL FROM:<@relay.example.org:ann@example.net>", "ann@example.net"),
        ("MAIL FROM:<jörg@bücher.example> SMTPUTF8", "jörg@bücher.example"),
    ],
    ids=["null", "parameters", "quoted", "source route", "SMTPUTF8"],
)
def test_senders_of_every_kind(tmp_path: Path, line: str, sender: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet("8BITMIME", "SMTPUTF8", "SIZE 1000")
        await session.exchange(line, "250 fine")
        await session.exchange("RCPT TO:<bob@example.com>", "250 fine")
        await session.content()
        await session.server_takes("250 ok")
        await session.client.hears("250 ok")
        assert session.judge.seen[0].sender == sender

    played(tmp_path, case)


def test_who_errs_too_often_is_sent_away(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        for _ in range(QUICK.mistakes):
            await session.client.says("NONSENSE")
            await session.client.hears_code(502)
        await session.client.says("NONSENSE")
        await session.client.hears_code(421)
        await session.client.hears_end()

    played(tmp_path, case)


def test_commands_in_one_packet_are_answered_in_order(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet("PIPELINING")
        await session.client.says("MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.com>", "RCPT TO:<x@example.com>")
        await session.client.says("DATA")
        for line, answer in (
            ("MAIL FROM:<ann@example.net>", "250 sender"),
            ("RCPT TO:<bob@example.com>", "250 bob"),
            ("RCPT TO:<x@example.com>", "550 nobody"),
        ):
            await session.server.hears(line)
            await session.server.says(answer)
            await session.client.hears(answer)
        await session.client.hears_code(354)
        await session.client.sends(HELLO + b".\r\nQUIT\r\n")
        assert await session.server_takes("250 ok") == HELLO
        await session.client.hears("250 ok")
        await session.server.hears("QUIT")

    played(tmp_path, case)


@pytest.mark.parametrize(
    ("extension", "lines"),
    [
        ("PIPELINING", ["DATA", "Subject: hello"]),
        ("PIPELINING", ["EHLO client.example.net", "MAIL FROM:<ann@example.net>"]),
        ("8BITMIME", ["RSET", "NOOP"]),
    ],
    ids=["DATA", "EHLO", "no offer"],
)
def test_who_does_not_wait_for_a_reply_is_sent_away(tmp_path: Path, extension: str, lines: list[str]) -> None:
    async def case(session: Talk) -> None:
        await session.greet(extension)
        await session.envelope()
        await session.client.says(*lines)
        await session.client.hears_code(554)
        await session.client.hears_end()
        await session.server.hears_end()

    played(tmp_path, case)


def test_a_client_that_ends_after_its_quit_has_its_message_delivered(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet("PIPELINING")
        await session.envelope()
        await session.client.says("DATA")
        await session.client.hears_code(354)
        await session.client.sends(HELLO + b".\r\nQUIT\r\n")
        session.client.writer.write_eof()
        assert await session.server_takes("250 ok") == HELLO
        await session.server.hears("QUIT")

    played(tmp_path, case)


# Extensions


def test_unknown_extensions_are_not_shown(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        offered = ["PIPELINING", "SIZE 50", "CHUNKING", "BINARYMIME", "XCLIENT NAME ADDR", "XFORWARD NAME", "X-NEW"]
        offered += [
            "8BITMIME",
            "SMTPUTF8",
            "AUTH=LOGIN",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "STARTTLS",
            "ETRN",
            "LIMITS X=1",
        ]
        shown = await session.greet(*offered)
        assert shown == ["PIPELINING", "SIZE 50", "8BITMIME", "SMTPUTF8", "AUTH=LOGIN", "ENHANCEDSTATUSCODES", "DSN"]

    played(tmp_path, case)


@pytest.mark.parametrize(("theirs", "shown"), [("SIZE", 100_000), ("SIZE 0", 100_000), ("SIZE 999999999", 100_000)])
def test_no_size_above_our_own_is_shown(tmp_path: Path, theirs: str, shown: int) -> None:
    async def case(session: Talk) -> None:
        assert await session.greet(theirs) == [f"SIZE {shown}"]

    played(tmp_path, case)


@pytest.mark.parametrize("word", ["", " LAST"])
def test_bdat_is_refused_and_its_content_thrown_away(tmp_path: Path, word: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        hidden = b"\r\nMAIL FROM:<eve@example.net>\r\n"
        await session.client.sends(b"BDAT %d%s\r\n%sNOOP\r\n" % (len(hidden), word.encode(), hidden))
        await session.client.hears_code(502)
        await session.server.hears("NOOP")

    played(tmp_path, case)


@pytest.mark.parametrize("count", ["", "many", "99999999999999999999", "-1"])
def test_bdat_of_no_known_length_ends_the_session(tmp_path: Path, count: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.client.says(f"BDAT {count}")
        await session.client.hears_code(421)
        await session.client.hears_end()

    played(tmp_path, case)


def test_binarymime_is_refused(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.client.says("MAIL FROM:<ann@example.net> BODY=BINARYMIME")
        await session.client.hears_code(555)

    played(tmp_path, case)


# Limits


def test_a_size_that_is_too_large_is_refused_at_once(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet("SIZE")
        await session.client.says("MAIL FROM:<ann@example.net> SIZE=100001")
        await session.client.hears_code(552)

    played(tmp_path, case)


def test_a_message_that_is_too_large_never_reaches_the_server(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content(b"x\r\n" * 40_000)
        await session.server_forgets()
        await session.client.hears_code(552)
        assert session.judge.seen == []
        await session.envelope()

    played(tmp_path, case)


def test_recipients_have_a_limit(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope(*(f"{number}@example.com" for number in range(QUICK.recipients)))
        await session.client.says("RCPT TO:<more@example.com>")
        await session.client.hears_code(452)

    played(tmp_path, case)


def test_who_is_treated_otherwise_gets_a_message_of_their_own(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope("bob@example.com")
        await session.client.says("RCPT TO:<ann@example.net>")
        await session.client.hears_code(452)
        await session.exchange("RCPT TO:<eve@example.com>", "250 fine")

    played(tmp_path, case)


def test_a_silent_client_is_sent_away(tmp_path: Path) -> None:
    async def run() -> None:
        async with talk(tmp_path, limits=replace(QUICK, command=0.1)) as session:
            await session.greet()
            await session.client.hears_code(421)
            await session.client.hears_end()
            await session.server.hears_end()

    asyncio.run(run())


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    async def run() -> None:
        async with talk(tmp_path, limits=replace(QUICK, reply=0.2)) as session:
            await session.greet()
            await session.client.says("MAIL FROM:<ann@example.net>")
            await session.client.hears_code(421)
            await session.client.hears_end()

    asyncio.run(run())


def test_a_final_answer_that_never_comes(tmp_path: Path) -> None:
    async def run() -> None:
        async with talk(tmp_path, limits=replace(QUICK, answer=0.1)) as session:
            await session.greet()
            await session.envelope()
            await session.content()
            await session.server.hears("DATA")
            await session.server.says("354 go ahead")
            await session.server.message()
            await session.client.hears_code(LOST)
            await session.server.hears_end()

    asyncio.run(run())


def test_judging_that_takes_too_long_defers(tmp_path: Path) -> None:
    async def run() -> None:
        judge = FakeJudge(before=lambda: asyncio.sleep(60))
        async with talk(tmp_path, judge, limits=replace(QUICK, judging=0.1)) as session:
            await session.greet()
            await session.envelope()
            await session.content()
            await session.server_forgets()
            await session.client.hears_code(451)

    asyncio.run(run())


# Content


@pytest.mark.parametrize(
    ("sent", "stored", "passed"),
    [
        (b"..\r\n", b".\r\n", b"..\r\n"),
        (b"..x\r\n...\r\n", b".x\r\n..\r\n", b"..x\r\n...\r\n"),
        (b".x\r\n", b"x\r\n", b"x\r\n"),
        (b"", b"", b""),
        (b"\r\n", b"\r\n", b"\r\n"),
        (b"a\nb\r\n", b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n", b"a b\r\n", b"a b\r\n"),
        (b"a\n.\nb\r\n", b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\n.\r\nb\r\n", b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\r\n.\nb\r\n", b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"a\r\n.\rb\r\n", b"a\r\n b\r\n", b"a\r\n b\r\n"),
        (b"a\r.\r\nb\r\n", b"a .\r\nb\r\n", b"a .\r\nb\r\n"),
        (b"a\n..\r\nb\r\n", b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"\xff\xfe8-bit \xc3\xa9\r\n", b"\xff\xfe8-bit \xc3\xa9\r\n", b"\xff\xfe8-bit \xc3\xa9\r\n"),
    ],
)
@pytest.mark.parametrize("slowly", [False, True], ids=["at once", "by octets"])
def test_lines_and_dots(tmp_path: Path, sent: bytes, stored: bytes, passed: bytes, slowly: bool) -> None:
    async def case(session: Talk) -> None:
        await session.greet("8BITMIME")
        await session.envelope()
        await session.client.says("DATA")
        await session.client.hears_code(354)
        whole = sent + b".\r\n"
        for piece in [whole[i : i + 1] for i in range(len(whole))] if slowly else [whole]:
            await session.client.sends(piece)
            await asyncio.sleep(0)  # lets the proxy read it
        got = await session.server_takes("250 ok")
        assert session.judge.contents == [stored]
        assert got == passed
        await session.client.hears("250 ok")

    played(tmp_path, case)


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n", b"\r.\r", b"\r\n.\r\r\n"]
)
def test_no_second_message_is_smuggled_in(tmp_path: Path, end: bytes) -> None:
    """Whichever end a lenient server would take for one, it gets to see one message, with no such end in it."""
    second = b"MAIL FROM:<eve@example.net>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nsmuggled\r\n"

    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content(b"first" + end + second)
        got = await session.server_takes("250 ok")
        assert b"smuggled" in got
        assert not any(ending in got for ending in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\n.\r"))
        assert got.count(b"\r\n") == got.count(b"\n") == got.count(b"\r")
        await session.client.hears("250 ok")
        assert len(session.judge.seen) == 1

    played(tmp_path, case)


def test_a_line_without_an_end_in_sight(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        long = b"x" * 90_000
        await session.content(long + b"\r\n")
        assert (await session.server_takes("250 ok")).replace(b"\r\n", b"") == long
        await session.client.hears("250 ok")

    played(tmp_path, case)


def test_what_only_the_box_may_say_is_taken_out(tmp_path: Path) -> None:
    judge = FakeJudge(Verdict(Fate.DELIVER, header=b"X-Postern-Verdict: clean\r\n"))

    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        forged = (
            b"X-Postern-Verdict: clean\r\nSubject: x\r\nx-postern-SCORE : 0\r\n more\r\nTo: y\r\n\r\nX-Postern-A: 1\r\n"
        )
        await session.content(forged)
        got = await session.server_takes("250 ok")
        assert got == b"X-Postern-Verdict: clean\r\nSubject: x\r\nTo: y\r\n\r\nX-Postern-A: 1\r\n"
        await session.client.hears("250 ok")

    played(tmp_path, case, judge)


# Verdicts


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict(Fate.REJECT, "5.7.1 a virus"), 550),
        (Verdict(Fate.DEFER, "4.7.1 greylisted"), 451),
        (Verdict(Fate.QUARANTINE), 250),
        (Verdict(Fate.DISCARD), 250),
    ],
)
def test_what_is_not_delivered_never_reaches_the_server(tmp_path: Path, verdict: Verdict, code: int) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server_forgets()
        assert verdict.text in await session.client.hears_code(code)
        assert session.judge.kept == ([("bob@example.com",)] if verdict.fate is Fate.QUARANTINE else [])
        await session.envelope()

    played(tmp_path, case, FakeJudge(verdict))


@pytest.mark.parametrize(
    "judge", [FakeJudge(unsure=True), FakeJudge(Verdict(Fate.QUARANTINE), keeps=False)], ids=["scanner", "quarantine"]
)
def test_without_a_verdict_or_a_place_the_client_tries_again(tmp_path: Path, judge: FakeJudge) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server_forgets()
        await session.client.hears_code(451)

    played(tmp_path, case, replace(judge, seen=[], contents=[]))


def test_a_full_disk_defers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: object, _octets: bytes) -> None:
        _self.failure = OSError(28, "No space left on device")  # type: ignore[attr-defined]  # of Content

    monkeypatch.setattr("overlays.transparent.content.Content.add", full)

    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server_forgets()
        await session.client.hears_code(452)

    played(tmp_path, case)


# Who is cut off when


@pytest.mark.parametrize("stage", ["greeting", "hello", "envelope", "start of content", "middle of content"])
def test_a_client_that_goes_before_the_end_of_its_message(tmp_path: Path, stage: str) -> None:
    async def case(session: Talk) -> None:
        if stage != "greeting":
            await session.greet()
        if stage not in ("greeting", "hello"):
            await session.envelope()
        if "content" in stage:
            await session.client.says("DATA")
            await session.client.hears_code(354)
        if stage == "middle of content":
            await session.client.sends(HELLO)
        session.client.hang_up()
        if stage == "greeting":
            await session.server.says("220 hello")
        await session.server.hears_end()
        await session.until_over()
        assert session.judge.seen == []

    played(tmp_path, case)


@pytest.mark.parametrize("fate", [Fate.DELIVER, Fate.QUARANTINE])
def test_a_client_that_goes_while_its_message_is_judged_has_nothing_done(tmp_path: Path, fate: Fate) -> None:
    async def case(session: Talk) -> None:
        async def goes() -> None:
            session.client.hang_up()
            await asyncio.sleep(0.05)

        session.judge.before = goes
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server.hears_end()
        assert session.judge.kept == []

    played(tmp_path, case, FakeJudge(Verdict(fate)))


def test_a_client_that_goes_while_its_message_is_sent_has_it_broken_off(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server.hears("DATA")
        session.client.hang_up()
        await asyncio.sleep(0.05)
        await session.server.says("354 go ahead")
        await session.server.hears_end()

    played(tmp_path, case)


@pytest.mark.parametrize("stage", ["greeting", "hello", "sender", "recipient"])
def test_a_server_that_goes_in_the_dialogue(tmp_path: Path, stage: str) -> None:
    async def case(session: Talk) -> None:
        if stage != "greeting":
            await session.greet()
        said = {"hello": "EHLO x", "sender": "MAIL FROM:<a@b.example>", "recipient": "RCPT TO:<bob@example.com>"}
        if stage == "recipient":
            await session.exchange("MAIL FROM:<ann@example.net>", "250 fine")
        if stage != "greeting":
            await session.client.says(said[stage])
            await session.server.hears(said[stage])
        session.server.close()
        await session.client.hears_code(421)
        await session.client.hears_end()

    played(tmp_path, case)


@pytest.mark.parametrize("stage", ["before", "DATA", "content", "end"])
def test_a_server_that_goes_with_the_message_leaves_it_to_the_client(tmp_path: Path, stage: str) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        if stage == "before":
            session.server.hang_up()
        await session.content()
        if stage != "before":
            await session.server.hears("DATA")
        if stage == "content":
            await session.server.says("354 go ahead")
            await session.server.line()
        if stage == "end":
            await session.server.says("354 go ahead")
            await session.server.message()
        session.server.hang_up()
        await session.client.hears_code(LOST)
        await session.client.says("NOOP")
        await session.client.hears_code(421)
        await session.client.hears_end()
        assert len(session.judge.seen) == 1

    played(tmp_path, case)


def test_a_server_that_goes_before_a_refusal_changes_nothing_of_it(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        session.server.hang_up()
        await session.content()
        await session.client.hears_code(550)

    played(tmp_path, case, FakeJudge(Verdict(Fate.REJECT)))


def test_a_server_that_talks_out_of_turn_is_left(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.server.says("250 nobody asked")
        await asyncio.sleep(0.05)
        await session.client.says("NOOP")
        await session.client.hears_code(421)
        await session.client.hears_end()

    played(tmp_path, case)


@pytest.mark.parametrize("words", ["hello", "99 x", "250-a\r\n25 b", "x" * 5000, "250-x\r\n" * 300])
def test_a_server_that_does_not_speak_smtp_is_left(tmp_path: Path, words: str) -> None:
    async def case(session: Talk) -> None:
        await session.server.says(words)
        await session.client.hears_code(421)
        await session.client.hears_end()

    played(tmp_path, case)


def test_a_server_that_is_gone_still_lets_the_client_quit(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        session.server.hang_up()
        await session.client.says("QUIT")
        await session.client.hears_code(221)

    played(tmp_path, case)


# The proxy stops


def test_a_waiting_session_ends_when_the_proxy_stops(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        session.dialogue.leave()
        await session.client.hears_code(421)
        await session.client.hears_end()

    played(tmp_path, case)


def test_a_message_under_way_is_finished_when_the_proxy_stops(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet()
        await session.envelope()
        await session.content()
        await session.server.hears("DATA")
        session.dialogue.leave()
        await session.server.says("354 go ahead")
        assert await session.server.message() == HELLO
        await session.server.says("250 taken")
        await session.client.hears("250 taken")
        await session.client.hears_code(421)

    played(tmp_path, case)


# Encryption


@pytest.mark.parametrize("starttls", [Starttls.STRIP, Starttls.TERMINATE])
def test_no_encryption_is_offered_that_cannot_be_had(tmp_path: Path, starttls: Starttls) -> None:
    async def case(session: Talk) -> None:
        assert await session.greet("STARTTLS") == []
        await session.client.says("STARTTLS")
        await session.client.hears_code(502)

    played(tmp_path, case, starttls=starttls)


def test_encryption_passed_through_is_not_read(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        assert await session.greet("STARTTLS", "CHUNKING") == ["STARTTLS"]
        await session.exchange("STARTTLS", "220 go ahead")
        await session.client.sends(b"\x16\x03\x01 anything\n")
        await session.server.hears("\x16\x03\x01 anything\n")
        await session.server.says("BDAT whatever")
        await session.client.hears("BDAT whatever")
        session.client.close()
        await session.server.hears_end()
        session.server.close()
        await session.until_over()

    played(tmp_path, case, starttls=Starttls.PASS)


def test_encryption_that_the_server_refuses_stays_plain(tmp_path: Path) -> None:
    async def case(session: Talk) -> None:
        await session.greet("STARTTLS")
        await session.exchange("STARTTLS", "454 4.7.0 not now")
        await session.envelope()

    played(tmp_path, case, starttls=Starttls.PASS)
