"""Set-up on the real kernel: by hand, by stick, by a hypervisor's CD; what is open before and after; mail; reset.

Four lives, each told by a fixture that switches its box off at its end and hands over what was seen:

- `first` (vm-bios): scanned, its set-up begun on its screen with a German keyboard and gone on with in plain lines,
  saved on a stick, scanned again, given a VLAN and a bond, reset with its mail kept.
- `drawn` (fortimail-100, 9600 baud): set up in the full-screen form, reset with everything wiped.
- `stuck` (vm-uefi): its disk begins as a VMDK; set up by the stick that `first` saved, put in while it waited; mail
  flows while spaces fill.
- `told` (vm-bios): started as another model, which refuses its credentials; then as itself, set up by the CD that a
  hypervisor makes of what was typed into the form of an OVF package; logged in at its screen.
"""

from __future__ import annotations

import base64
import gzip
import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from hardware.parts import Dmi
from hardware.twin import FACTORY_NET, Drive, DriveBus, Forward, ImageFile, mac_address
from images.tools import Tools
from tests.machine.conftest import MakeBox
from tests.machine.disk import empty_stick, from_stick, hypervisors_cd, listing
from tests.machine.mail import UNKNOWN, Server, message
from tests.machine.screen import Screen
from tests.machine.twin import LOGIN, NET, PASSWORD, USB, WELCOME, Box, Line
from tests.machine.walks import begin_at_the_screen, by_hand, by_screen, log_in_at_the_screen
from tests.machine.wire import Sweep, Wire
from tests.peers import Peers

# Every file of /etc by mode, owner and the first digits of its digest, packed: 9600 baud carry a kilobyte a second.
_ETC = r"""sh -c 'cd /etc && { find . ! -name machine-id -printf "%M %U:%G %p %l\n" | sort -k3;
find . -type f ! -name machine-id | sort | xargs sha256sum | sed -E "s/^(.{12})[0-9a-f]+/\1/"; } |
gzip -9 | base64'""".replace("\n", " ")
_KEYS = "sh -c 'sha256sum /var/lib/postern/device/ssh/*.pub /var/lib/postern/device/tls/*.pem /etc/machine-id'"
_IN_QUEUE = "kept-by-the-reset"


@dataclass(frozen=True)
class Made:
    """What a box is after its set-up: its /etc, a line a file, and the digests of what is its own."""

    etc: frozenset[str]
    keys: frozenset[str]

    def etc_but(self, *names: str) -> set[str]:
        return {row for row in self.etc if not row.rstrip().endswith(names)}


def look(line: Line) -> Made:
    """Log in and see. Whatever failed on the way is told by the box."""
    line.log_in()
    assert line.command("systemctl --failed --no-legend --plain") == ""
    etc = frozenset(gzip.decompress(base64.b64decode(line.root(_ETC))).decode().splitlines())
    return Made(etc, frozenset(row.split()[0] for row in line.root(_KEYS).splitlines()))


# A VLAN and a bond, and a VLAN that no settings speak of.
_LINKS = (
    "postern settings show >/run/a.yaml; sed -i 's|^  ports:|  bonds: {bond1: {ports: [port3, port4]}}\\n  ports:\\n"
    "    port2.20: {addresses: [172.16.0.1/30]}\\n    bond1: {addresses: [10.1.0.1/24], allow: [ping]}|' /run/a.yaml; "
    "ip link add link port4 name port4.99 type vlan id 99; postern apply --confirm-within 0 /run/a.yaml"
)

# An apply does not wait until networkd has made them.
_SHOW_LINKS = (
    "/usr/lib/systemd/systemd-networkd-wait-online --quiet --timeout=60 --interface=bond1 --interface=port2.20; "
    "ip -brief address; ip -brief link show bond1; ip -details link show port2.20"
)


def link(line: Line) -> str:
    """Make links of the ports that are left; what the kernel says of them."""
    said = line.root(f'sh -c "{_LINKS}"')
    assert "is in force" in said, said
    return line.root(f"sh -c '{_SHOW_LINKS}'")


def put_into_queue(line: Line) -> None:
    """A file where deferred mail lies: what a reset keeps or wipes."""
    line.root(f"touch /var/spool/postfix/deferred/{_IN_QUEUE}")


