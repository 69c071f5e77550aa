"""What of a message may be looked at."""

from __future__ import annotations

import pytest

from overlays.quarantine import view
from overlays.quarantine.view import View

HEAD = b"From: eve@outside.example\r\nMIME-Version: 1.0\r\n"


def html_of(text: str) -> str:
    found = view.of(HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + text.encode())
    assert found.text is None
    return str(found.html)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>hit()</script>",
        "<style>p { background: url(http://x/hit) }</style>",
        "<img src='http://x/hit' onerror='hit()'>",
        "<p onclick='hit()' style='background: url(//x/hit)' class='hit' id='hit'></p>",
        "<a href='javascript:hit()'></a>",
        "<a href='http://x/hit'></a>",
        "<form action='/hit'><input name='hit'><button>",
        "<svg onload=hit()><script>hit()</script></svg>",
        "<math><mtext><table><mglyph><style><img src=x onerror=hit()>",
        "<iframe srcdoc='<script>hit()</script>'></iframe>",
        "<object data='hit'></object><embed src='hit'>",
        "<meta http-equiv=refresh content='0; url=http://x/hit'><base href='//hit'><link href='hit'>",
        "<noscript><p title='</noscript><img src=x onerror=hit()>'>",
        "<table background='http://x/hit'><td background='hit'>",
        "<!--[if IE]><script>hit()</script><![endif]-->",
        "<video poster=hit><audio src=hit><body background=hit>",
    ],
)
def test_of_html_nothing_is_left_that_does_anything(hostile: str) -> None:
    shown = html_of(f"<p>before</p>{hostile}<p>after</p>")
    assert "before" in shown
    assert "hit" not in shown.replace("&lt;img src=x onerror=hit()&gt;", "")
    assert "<img" not in shown


def test_layout_stays() -> None:
    assert html_of("<table><tr><td><b>bold</b> <u>ü</u></td></tr></table>").count("<b>bold</b> <u>ü</u>") == 1


def test_text_is_preferred_and_attachments_are_named() -> None:
    lines = [
        "Content-Type: multipart/mixed; boundary=m\n\n--m",
        "Content-Type: multipart/alternative; boundary=a\n\n--a",
        "Content-Type: text/html\n\n<b>html</b>\n--a",
        "Content-Type: text/plain\n\n<plain>\n--a--\n--m",
        'Content-Type: application/zip\nContent-Disposition: attachment; filename="bill\x01.zip"\n\nPK\n--m--\n',
    ]
    raw = HEAD + "\n".join(lines).replace("\n", "\r\n").encode()
    shown = view.of(raw)
    assert (shown.text or "").strip() == "<plain>"
    assert shown.html is None
    assert shown.attachments == ("bill .zip",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"no header at all",
        HEAD + b"Content-Type: text/plain; charset=no-such\r\n\r\n\xff\xfe",
        HEAD + b"Content-Type: multipart/mixed\r\n\r\n--x\r\n",
        HEAD + b'Content-Type: text/html; charset="\x00"\r\n\r\n<p>hi',
        HEAD + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n=====\r\n",
        HEAD + b"Content-Type: " + b"message/rfc822\r\n\r\nContent-Type: " * 200,
        HEAD + b"From: =?utf-8?q?=?= <\r\n\tContent-Disposition: attachment; filename*=x'y'%zz\r\n\r\n",
    ],
)
def test_what_is_malformed_is_shown_all_the_same(raw: bytes) -> None:
    assert isinstance(view.of(raw), View)


def test_a_large_message_is_cut() -> None:
    assert view.of(HEAD + b"\r\n" + b"x" * (3 << 20)).cut
