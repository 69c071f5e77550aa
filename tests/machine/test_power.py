"""Power cuts while mail is accepted, on a disk that loses what was not flushed: what was answered with 250 arrives.

Shown: at ten moments of a busy box the power goes, five times with every unflushed write lost and five times with a
random half of them on the disk. Each time the box comes up with its settings, its slots, and every message that it had
answered for. Not shown: a disk that lies about flushes, a block torn in the middle, and cuts during an update.
"""

from __future__ import annotations

import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from hardware.host import grubenv, run
from hardware.twin import Forward, ImageFile, NbdServer
from images.tools import Tools
from tests.machine.conftest import MakeBox
from tests.machine.disk import NO_CHECK, TABLE
from tests.machine.mail import Server, free_port, greets, message, wait_for
from tests.machine.twin import LOGIN, NET
from tests.machine.walks import ANSWERS, SECRETS
from tests.peers import Peers, inside

CUTS = 10
# What is shown is the queue's and the disk's. The filter would be waited for after each cut, for most of a minute.
UNFILTERED = 'filtering: {incoming: {antispam: "off", antivirus: false}, outgoing: {antivirus: false}}\n'
SENDERS = 3


@contextmanager
def lossy(peers: Peers, raw: Path, folder: Path, early: float, seed: int) -> Iterator[NbdServer]:
    """The disk `raw` behind a server that keeps writes in memory until they are flushed, and is killed at the end."""
    path = folder / "disk.sock"
    path.unlink(missing_ok=True)
    plugin = inside(Path(__file__).parent / "lossy_disk.py")
    serve = ["--foreground", "-U", str(inside(path)), "python", str(plugin)]
    serve += [f"disk={inside(raw)}", f"early={early}", f"seed={seed}"]
    with run.spawn(peers.command("nbdkit", *serve), log=folder / "nbdkit.log") as server:
        wait_for(path.exists, "the disk's server")
        try:
            yield NbdServer(path)
        finally:
            server.kill()


class Sender(threading.Thread):
    """Sends messages one after the other until the box is gone, and remembers those answered with 250.

    What was put off with 4xx comes again, as from every mail server.
    """

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self.port, self.label = port, name
        self.accepted: list[str] = []
        self.gone = threading.Event()

    def run(self) -> None:
        subjects = (f"{self.label}-{number}" for number in count())
        while not self.gone.wait(0.5):
            with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
                for subject in subjects:
                    client.sendmail("sender@example.net", ["someone@example.com"], message(subject))
                    self.accepted.append(subject)


def least(cut: int) -> int:
    """After how many messages the power goes: another moment each time."""
    return 10 + 5 * cut


def enough(senders: list[Sender], cut: int) -> bool:
    return sum(len(one.accepted) for one in senders) >= least(cut)


def slots_are_whole(tools: Tools, raw: Path, folder: Path) -> bool:
    """Is the boot loader's environment what its rules say, with slot A good?"""
    block = folder / "grubenv"
    tools.run("mcopy", "-n", "-i", f"{raw}@@{TABLE['esp'].start}", "::/grub/grubenv", block, env=NO_CHECK)
    return grubenv.parse(block.read_bytes())["A_OK"] == "1"


def test_every_message_answered_with_250_survives_ten_power_cuts(box: MakeBox, peers: Peers, tmp_path: Path) -> None:
    made = box("vm-bios")
    raw = made.raw()
    port, server = free_port(), Server()
    answers, secrets = tmp_path / "answers.yaml", tmp_path / "secrets.yaml"
    # The server is away until the end, so that mail waits in the queue while the power goes; callouts would need it.
    answers.write_text(ANSWERS.format(port=server.port).replace("}]", ', verify: "off"}]') + UNFILTERED)
    secrets.write_text(SECRETS)
    credentials = (("postern.answers", answers), ("postern.secrets", secrets))
    net = replace(NET, forwards=(Forward(port, 25),))
    accepted: set[str] = set()
    for cut in range(CUTS):
        with (
            lossy(peers, raw, tmp_path, early=0.5 * (cut % 2), seed=cut) as made.disk,
            made.on(ports=(net,), credentials=credentials if cut == 0 else ()) as line,
        ):
            line.wait_for(lambda: greets(port), f"mail service after {cut} cuts")
            senders = [Sender(port, f"cut{cut}-{number}") for number in range(SENDERS)]
            for sender in senders:
                sender.start()
            line.wait_for(partial(enough, senders, cut), f"mail accepted after {cut} cuts")
            line.process.kill()  # the power goes, and the disk's cache with it
        for sender in senders:
            sender.gone.set()
            sender.join()
            accepted |= set(sender.accepted)
        assert slots_are_whole(made.tools, raw, tmp_path)
    assert len(accepted) >= sum(map(least, range(CUTS)))

    made.disk = ImageFile(raw)
    with server, made.on(ports=(net,)) as line:
        line.expect(LOGIN)
        line.wait_for(lambda: greets(port), "mail service at the end")  # the login is there before
        line.log_in()
        line.root("postqueue -f")
        arrived: dict[str, bytes] = {}

        def all_there() -> bool:
            for content in server.all():
                subject = next(row for row in content.decode().splitlines() if row.startswith("Subject: "))
                arrived[subject.removeprefix("Subject: ")] = content
            return accepted <= set(arrived)

        wait_for(all_there, "every accepted message", lambda: str(accepted - set(arrived)))
        damaged = [subject for subject in accepted if not arrived[subject].endswith(message(subject))]
        assert damaged == []
        assert line.command("systemctl --failed --no-legend --plain") == ""
        assert "mode: gateway" in line.command("postern settings show")
