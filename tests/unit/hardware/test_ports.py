"""Network ports are named by place, MAC or the order of PCI addresses, and with nothing but the standard library."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hardware import ports
from hardware import profile as profiles
from hardware.host import run


def make_pci(root: Path, devices: dict[str, str], command_line: str = "postern.profile=vm-uefi") -> Path:
    """A root with PCI devices: address to class."""
    for address, kind in devices.items():
        folder = root / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        (folder / "class").write_text(f"{kind}\n")
    (root / "proc").mkdir()
    (root / "proc/cmdline").write_text(f"{command_line} quiet\n")
    bindings = root / ports.BINDINGS
    bindings.parent.mkdir(parents=True)
    bindings.write_text(profiles.bindings_json(profiles.load_all()))
    return root


ETHERNET, WIRELESS, DISK = "0x020000", "0x028000", "0x010000"


def test_order_is_that_of_pci_addresses(tmp_path: Path) -> None:
    root = make_pci(tmp_path, {
        "0000:0a:00.0": ETHERNET, "0000:00:1f.2": DISK, "0000:02:00.1": ETHERNET, "10000:00:00.0": ETHERNET,
        "0000:02:00.0": ETHERNET, "0000:01:00.0": WIRELESS,
    })  # fmt: skip
    assert ports.ethernet_addresses(root) == ["0000:02:00.0", "0000:02:00.1", "0000:0a:00.0", "10000:00:00.0"]


def test_links_are_written_where_udev_looks(tmp_path: Path) -> None:
    root = make_pci(tmp_path, {"0000:00:05.0": ETHERNET, "0000:00:03.0": ETHERNET})
    assert ports.main(root) == 0
    folder = root / "run/systemd/network"
    assert sorted(path.name for path in folder.iterdir()) == ["10-port1.link", "10-port2.link"]
    assert (folder / "10-port1.link").read_text() == (
        "[Match]\nPath=pci-0000:00:03.0\n\n[Link]\nNamePolicy=\nName=port1\n"
    )
    assert "Path=pci-0000:00:05.0\n" in (folder / "10-port2.link").read_text()


def test_no_more_ports_than_the_profile_has(tmp_path: Path) -> None:
    root = make_pci(tmp_path, {f"0000:00:{slot:02x}.0": ETHERNET for slot in range(3, 10)})
    ports.main(root)
    assert len(list((root / "run/systemd/network").iterdir())) == 4


def test_bound_by_place_whatever_is_there(tmp_path: Path) -> None:
    root = make_pci(tmp_path, {"0000:00:03.0": ETHERNET, "0000:02:00.0": ETHERNET}, "postern.profile=pcengines-apu2")
    ports.main(root)
    texts = [(root / f"run/systemd/network/10-port{number}.link").read_text() for number in (1, 2, 3)]
    assert [text.splitlines()[1] for text in texts] == [f"Path=pci-0000:0{bus}:00.0" for bus in (1, 2, 3)]


def test_bound_by_mac() -> None:
    files = ports.link_files("mac", 2, ["00:0d:b9:00:00:02", "00:0d:b9:00:00:01"], ["0000:00:03.0"])
    assert files["10-port1.link"].startswith("[Match]\nMACAddress=00:0d:b9:00:00:02\n")
    assert files["10-port2.link"].endswith("Name=port2\n")


@pytest.mark.parametrize("command_line", ["", "postern.profile=vm-uef"])
def test_an_image_that_does_not_know_its_profile(
    tmp_path: Path, command_line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_pci(tmp_path, {"0000:00:03.0": ETHERNET}, command_line)
    assert ports.main(root) == 2
    assert "no profile of usr/lib/postern/ports.json" in capsys.readouterr().err
    assert not (root / "run").exists()


def test_it_needs_the_standard_library_alone(tmp_path: Path) -> None:
    """Started as a script by an isolated Python without site-packages, as before udev on the box."""
    root = make_pci(tmp_path, {"0000:00:03.0": ETHERNET})
    script = f"import sys, pathlib; sys.path.insert(0, {os.fspath(Path.cwd())!r}); from hardware import ports; "
    code = f"raise SystemExit(ports.main(pathlib.Path({str(root)!r})))"
    run.run([sys.executable, "-I", "-S", "-c", script + code])
    assert (root / "run/systemd/network/10-port1.link").is_file()
