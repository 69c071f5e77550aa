"""A message as it may be looked at: text, or HTML without anything that acts or comes from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from email import message_from_bytes
from email import policy as email_policy
from email.message import EmailMessage

import nh3

from overlays.header import plain

_MOST_BYTES = 2 << 20  # of a message; what comes after is not shown
# No link, picture, form or style: what is left is text and how it is laid out.
_TAGS = {
    *("b", "blockquote", "br", "center", "code", "dd", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("hr", "i", "li", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "sup"),
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul"),
}


@dataclass(frozen=True)
class View:
    """What is shown: plain text, or else harmless HTML; and the names of what was attached."""

    text: str | None
    html: str | None
    attachments: tuple[str, ...] = ()
    cut: bool = False


def of(raw: bytes) -> View:
    """What there is to see. A message that Python's parser cannot read is shown as it came."""
    part = raw[:_MOST_BYTES]
    cut = len(raw) > len(part)
    try:
        parsed = message_from_bytes(part, policy=email_policy.default)
        if not isinstance(parsed, EmailMessage):
            raise ValueError("not a message")
        names = tuple(plain(one.get_filename() or one.get_content_type()) for one in parsed.iter_attachments())
        body = parsed.get_body(("plain", "html"))
        if body is None:
            return View("", None, names, cut)
        content = str(body.get_content())
        if body.get_content_subtype() == "html":
            return View(None, nh3.clean(content, tags=_TAGS, attributes={}), names, cut)
        return View(content, None, names, cut)
    except Exception:  # hostile input meets a parser of many parts: whatever it raises, the message can be seen
        return View(part.decode("utf-8", "replace"), None, (), cut)
