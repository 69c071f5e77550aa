"""Mailboxes: in server mode the users' own, in the other modes the quarantine alone."""

from __future__ import annotations

from pydantic import Field

from hardware.host.documents import Frozen


class MailboxesSettings(Frozen):
    """What holds for every mailbox."""

    quota_mib: int = Field(
        1024, ge=0, le=1024 * 1024, description="room for a user's mail, unless the user has another; 0: no limit"
    )

    @property
    def quota(self) -> str:
        """The room as Dovecot writes it."""
        return f"{self.quota_mib}M" if self.quota_mib else "unlimited"
