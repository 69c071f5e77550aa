"""How strong a password is: zxcvbn's estimate of how often an attacker has to guess."""

from __future__ import annotations

from bisect import bisect

from zxcvbn_rs_py import zxcvbn

# Powers of ten of guesses, as zxcvbn grades them.
_GRADES = (3, 6, 8, 10)
_WORDS = ("very weak", "weak", "fair", "good", "strong")
_FEWEST = 6
_OURS = ["admin", "administrator", "postern", "mail", "gateway"]
_LONGEST = 72  # characters that are looked at: the time grows faster than the length


def remark(password: str) -> str:
    """How strong it is, as a sentence that does not repeat it."""
    power, why = _judged(password)
    return f"Strength: {_WORDS[bisect(_GRADES, power)]}. It takes about 10^{power:.0f} guesses.{why}"


def weakness(password: str) -> str:
    """Why it is too weak where somebody may try by the network, as a sentence; empty when it will do."""
    power, why = _judged(password)
    return "" if power >= _FEWEST else f"The password is guessed within a million tries.{why}"


def _judged(password: str) -> tuple[float, str]:
    """The guesses as a power of ten, and what makes them few."""
    found = zxcvbn(password[:_LONGEST], _OURS)
    return found.guesses_log10, f" {found.feedback.warning}" if found.feedback and found.feedback.warning else ""
