"""Headers read, added and taken away; every other byte stays."""

from __future__ import annotations

import pytest

from overlays.quarantine import message
from overlays.quarantine.policy import Judgement

BODY = b"\r\n\r\nline \xff\r\n.\r\nX-Postern-Score: 99\r\n"
RAW = (
    b"From: Ann <Ann@Example.com>\r\nSubject: hello\r\n  there\r\nX-Postern-Score: 6.50\r\nX-Postern-Verdict: spam"
    + BODY
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"X-Postern-Score: 6.5", Judgement(6.5)),
        (b"x-postern-score:-3.10", Judgement(-3.1)),
        (b"X-Postern-Score: -100\r\nX-Postern-Score: 20.00", Judgement(20)),
        (b"X-Postern-Score: 20\r\nX-Postern-Score: nan", Judgement(20)),
        (b"X-Postern-Score: inf\r\nX-Postern-Score: 1e9", Judgement(0)),
        (b"X-Postern-Verdict: clean\r\nX-Postern-Verdict: virus", Judgement(0, virus=True)),
        (b"Subject: X-Postern-Score: 9", Judgement(0)),
        (b"Subject: x\r\n X-Postern-Score: 9", Judgement(0)),
    ],
)
def test_what_the_filter_says(header: bytes, expected: Judgement) -> None:
    assert message.judgement(header + BODY) == expected


def test_fields_are_added_in_place_of_forged_ones() -> None:
    forged = b"X-Postern-Recipient: eve@example.com\r\n" + RAW
    made = message.with_fields(forged, [(message.RECIPIENT, "ann@example.com")])
    assert made == b"X-Postern-Recipient: ann@example.com\r\n" + RAW


def test_a_kept_message_is_released_as_it_came() -> None:
    notes = [(message.RECIPIENT, "ann@example.com"), (message.SENDER, ""), (message.KIND, "spam")]
    stored = b"Return-Path: <>\r\nDelivered-To: ann@example.com\r\n" + message.with_fields(RAW, notes)
    assert message.values(stored, message.SENDER) == [""]
    assert message.released(stored) == RAW


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: hello\r\n there", b"Subject: [SPAM] hello\r\n there"),
        (b"SUBJECT:x", b"Subject: [SPAM] x"),
        (b"Subject: =?utf-8?q?=C3=A9?=", b"Subject: [SPAM] =?utf-8?q?=C3=A9?="),
        (b"To: a@example.com", b"Subject: [SPAM]\r\nTo: a@example.com"),
        (b"To: a@example.com\r\nSubject:", b"To: a@example.com\r\nSubject: [SPAM] "),
    ],
)
def test_the_mark_stands_before_the_subject(before: bytes, after: bytes) -> None:
    assert message.marked(before + BODY, "[SPAM]") == after + BODY


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"Subject: =?utf-8?q?caf=C3=A9?= x", "café x"),
        (b"Subject: =?utf-8?b?PHNjcmlwdD4=?=", "<script>"),
        (b"Subject: =?nonsense?q?caf=C3=A9?=", "=?nonsense?q?caf=C3=A9?="),
        (b"Subject: =?utf-8?q?a=0D=0AX-Evil:_b?=", "a  X-Evil: b"),
        (b"Subject: caf\xe9", "caf�"),
        (b"Subject: a\r\n\tb", "a b"),
        (b"X: y", ""),
    ],
)
def test_a_header_as_a_person_reads_it(header: bytes, text: str) -> None:
    assert message.readable(header + BODY, "Subject") == text


def test_the_author_is_the_address_of_from() -> None:
    assert message.author(RAW) == "ann@example.com"
    assert message.author(b"To: x" + BODY) == ""


@pytest.mark.parametrize(
    ("received", "client"),
    [
        (b"from a.example (unknown [192.0.2.7])\r\n\tby mx1", "192.0.2.7"),
        (b"from a.example (b.example [IPv6:2001:db8::7]) by mx1", "2001:db8::7"),
        (b"from [10.0.0.1] (unknown [192.0.2.7]) by mx1", "192.0.2.7"),
        (b"by mx1 (Postfix, from userid 0)", "None"),
    ],
)
def test_the_client_is_the_one_that_postfix_saw(received: bytes, client: str) -> None:
    forged = b"Received: from x (y [198.51.100.1]) by z\r\n"
    origin = message.origin(b"Received: " + received + b"\r\n" + forged + RAW, "Bounce@Lists.example")
    assert str(origin.client) == client
    assert origin.addresses == ("bounce@lists.example", "ann@example.com")


@pytest.mark.parametrize(
    ("trace", "number"),
    [
        (
            "from x (y [192.0.2.7])\r\n\tby mx1.x.org (Postfix) with ESMTPS id 4jZ1jB4YZqz1jZf\r\n\tfor <a@b>; now",
            "4jZ1jB4YZqz1jZf",
        ),
        ("from x (unknown [192.0.2.7])\r\n\tby filter.example.org with SMTP id 0123456789.1; now", "0123456789.1"),
        ("from mx1 ([unix:])\r\n\tby mx1.example.org with LMTP id aBcDeFgHiJ; now", ""),
        ("from x by y with ESMTP id a>b\r\n\tRCPT; now", ""),
    ],
)
def test_the_number_that_the_box_gave_a_message(trace: str, number: str) -> None:
    assert message.queue_id(f"Received: {trace}\r\n\r\n".encode()) == number
