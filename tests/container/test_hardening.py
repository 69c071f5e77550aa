"""Each daemon that reads what strangers send is confined: by systemd's own measure, at most 4.0 of 10."""

from __future__ import annotations

import re

import pytest

from tests.container.lab import Lab

MOST = 40  # tenths
UNITS = ("nginx.service", "postfix.service", *(f"postern-quarantine{part}.service" for part in ("", "-web", "-daily")))


@pytest.mark.parametrize("unit", UNITS)
def test_exposure(gateway: Lab, unit: str) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST}", "--no-pager", unit]
    done = gateway.box.run(*argv, check=False)
    print(*re.findall(r"Overall exposure level.*", done.stdout))
    assert done.status == 0, done.stdout
