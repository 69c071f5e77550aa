"""Name the network ports port1, port2, ...: .link files for systemd-udevd, written before it sees the first device.

Standard library only, since this runs in the first second of a boot: `python3 -m hardware.ports`. The profile comes
from the kernel command line, its binding from ports.json, which the image build writes (`profile.bindings_json`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

BINDINGS = "usr/lib/postern/ports.json"
LINKS = "run/systemd/network"

# Wireless cards are network controllers too (0x0280), and no ports.
_ETHERNET = "0x0200"


def ethernet_addresses(root: Path) -> list[str]:
    """The PCI addresses of Ethernet controllers, in the order of the addresses, whatever order they were found in."""
    found = [
        device.name
        for device in (root / "sys/bus/pci/devices").glob("*")
        if (device / "class").read_text(encoding="ascii").startswith(_ETHERNET)
    ]
    return sorted(found, key=lambda name: [int(part, 16) for part in name.replace(".", ":").split(":")])


def link_files(bind: str, count: int, addresses: Sequence[str], present: Sequence[str]) -> dict[str, str]:
    """File name to text. `addresses` are the profile's; `present`, the box's PCI addresses, bind by order."""
    if bind == "mac":
        wanted = [f"MACAddress={address}" for address in addresses]
    else:
        # ID_PATH of a network device on PCI is its device's address, for virtio as well.
        wanted = [f"Path=pci-{address}" for address in (present if bind == "order" else addresses)]
    return {
        f"10-port{number}.link": f"[Match]\n{match}\n\n[Link]\nNamePolicy=\nName=port{number}\n"
        for number, match in enumerate(wanted[:count], start=1)
    }


def write_links(root: Path, binding: Mapping[str, object]) -> list[Path]:
    """Write the .link files of one profile's binding (`bind`, `count`, `addresses`) under `root`."""
    files = link_files(
        str(binding["bind"]),
        int(str(binding["count"])),
        list(binding["addresses"]),  # type: ignore[call-overload]  # as bindings_json writes it
        ethernet_addresses(root),
    )
    folder = root / LINKS
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="ascii")
    return [folder / name for name in files]


def claimed_profile(root: Path) -> str:
    """The profile on the kernel command line, or nothing. (hardware.detect reads more, and needs more.)"""
    words = (root / "proc/cmdline").read_text(encoding="utf-8").split()
    return next((word.partition("=")[2] for word in reversed(words) if word.startswith("postern.profile=")), "")


def main(root: Path = Path("/")) -> int:
    """Exit status 2, and no names, when the image does not know its own profile."""
    name = claimed_profile(root)
    bindings = json.loads((root / BINDINGS).read_text(encoding="utf-8"))
    if name not in bindings:
        print(f"postern.profile={name} on the kernel command line: no profile of {BINDINGS}", file=sys.stderr)
        return 2
    write_links(root, bindings[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
