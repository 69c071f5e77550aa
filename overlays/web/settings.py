"""The web server: where it leads whoever names no page."""

from __future__ import annotations

from hardware.parts import OperationMode


def home(mode: OperationMode) -> str:
    """The page that a user of the box wants in that mode."""
    return "/webmail/" if mode is OperationMode.SERVER else "/quarantine/"
