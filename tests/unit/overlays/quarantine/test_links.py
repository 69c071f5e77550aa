"""A sealed link does one thing until it expires, and cannot be changed."""

from __future__ import annotations

import base64

import pytest

from overlays.quarantine.links import Act, Link, opened, seal

KEY = b"k" * 32
LINK = Link("ann@example.com", "1795510720.17", Act.RELEASE, 2_000_000_000)
WORD = seal(KEY, LINK)


def test_what_was_sealed_is_opened_until_it_expires() -> None:
    assert opened(KEY, WORD, now=1_999_999_999) == LINK
    assert opened(KEY, WORD, now=2_000_000_001) is None


def test_it_fits_into_a_subject_and_an_address() -> None:
    longest = Link("a" * 64 + "@example.com", "4294967295.4294967295", Act.RELEASE, 2_000_000_000)
    assert len(seal(KEY, longest)) < 250
    assert WORD.replace("-", "").replace("_", "").isalnum()


def test_every_change_of_a_letter_spoils_it() -> None:
    for place, letter in enumerate(WORD[:-1]):
        assert opened(KEY, WORD[:place] + ("A" if letter != "A" else "B") + WORD[place + 1 :]) is None


@pytest.mark.parametrize(
    "word", ["", "x", "....", "ä" * 50, WORD[:-1], WORD + "A" * 4, "=" * 60, base64.b64encode(b"[]").decode()]
)
def test_no_other_word_opens(word: str) -> None:
    assert opened(KEY, word) is None


def test_another_box_has_another_key() -> None:
    assert opened(b"j" * 32, WORD) is None
