"""Where a box that is not set up asks from: a network of its own on its ports' cables, with the addresses to be.

Each port gets a second card (macvlan) in a network namespace, which goes when the questions have been answered. Nothing
of the box itself changes, and the init fence stays shut.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hardware.host import files
from hardware.host.run import Argument, run
from installer.preflight.finding import Colour, Finding
from overlays.network.links import carrier
from overlays.settings import Settings, dump_answers

COMMAND = Path("/usr/bin/postern")
NAME = "postern-preflight"
_LONGEST = 600.0
_SETTLE = 6.0  # seconds: copper takes four, and one without a cable never comes up


def rehearsed(settings: Settings, hardware: tuple[str, ...], folder: Path, outward: str) -> list[Finding]:
    """Ask as if these settings were in force (half a minute). `hardware`: the names of the box's ports.

    `folder` is where the one that asks finds the settings, which hold no secret. Raises `Failed`.
    """
    handed_on = folder / "preflight.yaml"
    files.write(handed_on, dump_answers(settings), mode=0o600)
    try:
        with rehearsal(settings, hardware) as there:
            argv: list[Argument] = [*there, COMMAND, "preflight", "--inside", handed_on, "--json", "--outward", outward]
            said = json.loads(run(argv, timeout=_LONGEST, check=False).stdout)
    finally:
        handed_on.unlink()
    return [Finding(**one | {"colour": Colour(one["colour"])}) for one in said]


@contextmanager
def rehearsal(settings: Settings, hardware: tuple[str, ...]) -> Iterator[list[str]]:
    """The words before a program that is to run there."""
    with ExitStack() as undo:
        # networkd would take down again what it is told to keep down.
        run(["systemctl", "stop", "systemd-networkd.socket", "systemd-networkd.service"], timeout=60)
        undo.callback(run, ["systemctl", "start", "systemd-networkd.service"], timeout=60, check=False)
        run(["ip", "netns", "delete", NAME], timeout=20, check=False)
        run(["ip", "netns", "add", NAME], timeout=20)
        undo.callback(run, ["ip", "netns", "delete", NAME], timeout=20, check=False)
        inside = ["ip", "-netns", NAME]
        run([*inside, "link", "set", "lo", "up"], timeout=20)
        for name, port in settings.network.interfaces.items():
            cable = _cable(settings, name, hardware)
            if not port.addresses or run(["ip", "link", "set", cable, "up"], timeout=20, check=False).status:
                continue
            kind = ["vlan", "id", name.partition(".")[2]] if carrier(name) else ["macvlan"]
            run(["ip", "link", "add", "link", cable, "name", name, "netns", NAME, "type", *kind], timeout=20)
            run([*inside, "link", "set", name, "up"], timeout=20)
            for address in port.addresses:
                run([*inside, "address", "add", str(address), "dev", name], timeout=20)
        for name in settings.network.interfaces:
            plan = settings.network.plan(name)
            ways = [("default", str(gateway)) for gateway in plan.gateways]
            for to, via in ways + [(str(route.to), str(route.via)) for route in plan.routes]:
                run([*inside, "route", "add", to, "via", via, "dev", name], timeout=20, check=False)
        _settle(inside)
        yield ["ip", "netns", "exec", NAME]


def _settle(inside: list[str]) -> None:
    """Wait until the ports have negotiated with their other ends, and the kernel trusts their IPv6 addresses."""
    deadline = time.monotonic() + _SETTLE
    while time.monotonic() < deadline:
        links = json.loads(run([*inside, "-json", "address", "show", "up"], timeout=20).stdout)
        addresses = [one for link in links for one in link["addr_info"]]
        tentative = any(one.get("tentative") and not one.get("dadfailed") for one in addresses)
        if not tentative and not any("NO-CARRIER" in link["flags"] for link in links):
            return
        time.sleep(0.2)  # the kernel could tell, but not in one line


def _cable(settings: Settings, name: str, hardware: tuple[str, ...]) -> str:
    """The port that is asked from for a port, VLAN or bond: of a bond, and of the bridge, the first one."""
    name = carrier(name) or name
    bond = settings.network.bonds.get(name)
    if bond:
        return bond.ports[0]
    return name if name in hardware else (settings.network.bridged(hardware) or hardware)[0]