@dataclass(frozen=True)
class First:
    """What was seen of the first box: sweeps by port, and what it is."""

    before: dict[str, Sweep]
    typed: str  # the screen, once "yes" was typed there on a German keyboard
    after: dict[str, Sweep]
    made: Made
    linked: str
    said: str
    welcome_after_reset: str
    queue_after_reset: str


@contextmanager
def wires(box: Box) -> Iterator[dict[str, Wire]]:
    """A cable for each port of the box."""
    made = {name: Wire(box.folder, name) for name in box.profile.port_names}
    try:
        yield made
    finally:
        for wire in made.values():
            wire.close()


def sweep(box: Box, wire: Wire, port: str, address: str, us: str) -> Sweep:
    return wire.sweep(mac_address(box.profile, int(port[-1])), IPv4Address(address), IPv4Address(us))


@pytest.fixture(scope="module")
def stick(box: MakeBox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stick on which the first box saves, and from which others are set up."""
    return tmp_path_factory.mktemp("stick") / "stick.img"


@pytest.fixture(scope="module")
def first(box: MakeBox, stick: Path, server: Server) -> First:
    made = box("vm-bios")
    saved = Drive(empty_stick(made.tools, stick), DriveBus.USB, read_only=False)
    with wires(made) as cables:
        ports = tuple(cable.link for cable in cables.values())
        with made.on(ports=ports, drives=(saved,)) as line:
            assert "Hardware profile: vm-bios" in line.expect(WELCOME)
            before = {port: sweep(made, cable, port, "192.168.1.99", "192.168.1.1") for port, cable in cables.items()}
            typed = begin_at_the_screen(made, line)
            by_hand(line, server.port)
            line.expect(LOGIN)
            after = {
                "port1": sweep(made, cables["port1"], "port1", "192.0.2.10", "192.0.2.77"),
                "port2": sweep(made, cables["port2"], "port2", "10.0.0.1", "10.0.0.77"),
                "port2 to port1": sweep(made, cables["port2"], "port2", "192.0.2.10", "10.0.0.77"),
                "port3": sweep(made, cables["port3"], "port3", "192.0.2.10", "10.0.3.77"),
                "port4": sweep(made, cables["port4"], "port4", "192.0.2.10", "10.0.4.77"),
            }
            seen = look(line)
            linked = link(line)
            put_into_queue(line)
            line.send("postern factory-reset --keep-mail --yes")
            line.until_off()
    with made.on(ports=(FACTORY_NET,)) as line:
        welcome = line.expect(WELCOME)
    deferred = listing(made.tools, made.raw(), "/spool/postfix/deferred")
    return First(before, typed, after, seen, linked, made.heard[0], welcome, deferred)


@dataclass(frozen=True)
class Drawn:
    """What was seen of the box that was set up in the full-screen form."""

    made: Made
    welcome_after_reset: str
    queue_after_reset: str


@pytest.fixture(scope="module")
def drawn(box: MakeBox, server: Server) -> Drawn:
    made = box("fortimail-100")
    with made.on(ports=(FACTORY_NET,)) as line:
        screen = Screen(line)
        assert "Hardware profile: fortimail-100" in screen.shows("Press Enter to set it up here")
        by_screen(screen, server.port)
        screen.shows("mx1 login:")
        seen = look(line)
        put_into_queue(line)
        line.send("postern factory-reset --wipe-mail --yes")
        line.until_off()
    with made.on(ports=(FACTORY_NET,)) as line:
        welcome = line.expect(WELCOME)
    return Drawn(seen, welcome, listing(made.tools, made.raw(), "/spool/postfix/deferred"))


@dataclass(frozen=True)
class Stuck:
    """What was seen of the box that was set up by the stick."""

    made: Made
    replies: dict[str, int]
    sent: bytes
    got: bytes
    spaces: Spaces


@pytest.fixture(scope="module")
def stuck(first: First, box: MakeBox, stick: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Stuck:
    made = box("vm-uefi")
    made.cpus = None  # one life with all the processors that the twin has
    made.begin_as_vmdk()
    kept = empty_stick(made.tools, tmp_path_factory.mktemp("second") / "stick.img")
    kept.path.write_bytes(stick.read_bytes())
    net = replace(NET, forwards=(Forward(server.door, 25),))
    with server, made.on(ports=(net,), extra=USB) as line:
        assert "Hardware profile: vm-uefi" in line.expect(WELCOME)
        made.put_in(kept)
        line.expect(LOGIN)
        with smtplib.SMTP("127.0.0.1", server.door, timeout=120) as client:
            client.ehlo("client.example.net")
            client.mail("sender@example.net")
            replies = {to: client.rcpt(to)[0] for to in ("someone@elsewhere.example", UNKNOWN, "someone@example.com")}
            client.rset()
            sent = message("through the real kernel")
            client.sendmail("sender@example.net", ["someone@example.com"], sent)
        got = server.received(60)
        return Stuck(look(line), replies, sent, got, fill(line, server))


@dataclass(frozen=True)
class Spaces:
    """What was seen of the spaces of the data partition while one after the other was full."""

    status: str
    filled: dict[str, str]  # what a program was told that wanted more than its space has
    free: dict[str, dict[str, int]]  # while one is full: how much the others have [KiB]
    said: dict[str, int]  # by mail service to a message, while one is full
    got: list[bytes]


_PLACES = {"queue": "spool/postfix/hold", "mail": "vmail", "logs": "log/journal", "rest": "lib/rspamd"}


def fill(line: Line, server: Server) -> Spaces:
    """Fill each space by a program that, as the daemons, has no more rights than its files, and send meanwhile."""
    filled, free, said = {}, {}, {}
    for name, place in _PLACES.items():
        filler = f"/var/{place}/filler"
        bounded = "setpriv --bounding-set -sys_resource --inh-caps -sys_resource"
        filled[name] = line.root(f"{bounded} fallocate -l 20G {filler}")
        rows = line.root(f"df --output=avail {' '.join(f'/var/{folder}' for folder in _PLACES.values())}")
        free[name] = dict(zip(_PLACES, map(int, rows.split()[-len(_PLACES) :]), strict=True))
        said[name] = code_of(server.door, name)
        line.root(f"rm {filler}")
    said["none"] = code_of(server.door, "none")
    taken = list(said.values()).count(250)
    return Spaces(line.command("postern status"), filled, free, said, [server.received(300) for _ in range(taken)])


def code_of(port: int, subject: str) -> int:
    """What mail service says to a message."""
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
        try:
            client.sendmail("sender@example.net", ["someone@example.com"], message(subject))
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
    return 250


@dataclass(frozen=True)
class Told:
    """What was seen of the box that got its settings by credentials as another model, and on a hypervisor's CD."""

    refusal: str
    made: Made
    screen: str


@pytest.fixture(scope="module")
def told(first: First, box: MakeBox, stick: Path, virtinst: Peers, tmp_path_factory: pytest.TempPathFactory) -> Told:
    made = box("vm-bios")
    folder = tmp_path_factory.mktemp("credentials")
    credentials = tuple((f"postern.{name}", folder / name) for name in ("answers", "secrets"))
    for _, file in credentials:
        file.write_text(from_stick(made.tools, ImageFile(stick), f"{file.name}.yaml"))
    other = Dmi(manufacturer="PC Engines", product="apu2", board="apu2")
    with made.on(ports=(FACTORY_NET,), credentials=credentials, dmi=other) as line:
        refusal = line.expect("cannot be set up with this image")
    typed = {file.name: base64.b64encode(file.read_bytes()).decode() for _, file in credentials}
    cd = Drive(hypervisors_cd(virtinst, folder, **typed), DriveBus.CDROM)
    with made.on(ports=(FACTORY_NET,), drives=(cd,)) as line:
        line.expect(LOGIN)
        seen = look(line)
        return Told(refusal, seen, log_in_at_the_screen(made, line))


NOTHING: frozenset[str] = frozenset()


def test_before_set_up_no_port_of_the_box_answers(first: First) -> None:
    """An echo on port1 is the one thing that comes back."""
    assert first.before["port1"].taken == first.before["port1"].sent
    assert {port: sweep.answers for port, sweep in first.before.items()} == {
        "port1": {"ping"},
        "port2": NOTHING,
        "port3": NOTHING,
        "port4": NOTHING,
    }


def test_after_set_up_exactly_what_each_port_allows_answers(first: First) -> None:
    for name in ("port1", "port2", "port2 to port1"):
        assert first.after[name].taken == first.after[name].sent
    assert first.after["port1"].answers == {"ping", "tcp 22 open", "tcp 25 open"}
    assert first.after["port2"].answers == {"ping", "tcp 25 open"}
    assert "tcp 22 open" not in first.after["port2 to port1"].answers
    assert first.after["port3"].answers == NOTHING
    assert first.after["port4"].answers == NOTHING


def test_a_keyboard_counts_as_soon_as_it_is_chosen(first: First) -> None:
    assert re.search("public key .optional. +yes", first.typed)


def test_a_password_typed_on_a_german_keyboard_is_the_password_meant(told: Told) -> None:
    """The layout came with the settings, from the hypervisor's CD; the password has a y in it."""
    assert "admin@mx1:" in told.screen


def test_the_kernel_does_not_write_over_the_wizard(first: First) -> None:
    walk = first.said.partition("Starting the setup")[2].partition("Applying the settings")[0]
    assert "== Log server ==" in walk
    assert not re.search(r"^\[ *\d+\.\d{6}\]", walk, re.MULTILINE)


def test_vlans_and_bonds_are_made_and_old_ones_go(first: First) -> None:
    shown = first.linked
    assert re.search(r"^port2\.20@port2 +UP +172\.16\.0\.1/30 *$", shown, re.MULTILINE)
    assert "vlan protocol 802.1Q id 20" in shown
    assert re.search(r"^bond1 +UP +10\.1\.0\.1/24 *$", shown, re.MULTILINE)
    assert "port4.99" not in shown


def test_the_full_screen_form_makes_the_same_box_as_plain_lines(first: First, drawn: Drawn) -> None:
    """The hash of the password has a salt of its own, and this model has no keyboard; all else is the same."""
    others = ("./shadow", "./postern/quarantine-admin", "./vconsole.conf")
    assert drawn.made.etc_but(*others) == first.made.etc_but(*others)


def test_the_saved_stick_makes_the_same_box_to_the_byte(first: First, stuck: Stuck) -> None:
    assert stuck.made.etc == first.made.etc


def test_the_saved_answers_on_a_hypervisors_cd_make_the_same_box_to_the_byte(first: First, told: Told) -> None:
    assert told.made.etc == first.made.etc


def test_another_model_is_refused_whatever_it_is_told(told: Told) -> None:
    assert "vm-bios" in told.refusal
    assert "pcengines-apu2" in told.refusal


def test_each_box_has_keys_and_an_identity_of_its_own(first: First, drawn: Drawn, stuck: Stuck, told: Told) -> None:
    every = [key for made in (first.made, drawn.made, stuck.made, told.made) for key in made.keys]
    assert len(every) == len(set(every)) == 4 * len(first.made.keys)
    assert len(first.made.keys) >= 5  # two SSH keys, TLS key and certificate, machine id


def test_mail_arrives_and_nothing_else_is_relayed(stuck: Stuck) -> None:
    assert stuck.replies == {"someone@elsewhere.example": 554, UNKNOWN: 550, "someone@example.com": 250}
    assert stuck.got.endswith(stuck.sent)


def test_what_is_full_takes_no_room_from_the_others(stuck: Stuck) -> None:
    spaces = stuck.spaces
    for full, free in spaces.free.items():
        assert "quota exceeded" in spaces.filled[full]
        assert {name for name, kib in free.items() if kib < 1024} == {full}
    rows = re.findall(r"^(?:Spaces|  ) +(\w+) +(\d+) of (\d+) MiB free$", spaces.status, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(_PLACES)
    assert "little room" not in spaces.status


def test_without_room_in_the_queue_nothing_is_accepted_and_else_everything_arrives(stuck: Stuck) -> None:
    """The virus scanner unpacks in the rest; what cannot be scanned is put off."""
    assert stuck.spaces.said == {"queue": 452, "mail": 250, "logs": 250, "rest": 451, "none": 250}
    subjects = [re.search(rb"^Subject: (\w+)\r?$", content, re.MULTILINE) for content in stuck.spaces.got]
    assert [found[1].decode() for found in subjects if found] == ["mail", "logs", "none"]


def test_a_reset_that_keeps_the_mail_returns_the_wizard(first: First) -> None:
    assert "is not set up yet" in first.welcome_after_reset
    assert _IN_QUEUE in first.queue_after_reset


def test_a_reset_that_wipes_the_mail_returns_the_wizard(drawn: Drawn) -> None:
    assert "is not set up yet" in drawn.welcome_after_reset
    assert _IN_QUEUE not in drawn.queue_after_reset


def test_what_is_saved_holds_a_hash_and_no_password(first: First, toolbox: Tools, stick: Path) -> None:
    assert "password_hash" in from_stick(toolbox, ImageFile(stick), "secrets.yaml")
    assert PASSWORD.encode() not in stick.read_bytes()
