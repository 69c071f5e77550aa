"""The box as a mail host: its name, and the limits of its mail server."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from hardware.host.documents import Frozen
from overlays.values import DomainName, HostLabel, MailAddress, Reason

MIB = 1024 * 1024
LONGEST_NAME = 64  # what a certificate's common name and the kernel's node name can hold


class MailhostSettings(Frozen):
    """Who the box is to other mail hosts."""

    host_name: HostLabel = Field(description="the box's name without its domain")
    local_domain: DomainName = Field(description="the domain of the box itself")
    postmaster: MailAddress | None = Field(
        None,
        description="who reads mail to the box's own postmaster, and what the mail server reports; "
        "without it such mail is refused",
    )
    message_size_mib: int = Field(
        50, ge=1, le=1024, description="the largest message, as sent: attachments grow by a third on the way"
    )

    @property
    def fqdn(self) -> str:
        return f"{self.host_name}.{self.local_domain}"

    @property
    def message_size_bytes(self) -> int:
        return self.message_size_mib * MIB

    @property
    def queue_free_bytes(self) -> int:
        """With less room than this in the queue no message is taken: two of the largest have to fit."""
        return max(2 * self.message_size_bytes, 64 * MIB)

    @property
    def notices(self) -> str:
        """What the mail server reports to the postmaster; nothing when there is none."""
        return "resource, software" if self.postmaster else ""

    def problems(self) -> Iterator[Reason]:
        if len(self.fqdn) > LONGEST_NAME:
            yield Reason(
                "mailhost.host_name", f"{self.fqdn} is longer than the {LONGEST_NAME} characters that a host's name has"
            )
