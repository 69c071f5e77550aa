"""An installation that nobody leads: `install.yaml` on a volume labelled POSTERN says which disk."""

from __future__ import annotations

from hardware.host import documents
from installer.apply import volume
from installer.apply.places import Places
from installer.flash import order
from installer.medium import rules, work
from installer.medium.rules import Rules
from installer.medium.work import Disk, Medium, Say

NAME = "install.yaml"


def wanted(places: Places) -> Rules | None:
    """The rules that wait for this box, from the network or on a volume; None when there are none.

    Raises `Refused` when they cannot be read.
    """
    brought = places.root / work.MEDIUM.relative_to("/") / NAME
    if brought.exists():
        return documents.read(brought, Rules)
    volume.wait_for_devices()
    with volume.labelled(places) as folder:
        raw = volume.read(folder / NAME, volume.NAME) if folder else None
    if raw is None:
        return None
    return documents.parse(volume.text(raw, volume.NAME, NAME), f"{volume.NAME}: {NAME}", Rules)


def install(wants: Rules, medium: Medium, places: Places, say: Say) -> None:
    """Write the one disk that is meant, and start again. Raises `Refused`, with nothing written, else."""
    disks = medium.disks()
    refused = {one.target.path: (*one.row.refused, *once(one, medium)) for one in disks}
    chosen = rules.only(wants.disk, [one.target for one in disks], refused, places.root)
    found = next(one.row for one in disks if one.target is chosen)
    keep = wants.keep(found.earlier, chosen.path)
    say(f"Installing on {chosen.path}, serial number {chosen.serial}.")
    if keep:
        say(order.warning(found, keep=True))
    for line in work.lines(medium.install(chosen, say, keep=keep)):
        say(line)
    work.finish(wants.finish)


def once(disk: Disk, medium: Medium) -> list[str]:
    """Why this disk is not written again: a box that always starts from its network would lose its mail each time.

    A stick or CD looks before it starts an installation (images/media/grub.cfg).
    """
    parts = disk.target.device.all() if disk.target.device else ()
    if medium.from_network and any(part.label == "boot-a" for part in parts):
        return ["it holds an installation, and without a person the network's is written on others only"]
    return []
