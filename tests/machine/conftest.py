"""Boxes, and the search of every log for the tests' passwords."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardware import profile as profiles
from images.tools import Tools
from tests.machine.mail import Server
from tests.machine.twin import PASSWORD, Box

MakeBox = Callable[[str], Box]


@pytest.fixture(scope="module")
def server() -> Server:
    """The protected server. It is away until somebody enters it; its port is known before."""
    return Server()


@pytest.fixture(scope="module")
def box(toolbox: Tools, image: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBox]:
    """Makes boxes fresh from the factory. What they said on their serial lines must not hold the password."""
    boxes: list[Box] = []

    def made(profile: str) -> Box:
        folder = tmp_path_factory.mktemp(profile)
        # As many boxes as there are cores are emulated at once: of two processors each, they wait for one another.
        boxes.append(Box(toolbox, profiles.load(profile), image(profile), folder, cpus=1))
        return boxes[-1]

    yield made
    for one in boxes:
        assert not any(PASSWORD in said for said in one.heard), f"{one.folder}: the password was shown"
