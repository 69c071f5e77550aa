"""Header values for people. A stranger wrote them."""

from __future__ import annotations

from contextlib import suppress
from email.header import decode_header, make_header


def plain(value: str) -> str:
    """A header's value as a person reads it: words decoded, one line, no control characters."""
    text = value
    with suppress(ValueError, LookupError, UnicodeError):  # an encoding that is none: as it came
        text = str(make_header(decode_header(value)))
    return "".join(character if character.isprintable() else " " for character in text).strip()
