from __future__ import annotations

from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.profile import HardwareProfile
from installer.apply.places import Places


@pytest.fixture
def profile() -> HardwareProfile:
    """Four ports, one serial console."""
    return profiles.load("fortimail-100")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "run/postern").mkdir(parents=True)
    return Places(tmp_path)
