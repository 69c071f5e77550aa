"""Set-up on the real kernel: by hand, by volume, by credential; and what a factory reset leaves."""

from __future__ import annotations

import re
import smtplib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from hardware.twin import Drive, DriveBus, Forward
from images import emulate
from tests.machine.conftest import MakeBox
from tests.machine.mail import Server, free_port, message
from tests.machine.twin import LOGIN, NET, PASSWORD, WELCOME, Box, Line

DIGESTS = "sh -c 'cd /etc && find . -type f ! -name machine-id | sort | xargs sha256sum'"
KEYS = "sh -c 'sha256sum /var/lib/postern/device/ssh/*.pub /etc/machine-id'"


def by_hand(line: Line) -> None:
    """The wizard in its plain form, from the welcome to the login prompt; one answer is wrong, one page seen twice."""
    line.answer(
        (rf"Hardware profile: vm-bios[\s\S]*{WELCOME}", "plain"),
        (r"Your choice \[1\]: $", ""),
        (r"Password \(not shown\): $", PASSWORD),
        (r"The same again \(not shown\): $", PASSWORD),
        (r"SSH public key .*: $", "<"),  # back: the password page again, then on
        (r"Password \(not shown\)[^\n]*: $", PASSWORD),
        (r"The same again \(not shown\): $", PASSWORD),
        (r"SSH public key .*: $", ""),
        (r"Addresses \(with prefix\) \[192.168.1.99/24\]: $", "192.0.2.300/24"),
        (r"Allowed services .*: $", ""),
        (r"is not an address[\s\S]*Addresses .*: $", "192.0.2.10/24"),
        (r"Allowed services .*: $", ""),
        (r"port2 ==[\s\S]*Addresses .*: $", ""),
        (r"Allowed services .*: $", ""),
        (r"port3 ==[\s\S]*Addresses .*: $", ""),
        (r"Allowed services .*: $", ""),
        (r"port4 ==[\s\S]*Addresses .*: $", ""),
        (r"Allowed services .*: $", ""),
        (r"Default gateway .*: $", "192.0.2.1"),
        (r"Name servers .*: $", "192.0.2.53"),
        (r"Time zone .*: $", "Europe/Zurich"),
        (r"NTP servers .*: $", ""),
        (r"Host name .*: $", "mx1"),
        (r"Local domain .*: $", "mail.example.org"),
        (r"Your choice \[\d\]: $", "add"),
        (r"Domain .*: $", "example.com"),
        (r"Its mail server .*: $", "192.0.2.25"),
        (r"Port \[25\]: $", ""),
        (r"Verify .*: $", ""),
        (r"Your choice \[\d\]: $", "done"),
        (r"Mail host +mx1.mail.example.org[\s\S]*Your choice \[1\]: $", "apply"),
    )


@dataclass(frozen=True)
class Made:
    """What a box is after its set-up."""

    etc: str
    keys: str
    answers: str


def look(line: Line) -> Made:
    line.log_in()
    return Made(line.root(DIGESTS), line.root(KEYS), line.command("postern settings show"))


@pytest.fixture(scope="module")
def first(box: MakeBox) -> tuple[Box, Made]:
    """A box set up by hand, with a message in its queue, that was reset with its mail kept."""
    made = box("vm-bios")
    port = free_port()
    with made.on(ports=(replace(NET, forwards=(Forward(port, 25),)),)) as line:
        by_hand(line)
        seen = look(line)
        assert line.command("systemctl --failed --no-legend --plain") == ""
        line.root("mkdir -p /var/spool/postfix/deferred/kept")
        line.send("postern factory-reset --keep-mail --yes")
        line.until_off()
    return made, seen


def test_a_reset_that_keeps_the_mail_returns_the_wizard(first: tuple[Box, Made]) -> None:
    made, _ = first
    with made.on() as line:
        assert "is not set up yet" in line.expect(WELCOME)
    assert "kept" in listing(made, "/spool/postfix/deferred")


def test_the_saved_answers_make_the_same_box_by_credential_and_a_reset_can_wipe(
    first: tuple[Box, Made], box: MakeBox, tmp_path: Path
) -> None:
    _, by_hand_made = first
    answers, secrets = tmp_path / "answers.yaml", tmp_path / "secrets.yaml"
    answers.write_text(by_hand_made.answers + "\n")
    assert yaml.safe_load(answers.read_text())["format"] == 1
    secrets.write_text(f"format: 1\nadmin: {{password: {PASSWORD}}}\n")
    second = box("vm-bios")
    with second.on(credentials=(("postern.answers", answers), ("postern.secrets", secrets))) as line:
        line.expect(LOGIN)
        line.send("")
        seen = look(line)
        # The password has a salt of its own on each box; the rest is the same to the byte.
        assert without(seen.etc, "./shadow") == without(by_hand_made.etc, "./shadow")
        assert not set(seen.keys.split()) & {word for word in by_hand_made.keys.split() if len(word) == 64}
        line.root("mkdir -p /var/spool/postfix/deferred/kept")
        line.send("postern factory-reset --wipe-mail --yes")
        line.until_off()
    with second.on() as line:
        line.expect(WELCOME)
    assert "kept" not in listing(second, "/spool/postfix/deferred")


def without(digests: str, name: str) -> list[str]:
    return [line for line in digests.splitlines() if not line.endswith(name)]


def listing(box: Box, folder: str) -> str:
    """What a folder of the data partition holds, read while the box is off."""
    table = box.tools.run("sfdisk", "--dump", box.raw())
    start = next(int(hit[1]) for row in table.splitlines() if (hit := re.search(r"start= *(\d+).*name=.data", row)))
    return box.tools.run("debugfs", "-R", f"ls {folder}", f"{box.folder / 'disk.raw'}?offset={start * 512}")


def test_a_volume_sets_the_box_up_and_mail_flows(box: MakeBox, tmp_path: Path) -> None:
    """On the UEFI twin, by an answer file on FAT: mail for the protected domain arrives, nothing else is relayed."""
    made = box("vm-uefi")
    port, server = free_port(), Server()
    answers, secrets = tmp_path / "answers.yaml", tmp_path / "secrets.yaml"
    answers.write_text(ANSWERS.format(port=server.port))
    secrets.write_text(f"format: 1\nadmin: {{password: {PASSWORD}}}\n")
    volume = emulate.answers_volume(made.tools, tmp_path / "answers.img", answers, secrets)
    net = replace(NET, forwards=(Forward(port, 25),))
    with server, made.on(ports=(net,), drives=(Drive(volume, DriveBus.USB),)) as line:
        line.expect(LOGIN)
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
            client.ehlo("client.example.net")
            assert client.mail("sender@example.net")[0] == 250
            assert client.rcpt("someone@elsewhere.example")[0] == 554
            assert client.rcpt("nobody@example.com")[0] == 550
            client.rset()
            sent = message("through the real kernel")
            client.sendmail("sender@example.net", ["someone@example.com"], sent)
        assert server.received(60).endswith(sent)
        line.send("")
        line.log_in()
        assert line.command("systemctl --failed --no-legend --plain") == ""


ANSWERS = """
format: 1
mode: gateway
network: {{ports: {{port1: {{addresses: [192.0.2.10/24], allow: [ping, ssh, smtp]}}}}}}
mailhost: {{host_name: mx1, local_domain: mail.example.org}}
domains: [{{name: example.com, server: 192.0.2.25, port: {port}}}]
"""
