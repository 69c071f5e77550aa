"""A blank box that starts from its network and installs itself: by HTTP, by TFTP, and with the image by HTTPS."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware.twin import FACTORY_NET
from images.tools import Tools
from installer.flash import receipt
from tests.authority import Authority
from tests.machine.conftest import MakeBox
from tests.machine.installing import blank, left_on
from tests.machine.serving import PATIENCE, address, by_http, by_tftp, folder_of
from tests.web import web

BEGUN = r" [1-9]\d* of \d+ MiB"


@pytest.fixture(scope="module")
def served(toolbox: Tools, image: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(image("vm-bios"), "vm-bios", tmp_path_factory.mktemp("network"), toolbox)


def test_a_blank_box_installs_itself_by_http(box: MakeBox, served: Path) -> None:
    """What was written is what the manifest in the initrd says."""
    made = box("vm-bios")
    made.disk = blank(made, "disk", 16)
    with by_http(served) as net, made.on(ports=(net,), from_network=True) as line:
        assert "Installing on /dev/vda" in line.expect("a key of this run", PATIENCE)
        line.until_off()
    assert left_on(made).result == receipt.WRITTEN


def test_a_blank_box_begins_to_install_itself_by_tftp(box: MakeBox, served: Path) -> None:
    """Until the image comes: an emulated processor that answers each 1.4 kB takes minutes for all of it (../bench)."""
    made = box("vm-bios")
    made.disk = blank(made, "disk", 16)
    with made.on(ports=(by_tftp(served),), from_network=True) as line:
        assert "Installing on /dev/vda" in line.expect(BEGUN, PATIENCE)


def test_a_blank_box_begins_by_uefi_and_grub_with_the_image_by_https(
    box: MakeBox, toolbox: Tools, tmp_path: Path
) -> None:
    """UEFI's own PXE loads GRUB by TFTP; the image's server is of an authority that was brought along."""
    made = box("vm-uefi")
    made.disk = blank(made, "disk", 16)
    authority = Authority(tmp_path)
    (tmp_path / "ca.pem").write_text(authority.root.text)
    names = f"subjectAltName=IP:{FACTORY_NET.host.ip}\nbasicConstraints=critical,CA:FALSE\n"
    signed = authority.sign("the host", authority.root, extensions=names)
    top = tmp_path / "top"
    top.mkdir()
    folder = folder_of(made.image, "vm-uefi", top, toolbox, tmp_path / "ca.pem")
    with web(top, signed) as port:
        loader, place = folder / "grub.cfg", address(port, "https")
        loader.write_text(re.sub("(?m)^set IMAGE=.*", f'set IMAGE="{place}$FOLDER"', loader.read_text()))
        with made.on(ports=(by_tftp(top, f"{folder.name}/grubx64.efi"),), from_network=True) as line:
            line.expect(f"Its image from {place}/vm-uefi")
            assert "Installing on /dev/vda" in line.expect(BEGUN, PATIENCE)
