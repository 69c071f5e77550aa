"""What would keep mail from flowing, asked of the surroundings before mail does: wires, names, servers, clock.

`checks` is the list in its order. Each question is a generator of findings and changes nothing anywhere. Most of its
time is waiting for somebody who is not there, so they are asked side by side: none rests on what another one did.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from installer.preflight import names, servers, wires
from installer.preflight.finding import Finding
from overlays.settings import Settings

OUTWARD = "debian.org"  # whose mail servers stand for the world's: where the box's own parts come from
_AT_ONCE = 16


def checks(settings: Settings, outward: str) -> Iterator[Finding]:
    """Every finding, in order (up to half a minute). `outward`: whose mail servers stand for the world's."""
    resolver = names.resolver(settings)
    questions = (
        wires.links(settings),
        *wires.addresses(settings),
        *wires.gateways(settings),
        *names.name_servers(settings),
        names.own_name(settings, resolver),
        *names.mail_exchangers(settings, resolver),
        *servers.protected(settings),
        servers.world(outward, resolver),
        *servers.clock(settings),
    )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers: Iterator[list[Finding]] = pool.map(list, questions)
        for found in answers:
            yield from found
