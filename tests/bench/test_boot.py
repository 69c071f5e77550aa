"""How soon a box serves mail after power-on, against a minimal Debian with Postfix; and what memory it takes idle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hardware import profile as profiles
from hardware.twin import Forward
from images.archive import Archive
from images.store import Store
from images.tools import Tools
from tests.bench.conftest import Figure
from tests.machine import debian
from tests.machine.debian import Debian
from tests.machine.mail import free_port, greets
from tests.machine.twin import LOGIN, NET, Box, Line
from tests.machine.walks import ANSWERS, SECRETS

RUNS = 3
# What Debian itself would boot for the same service, its network set as ours is.
PEER = Debian(
    ("linux-image-amd64", "postfix", "tzdata"),
    commands=("postconf -e inet_interfaces=all mynetworks=127.0.0.0/8",),
)


def set_up(tools: Tools, image: Path, profile: str, folder: Path) -> Box:
    """A box that was set up, and is off."""
    folder.mkdir()
    answers, secrets = folder / "answers.yaml", folder / "secrets.yaml"
    answers.write_text(ANSWERS.format(port=25))
    secrets.write_text(SECRETS)
    made = Box(tools, profiles.load(profile), image, folder)
    with made.on(credentials=(("postern.answers", answers), ("postern.secrets", secrets))) as line:
        begun(line)
    return made


def begun(line: Line) -> None:
    """Wait for all that a start of our box does, and stay logged in. Where the power went before, the boot loader takes
    this one for a failure, and waits three seconds for a key at the next.
    """
    line.expect(LOGIN)
    line.log_in()
    assert line.command("systemctl is-system-running --wait") == "running"


def seconds_to_banner(box: Box, before_cut: Callable[[Line], None] = lambda _: None) -> float:
    """From power-on to the greeting of the mail service. The power is cut after it, and after `before_cut`."""
    port = free_port()
    switched_on = time.monotonic()
    with box.on(ports=(replace(NET, forwards=(Forward(port, 25),)),)) as line:
        # Asked anew each second: a connection that the fence let fall would be waited for in vain.
        line.wait_for(lambda: greets(port, 1), "mail service")
        took = time.monotonic() - switched_on
        before_cut(line)
        return took


def test_from_power_on_to_mail_service(
    image: Callable[[str], Path], store: Store, archive: Archive, toolbox: Tools, tmp_path: Path, figure: list[Figure]
) -> None:
    made = image("vm-bios")
    ours = set_up(toolbox, made, "vm-bios", tmp_path / "ours")
    (tmp_path / "peer").mkdir()
    peer = Box(toolbox, profiles.load(debian.PROFILE), made, tmp_path / "peer")
    peer.disk = PEER.disk(store, archive, toolbox, peer.folder / "debian.qcow2")
    took: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(RUNS):  # by turns, so that both see the same machine
        took["ours"].append(seconds_to_banner(ours, before_cut=begun))
        took["peer"].append(seconds_to_banner(peer))
    mine, its = (statistics.median(took[name]) for name in ("ours", "peer"))
    figure.append(Figure("power-on to SMTP banner / minimal Debian with Postfix", mine, "s", 1.3, its))


def test_idle_memory(image: Callable[[str], Path], toolbox: Tools, tmp_path: Path, figure: list[Figure]) -> None:
    """On the 1 GiB twin, after set-up and a restart: all that is not available to programs."""
    box = set_up(toolbox, image("fortimail-100"), "fortimail-100", tmp_path / "box")
    with box.on() as line:
        begun(line)
        memory = dict(row.split()[:2] for row in line.command("cat /proc/meminfo").splitlines())
    used = (int(memory["MemTotal:"]) - int(memory["MemAvailable:"])) / 1024
    figure.append(Figure("idle memory of fortimail-100 (1 GiB)", used, "MiB", 350))
