"""What a box starts from that starts from its network: the folder, as `build.py` makes it, by TFTP and by HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hardware import profile as profiles
from hardware.host.log import Steps
from hardware.twin import FACTORY_NET, UserNet
from images import medium
from images.steps.media import Brought
from images.tools import Tools
from tests.web import web

RULES = "format: 1\ndisk: {bus: virtio, least_gb: 8}\n"  # which fit a virtual twin's disk
PATIENCE = 600.0  # kernel and initrd are 300 MB


def folder_of(image: Path, profile: str, work: Path, tools: Tools, ca: Path | None = None) -> Path:
    """The folder that `build.py medium --network` makes."""
    rules, made = work / "rules.yaml", work / profile
    rules.write_text(RULES)
    steps = Steps(medium.NETWORK_STEPS)
    medium.build_network(image, profiles.load(profile), Brought(rules=rules, ca=ca), made, tools, steps)
    return made


def by_tftp(folder: Path, first: str = "boot.ipxe") -> UserNet:
    """A network whose host gives the folder out by TFTP, and whose DHCP server names a file of it."""
    return replace(FACTORY_NET, tftp=folder, bootfile=first)


@contextmanager
def by_http(folder: Path) -> Iterator[UserNet]:
    """The same by HTTP."""
    with web(folder) as port:
        yield replace(FACTORY_NET, bootfile=f"{address(port)}/boot.ipxe")


def address(port: int, protocol: str = "http") -> str:
    """Of a web server, as the box sees it."""
    return f"{protocol}://{FACTORY_NET.host.ip}:{port}"
