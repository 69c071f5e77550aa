"""Does the box do with mail what its settings say? A clean message, spam and a virus go the way of strangers' mail.

They are real messages, sent by SMTP to the box's own listener (in transparent mode to its proxy, with a stand-in for
the server), for a recipient at each protected domain that nobody has (overlays/selftest.py). So no person and no server
gets any of it, no quarantine keeps it, and nobody's reputation changes; the logs have it, by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from installer.apply.places import Places
from installer.preflight.finding import Finding, look
from installer.selftest import state, way
from installer.selftest.letters import Kind, letter
from installer.selftest.meaning import Wish, finding, wishes
from overlays.settings import Settings


def checks(places: Places, settings: Settings) -> Iterator[Finding]:
    """Every finding, as it is made. Takes some seconds; each message that gets no answer takes half a minute."""
    yield from state.services(settings)
    yield from state.room(places, settings)
    yield from state.definitions_known(places, settings)
    yield from state.listeners(settings)
    yield from state.rule(settings)
    if not settings.domains:
        yield look("domain", "none", "no domain is protected, so there is no mail to try", "add one to domains")
        return
    with way.open_for(settings) as road:
        for wish in wishes(settings):
            for kind in Kind:
                yield _tried(road, wish, kind)


def _tried(road: way.Way, wish: Wish, kind: Kind) -> Finding:
    """Send one message and say what came of it, against what the settings want."""
    sent = road.send(letter(kind, wish.recipient))
    said = finding(kind, wish, sent)
    return replace(said, said=f"{said.said} ({sent.seconds:.1f} s)") if said.well else said
