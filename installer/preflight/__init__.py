"""What would keep mail from flowing, asked of the surroundings before mail does: wires, names, servers, clock.

`checks` is the list in its order. Each check is a generator of findings and changes nothing anywhere. They go on side
by side.
"""

from __future__ import annotations

from collections.abc import Iterator

from installer.preflight import names, servers, wires
from installer.preflight.finding import Finding, side_by_side
from overlays.settings import Settings

OUTWARD = "debian.org"  # whose mail servers stand for the world's: where the box's own parts come from


def checks(settings: Settings, outward: str) -> Iterator[Finding]:
    """Every finding, in order (some seconds in all). `outward`: whose mail servers stand for the world's."""
    resolver = names.resolver(settings)
    looks = (
        wires.links(settings),
        wires.addresses(settings),
        wires.gateways(settings),
        names.name_servers(settings),
        names.own_name(settings, resolver),
        names.mail_exchangers(settings, resolver),
        servers.protected(settings),
        servers.world(outward, resolver),
        servers.clock(settings),
    )
    for found in side_by_side(list, looks):
        yield from found
