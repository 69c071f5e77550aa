"""`postern selftest`: does the box do with mail what its settings say, tried by mail."""

from __future__ import annotations

import argparse

from installer import selftest
from installer.apply.places import Places
from installer.box.change import in_force, open_box
from installer.box.preflight import tell


def main(places: Places, arguments: argparse.Namespace) -> int:
    """The command; its exit status is 2 when anything is red. Raises `Refused`."""
    settings = in_force(open_box(places)).settings
    return tell(selftest.checks(places, settings), as_json=arguments.json)
