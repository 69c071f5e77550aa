"""Whose files we touch: `postern` runs as root for an administrator who may not read or write everything."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager


def name() -> str | None:
    """The account that called us through sudo; None when root itself did."""
    user = os.environ.get("SUDO_USER", "root")
    return None if user == "root" or os.geteuid() != 0 else user


@contextmanager
def rights() -> Iterator[None]:
    """Inside the block files are opened with the caller's rights: a path on the command line gets no others."""
    user = name()
    if user is None:
        yield
        return
    entry = pwd.getpwnam(user)
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
