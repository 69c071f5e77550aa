"""The box's own screen and keyboard: pictures that QEMU takes of it, read as text, and keys by where they are.

What a character looks like is learnt from the box: it shows a text that is known, and each cell of pixels that stands
for a character of it stands for that character everywhere. Others are read as a question mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.machine.twin import control

if TYPE_CHECKING:
    from tests.machine.twin import Box, Line

_HEIGHT, _PIXEL = 16, 3  # of a cell, and the bytes of a pixel
_VGA_TEXT = 720  # pixels: 80 cells of nine; those of every other picture have eight
_KEYS = {"\r": "ret", "\x1b": "esc", " ": "spc"}
_SWAPPED = str.maketrans("yz", "zy")
ERASE = ("ctrl", "u")


class Glass:
    """What a person sees and presses who sits in front of the box."""

    def __init__(self, box: Box, line: Line) -> None:
        self._control, self._picture = box.folder / "control", box.folder / "screen.ppm"
        self._line = line
        self._letters = {bytes(width * _HEIGHT): " " for width in (8, 9)}

    def learn(self, *texts: str) -> None:
        """Wait until the screen shows texts without a second meaning, each in one row, and learn to read from them."""
        for text in texts:
            self._line.wait_for(lambda text=text: self._learnt(text), f"{text!r} on the screen")  # type: ignore[misc]

    def shows(self, pattern: str) -> str:
        """Wait until the pattern is to be seen; the whole screen."""
        self._line.wait_for(lambda: re.search(pattern, self.text) is not None, f"{pattern!r} on the screen")
        return self.text

    def answer(self, *pairs: tuple[str, str]) -> None:
        """What to wait for, and what to type then on a German keyboard."""
        for pattern, text in pairs:
            self.shows(pattern)
            self.type_german(text)

    @property
    def text(self) -> str:
        rows = ("".join(self._letters.get(cell, "?") for cell in row) for row in self._rows())
        return "\n".join(row.rstrip() for row in rows)

    def press(self, *keys: str | tuple[str, ...]) -> None:
        """Keys by their names on a US keyboard; several at once as a tuple."""
        for key in keys:
            chord = [{"type": "qcode", "data": name} for name in (key if isinstance(key, tuple) else (key,))]
            control(self._control, {"execute": "send-key", "arguments": {"keys": chord}})

    def type_german(self, text: str) -> None:
        """The keys that a text is written on where the keyboard is German: small letters, digits, blank, Enter."""
        self.press(*(_KEYS.get(one, one) for one in text.translate(_SWAPPED)))

    def _learnt(self, text: str) -> bool:
        for row in self._rows():
            for start in range(len(row) - len(text) + 1):
                pairs = set(zip(row[start : start + len(text)], text, strict=True))
                if len(pairs) == len({cell for cell, _ in pairs}) == len(set(text)):
                    self._letters |= dict(pairs)
                    return True
        return False

    def _rows(self) -> Iterator[list[bytes]]:
        """Each row of the screen, a cell a character: a byte for each of its pixels that is not background."""
        control(self._control, {"execute": "screendump", "arguments": {"filename": str(self._picture)}})
        _, size, _, pixels = self._picture.read_bytes().split(b"\n", 3)
        width, height = map(int, size.split())
        line, cell = width * _PIXEL, (9 if width == _VGA_TEXT else 8) * _PIXEL
        for top in range(0, height - _HEIGHT + 1, _HEIGHT):
            band = [pixels[(top + at) * line : (top + at + 1) * line] for at in range(_HEIGHT)]
            yield [_cell([row[left : left + cell] for row in band]) for left in range(0, line - cell + 1, cell)]


def _cell(rows: list[bytes]) -> bytes:
    drawn = b"".join(rows)
    background = drawn[:_PIXEL]
    return bytes(drawn[at : at + _PIXEL] != background for at in range(0, len(drawn), _PIXEL))
