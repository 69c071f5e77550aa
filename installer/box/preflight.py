"""`postern preflight`: what would keep mail from flowing, before it does and any time after."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from hardware.host.errors import refuse
from installer.apply.places import Places, Stage
from installer.box.change import in_force, open_box, read_answers
from installer.preflight import checks, place
from installer.preflight.finding import Colour, Finding
from overlays.settings import parse_answers


def main(places: Places, arguments: argparse.Namespace) -> int:
    """The command; its exit status is 2 when anything is red. Raises `Refused`."""
    if arguments.inside:
        settings = parse_answers(arguments.inside.read_text(encoding="utf-8"), "settings")
        return tell(checks(settings, arguments.outward), as_json=arguments.json)
    box = open_box(places)
    if box.store.current():
        if arguments.answers:
            hint = "after a change that can lock you out the box waits for `postern confirm`: ask meanwhile"
            raise refuse("this box is in service, and is asked about the settings in force", hint)
        return tell(checks(in_force(box).settings, arguments.outward), as_json=arguments.json)
    if arguments.answers is None:
        raise refuse("this box is not set up", "name an answer file, or let the wizard ask")
    if box.places.stage() is not Stage.FACTORY:
        raise refuse("this box is not ready for its set-up", "`postern status` says why")
    settings, _ = read_answers(box, arguments.answers, arguments.secrets)
    print("Asking as if these settings were in force (half a minute) ...", file=sys.stderr)
    found = place.rehearsed(settings, box.profile.port_names, box.places.run, arguments.outward)
    return tell(found, as_json=arguments.json)


def tell(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Draw them as they come, or all at once for a program."""
    found = list(_shown(findings, quiet=as_json))
    red = any(one.colour is Colour.RED for one in found)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        counts = {colour: sum(one.colour is colour for one in found) for colour in Colour}
        print(f"\n{counts[Colour.GREEN]} good, {counts[Colour.YELLOW]} to look at, {counts[Colour.RED]} bad")
    return 2 if red else 0


def _shown(findings: Iterable[Finding], *, quiet: bool) -> Iterator[Finding]:
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for finding in findings:
        if not quiet:
            print(finding.lines(coloured=coloured), flush=True)
        yield finding
