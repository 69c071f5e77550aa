"""The quarantine: how long it keeps a message."""

from __future__ import annotations

from pydantic import Field

from hardware.host.documents import Frozen


class QuarantineSettings(Frozen):
    """What the quarantine keeps. What is spam to whom is decided by `filtering`."""

    retention_days: int = Field(14, ge=1, le=365, description="messages that are older are deleted")
