"""How a message goes on: what is added to it, what is left out, what is marked."""

from __future__ import annotations

from pathlib import Path

import pytest

from overlays.transparent.content import Content


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        (
            b"From: a\r\nsubject:  x\r\n y\r\n\r\nSubject: z\r\n",
            b"From: a\r\nSubject: [S] x\r\n y\r\n\r\nSubject: z\r\n",
        ),
        (b"From: a\r\n\r\nSubject: z\r\n", b"Subject: [S]\r\nFrom: a\r\n\r\nSubject: z\r\n"),
        (b"\r\nSubject: z\r\n", b"Subject: [S]\r\n\r\nSubject: z\r\n"),
        (b"X-Postern-Verdict: no\r\n virus\r\nSubject: x\r\n\r\n", b"Subject: [S] x\r\n\r\n"),
    ],
    ids=["a subject", "none", "no header", "ours are forged"],
)
def test_a_mark_stands_before_the_subject(tmp_path: Path, came: bytes, goes: bytes) -> None:
    content = Content(tmp_path, 1000)
    content.add(came)
    content.complete()
    assert b"".join(content.outgoing(b"X-Spam: Yes\r\n", "[S]")) == b"X-Spam: Yes\r\n" + goes + b".\r\n"


def test_a_field_for_the_log_is_short_and_on_one_line(tmp_path: Path) -> None:
    content = Content(tmp_path, 10_000)
    content.add(b"From: x\r\nsubject: Good\r\n morning " + b"x" * 400 + b"\r\n\r\nMessage-ID: <in the text>\r\n")
    content.complete()
    assert content.field("Subject") == f"Good morning {'x' * 287}"
    assert content.field("Message-ID") == ""
    content.close()
