"""Cables, addresses and routers."""

from __future__ import annotations

import json
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from hardware.host.run import run
from installer.preflight.finding import Question, bad, good, look
from overlays.settings import Settings
from overlays.values import AnyAddress

NET = Path("/sys/class/net")


def links(settings: Settings) -> Question:
    """Is something plugged in where the settings want a network?"""
    wanted = [name for name, port in settings.network.interfaces.items() if port.addresses]
    for name in wanted:
        if not (NET / name).exists():
            yield bad("link", name, "the box has no such port", "is this the right hardware profile?")
        elif _text(NET / name / "carrier") != "1":
            yield bad("link", name, "no cable, or nothing at its other end", "plug it in, or look at the other end")
        else:
            speed, duplex = _text(NET / name / "speed"), _text(NET / name / "duplex")
            known = speed.isdecimal() and f" at {speed} Mbit/s"
            if duplex == "half":
                yield look("link", name, f"connected{known or ''}, half duplex", "let both ends negotiate")
            else:
                yield good("link", name, f"connected{known or ''}")


def addresses(settings: Settings) -> list[Question]:
    """Does anybody else answer for an address of the box?"""
    every = settings.network.interfaces.items()
    return [_address(name, address) for name, port in every for address in port.addresses]


def _address(port: str, address: IPv4Interface | IPv6Interface) -> Question:
    about = f"{address.ip} on {port}"
    taken = _taken4(port, address) if isinstance(address, IPv4Interface) else _taken6(port, str(address.ip))
    if taken:
        yield bad("address", about, taken, "choose another address, or take it from the other")
    else:
        yield good("address", about, "nobody else has it")


def gateways(settings: Settings) -> list[Question]:
    """Is there a router where the default route leads? One that is silent to ping still has a MAC address."""
    return [_gateway(gateway) for gateway in settings.network.gateways] or [
        [look("gateway", "none", "only the ports' own networks can be reached", "add network.gateways")]
    ]


def _gateway(gateway: AnyAddress) -> Question:
    answers = run(["ping", "-n", "-q", "-c", "2", "-W", "1", str(gateway)], timeout=20, check=False).status == 0
    said = run(["ip", "-json", "neigh", "show", "to", str(gateway)], timeout=20).stdout
    if answers or any("lladdr" in one and "FAILED" not in one["state"] for one in json.loads(said or "[]")):
        yield good("gateway", gateway, "answers")
    else:
        yield bad("gateway", gateway, "nobody answers", "is the address right, and the cable in the right port?")


def _taken4(port: str, address: IPv4Interface) -> str:
    """Who else answers ARP for it; empty when nobody does."""
    argv = ["arping", "-D", "-c", "2", "-w", "3", "-I", port, str(address.ip)]
    done = run(argv, timeout=20, check=False)
    if done.status == 0:
        return ""
    who = next((word.strip("[]") for word in done.stdout.split() if word.startswith("[")), "")
    return f"taken by {who.lower()}" if who else "cannot be asked for: the port is down"


def _taken6(port: str, address: str) -> str:
    """Whether the kernel found somebody else when the address was given to the port."""
    said = run(["ip", "-json", "-6", "address", "show", "dev", port], timeout=20, check=False).stdout
    found = [one for link in json.loads(said or "[]") for one in link.get("addr_info", [])]
    return "taken by another host" if any(one["local"] == address and one.get("dadfailed") for one in found) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # a port that is down has no carrier to read
        return ""
