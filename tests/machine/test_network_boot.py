"""A blank box that starts from its network and installs itself, by HTTP and by TFTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hardware import profile as profiles
from hardware.host.log import Steps
from hardware.twin import FACTORY_NET, UserNet
from images import medium
from images.tools import Tools
from installer.flash import receipt
from tests.machine.conftest import MakeBox
from tests.machine.installing import blank, left_on

PATIENCE = 600.0  # kernel and initrd are 300 MB


@pytest.fixture(scope="module")
def served(toolbox: Tools, image: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `build.py medium --network` makes, with rules that fit the twin's disk."""
    folder = tmp_path_factory.mktemp("network")
    rules = folder / "rules.yaml"
    rules.write_text("format: 1\ndisk: {bus: virtio, least_gb: 8}\n")
    profile, steps = profiles.load("vm-bios"), Steps(medium.NETWORK_STEPS)
    medium.build_network(image("vm-bios"), profile, rules, folder / "served", toolbox, steps)
    return folder / "served"


@contextmanager
def by_http(folder: Path) -> Iterator[UserNet]:
    """A network whose host has a web server; it is Python's own, on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield replace(FACTORY_NET, bootfile=f"http://{FACTORY_NET.host.ip}:{server.server_port}/boot.ipxe")
    finally:
        server.shutdown()


def test_a_blank_box_installs_itself_by_http(box: MakeBox, served: Path) -> None:
    """What was written is what the manifest in the initrd says."""
    made = box("vm-bios")
    made.disk = blank(made, "disk", 16)
    with by_http(served) as net, made.on(ports=(net,), from_network=True) as line:
        assert "Installing on /dev/vda" in line.expect("a key of this run", PATIENCE)
        line.until_off()
    assert left_on(made).result == receipt.WRITTEN


def test_a_blank_box_begins_to_install_itself_by_tftp(box: MakeBox, served: Path) -> None:
    """Until the image comes: an emulated processor that answers each 1.4 kB takes minutes for all of it."""
    made = box("vm-bios")
    made.disk = blank(made, "disk", 16)
    net = replace(FACTORY_NET, tftp=served, bootfile="boot.ipxe")
    with made.on(ports=(net,), from_network=True) as line:
        assert "Installing on /dev/vda" in line.expect(r" [1-9]\d* of \d+ MiB", PATIENCE)
