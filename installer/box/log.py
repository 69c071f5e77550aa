"""`postern log`: the journal, cut to what was asked for."""

from __future__ import annotations

from hardware.host import run
from installer.apply.places import Places

# Postfix names its lines by process (postfix/smtpd), so its unit is what selects them.
SYSTEM = ("postern*", "systemd-networkd", "nftables", "ssh", "chrony")
PARTS = {
    "all": [],
    "mail": [
        "--unit=postfix.service",
        "--unit=dovecot.service",
        "--unit=rspamd.service",
        "--unit=clamav-daemon.service",
    ],
    "system": [*(f"--unit={unit}.service" for unit in SYSTEM), "--unit=init.scope"],
}


def command(places: Places, part: str, follow: bool, since: str | None, lines: int) -> list[str]:
    """The journalctl that shows it. No pager: one that runs as root could start a shell."""
    argv = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={lines}", *PARTS[part]]
    argv += ["--follow"] if follow else []
    argv += [f"--since={since}"] if since else []
    return argv + ([f"--root={places.root}"] if str(places.root) != "/" else [])


def follow(places: Places, part: str, follow: bool, since: str | None, lines: int) -> None:
    """Become journalctl."""
    run.replace(command(places, part, follow, since, lines))
