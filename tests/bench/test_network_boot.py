"""How long a blank box takes to install itself from its network by TFTP, against HTTP: from power-on to its restart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hardware import profile as profiles
from hardware.twin import UserNet
from images.tools import Tools
from installer.flash import receipt
from tests.bench.conftest import Figure
from tests.machine.installing import blank, left_on
from tests.machine.serving import PATIENCE, by_http, by_tftp, folder_of
from tests.machine.twin import Box

PROFILE = "vm-bios"


def seconds(box: Box, net: UserNet) -> float:
    """Of an installation, to its end; what was written is what the manifest in the initrd says."""
    box.disk = blank(box, "blank", 16)
    begun = time.monotonic()
    with box.on(ports=(net,), from_network=True) as line:
        line.expect("Installing on /dev/vda", PATIENCE)
        line.expect("a key of this run", 3 * PATIENCE)
        line.until_off()
    took = time.monotonic() - begun
    assert left_on(box).result == receipt.WRITTEN
    return took


def test_an_installation_by_tftp(
    image: Callable[[str], Path], toolbox: Tools, tmp_path: Path, figure: list[Figure]
) -> None:
    folder = folder_of(image(PROFILE), PROFILE, tmp_path, toolbox)
    box = Box(toolbox, profiles.load(PROFILE), image(PROFILE), tmp_path)
    with by_http(folder) as net:
        its = seconds(box, net)
    figure.append(
        Figure("a blank box installs itself by TFTP / by HTTP", seconds(box, by_tftp(folder)), "s", None, its)
    )
