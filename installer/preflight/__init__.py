"""What would keep mail from flowing, asked of the surroundings before mail does: wires, names, servers, clock.

`checks` is the list in its order. Each check is a generator of findings and changes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from installer.preflight import names, servers, wires
from installer.preflight.finding import Finding
from overlays.settings import Settings

OUTWARD = "debian.org"  # whose mail servers stand for the world's: where the box's own parts come from


def checks(settings: Settings, outward: str) -> Iterator[Finding]:
    """Every finding, as it is made (some seconds each). `outward`: whose mail servers stand for the world's."""
    yield from wires.links(settings)
    yield from wires.addresses(settings)
    yield from wires.gateways(settings)
    yield from names.name_servers(settings)
    resolver = names.resolver(settings)
    yield from names.own_name(settings, resolver)
    yield from names.mail_exchangers(settings, resolver)
    yield from servers.protected(settings)
    yield from servers.world(outward, resolver)
    yield from servers.clock(settings)
