"""What a daemon's parser says reaches the operator: the complaint, not what was printed beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.host.errors import Refused
from installer.apply.check import require_accepted
from overlays.overlay import Check


def complaints(candidate: Path, script: str, *, silent: bool = False) -> list[str]:
    check = Check.model_validate({"argv": ["sh", "-c", script, "sh", "{root}/etc/file"], "silent": silent})
    try:
        require_accepted([check], candidate)
    except Refused as refused:
        return [problem.message for problem in refused.problems]
    return []


@pytest.mark.parametrize(
    ("script", "silent", "said"),
    [
        ("true", False, []),
        ("echo beside >&2", False, []),
        ("echo beside; echo 'wrong: '$1 >&2", True, ["wrong: /etc/file"]),
        ("echo a setting; echo 'wrong: '$1 >&2; exit 1", False, ["wrong: /etc/file"]),
        ("echo wrong; exit 1", False, ["wrong"]),
        ("exit 3", False, ["ended with status 3"]),
        ("seq 9 >&2; exit 1", False, ["7 / 8 / 9"]),
    ],
)
def test_the_complaint_is_told(tmp_path: Path, script: str, silent: bool, said: list[str]) -> None:
    assert complaints(tmp_path, script, silent=silent) == said
