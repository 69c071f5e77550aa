"""The recipient of the self-test: an address at each protected domain that the box alone may write to.

Postfix takes mail for it from the loopback only, which nobody outside can come from, and drops it at the end of its
way. So there is no secret to keep and nothing to clean up; what anybody on the box sends there is lost, and no more.
"""

from __future__ import annotations

NAME = "postern-selftest"
DOMAIN = (
    "selftest.invalid"  # what Postfix makes of it once the filter has seen whose it is; nothing outside is called so
)
STAND_IN = ("127.0.0.1", 10027)  # in place of a protected server, for the proxy of transparent mode


def address(domain: str) -> str:
    """The recipient at a protected domain."""
    return f"{NAME}@{domain}"


def is_meant_by(recipient: str) -> bool:
    """Whether this is such an address, before or after Postfix has changed it."""
    return recipient.rpartition("@")[0].lower() == NAME
