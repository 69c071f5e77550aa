from __future__ import annotations

from pathlib import Path

from installer.wizard.turn import holder, turn


def test_one_console_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "run/wizard.lock"
    assert holder(lock) == ""
    with turn(lock, "ttyS0") as mine:
        assert mine
        assert holder(lock) == "ttyS0"
        with turn(lock, "tty1") as second:
            assert not second
        assert holder(lock) == "ttyS0"
    assert holder(lock) == ""
    with turn(lock, "tty1") as mine:
        assert mine
        assert holder(lock) == "tty1"
