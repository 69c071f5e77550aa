"""Who sits at the box's screen, by what the kernel says of processes and their terminals."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.host.keyboard import at_screen, is_screen

TTY1, TTYS0, PTS0, NONE = 0x0401, 0x0440, 0x8800, 0


def made(proc: Path, *terminals: int) -> int:
    """Processes, each started by the one before it, with these terminals; the number of the last."""
    for number, terminal in enumerate(terminals, start=1):
        (proc / str(number)).mkdir()
        stat = f"{number} (a) name) S {number - 1} {number} {number} {terminal} -1 4194560"
        (proc / str(number) / "stat").write_text(stat)
    return len(terminals)


@pytest.mark.parametrize(
    ("terminals", "there"),
    [
        ((NONE, TTY1), True),
        ((NONE, TTY1, TTY1, PTS0), True),  # by sudo
        ((NONE, TTYS0, TTYS0, PTS0), False),
        ((NONE, NONE, PTS0, PTS0), False),  # by SSH
    ],
)
def test_who_sits_at_the_screen(terminals: tuple[int, ...], there: bool, tmp_path: Path) -> None:
    assert at_screen(made(tmp_path, *terminals), tmp_path) is there


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    assert not at_screen(7, tmp_path)


def test_the_screen_by_its_name() -> None:
    assert [is_screen(name) for name in ("tty1", "tty12", "ttyS0", "console", "pts/0", "")] == [
        True,
        True,
        *[False] * 4,
    ]
