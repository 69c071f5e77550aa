"""Transparent mode under Debian's own kernel: the fortimail-100 twin stands in the wire between real hosts.

One life, told by `life`: set up by credentials to fail open, used, its proxy killed; told to fail closed, and its proxy
killed again. The hosts are network namespaces of this machine, as in the container lane, and their cables its tap
interfaces. A proxy that was killed would be back in a second: for the time of each look systemd is told to leave it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware.host import run
from hardware.twin import Tap
from tests.container.bridged import (
    BOX,
    INSIDER,
    OTHER,
    SERVER,
    SERVER6,
    STRANGER,
    STRANGER6,
    THIRD,
    WORLD,
    Hosts,
    answers,
    hosts,
)
from tests.container.client import Client
from tests.container.mailserver import MailServer
from tests.container.malformed import EICAR
from tests.container.network import Segment, segments
from tests.container.test_filtering import REFUSED, attached, letter
from tests.container.test_transparent import ANN, NET, got, send
from tests.machine.conftest import MakeBox
from tests.machine.twin import LOGIN, PASSWORD, Line
from tests.peers import Peers

SECRETS = f"format: 1\nadmin: {{password: {PASSWORD}}}\n"
_LEFT_ALONE = "/run/systemd/system/postern-proxy.service.d"
_CHANGED = "postern settings show >/run/a.yaml; sed -i 's/fail: open/fail: closed/' /run/a.yaml"
_CLOSED = f"{_CHANGED}; postern apply --confirm-within 0 /run/a.yaml"


@dataclass(frozen=True)
class Seen:
    """What a server got: whom it took for the client, and whether the message was read on its way."""

    answer: int
    client: str
    read: bool


@dataclass(frozen=True)
class Life:
    """What was seen while the box was on."""

    kernel: str
    through: dict[str, Seen]
    refused: dict[str, tuple[int, str]]
    own_answer: tuple[int, str]
    crossed: dict[str, bool]
    local: dict[str, bool]
    failed_open: Seen
    back: Seen
    failed_closed: dict[str, bool]
    back_again: Seen
    failed_units: str


@contextmanager
def taps(cables: tuple[Segment, ...]) -> Iterator[tuple[Tap, ...]]:
    """An interface for each cable, for the emulator to take before it goes to its network."""
    try:
        for cable in cables:
            run.run(["ip", "tuntap", "add", "dev", cable.cable, "mode", "tap"])
            run.run(["ip", "link", "set", cable.cable, "up"])
        yield tuple(Tap(cable.cable) for cable in cables)
    finally:
        for cable in cables:
            run.run(["ip", "link", "delete", cable.cable], check=False)


def taken(cable: Segment) -> bool:
    """Has the emulator taken the interface?"""
    return Path(f"/sys/class/net/{cable.cable}/carrier").read_text().strip() == "1"


def seen(client: Client, server: MailServer, subject: str, to: str = ANN) -> Seen:
    """Send a message, and look how it arrived."""
    code, _ = send(client, letter(subject), to)
    messages = got(server, subject)
    if not messages:
        return Seen(code, "", read=False)
    return Seen(code, messages[0].client, b"X-Postern-Verdict: clean" in messages[0].content)


@contextmanager
def killed(line: Line) -> Iterator[None]:
    """The proxy is killed, and not started again before the end of the block."""
    line.root(f"sh -c 'mkdir -p {_LEFT_ALONE}; printf \"[Service]\\nRestart=no\\n\" >{_LEFT_ALONE}/left.conf'")
    line.root("systemctl daemon-reload")
    line.root("systemctl kill --signal=KILL postern-proxy")
    state = "systemctl show --value -p SubState postern-proxy"
    line.wait_for(lambda: line.command(state) == "failed", "the end of the proxy")
    yield
    line.root(f"rm -r {_LEFT_ALONE}")
    line.root("systemctl daemon-reload")
    line.root("systemctl restart postern-proxy")  # back when it serves


@pytest.fixture(scope="module")
def life(box: MakeBox, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    if os.geteuid() or not Path("/dev/net/tun").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs root and /dev/net/tun")
    made = box("fortimail-100")
    folder = tmp_path_factory.mktemp("around")
    credentials = tuple((f"postern.{name}", folder / name) for name in ("answers", "secrets"))
    for (_, file), text in zip(credentials, (answers("open", "drop"), SECRETS), strict=True):
        file.write_text(text)
    with segments(3, "mt") as cables, taps(cables) as links, made.on(ports=links, credentials=credentials) as line:
        line.wait_for(lambda: all(map(taken, cables)), "the emulator")
        for cable in cables:
            cable.plug()
        line.expect(LOGIN)
        with hosts(cables, peers, folder) as around:
            line.wait_for(lambda: judges(around), "the filter and its scanner")
            yield told(line, around)


def judges(around: Hosts) -> bool:
    """A virus has to be known for one: a filter that does not run yet, or runs without its scanner, puts it off."""
    virus = attached("early virus", EICAR, "eicar.com")
    return around.outside.answers(SERVER, 25) and send(around.client(SERVER), virus, ANN)[0] == 550


def told(line: Line, around: Hosts) -> Life:
    line.log_in()
    outside, inside, third = around.outside, around.inside, around.third
    inward, inward6 = around.client(SERVER), around.client(SERVER6, STRANGER6)
    through = {
        "incoming": seen(inward, around.server, "incoming"),
        "incoming by IPv6": seen(inward6, around.server6, "by IPv6", NET),
        "outgoing": seen(around.client(WORLD, INSIDER, inside), around.world, "outgoing", "tom@outside.example"),
        "passed": seen(around.client(OTHER), around.other, "passed", "x@other.example"),
        "another port": seen(Client(outside, SERVER, STRANGER, 2525), around.elsewhere, "another port"),
    }
    refused = {
        "GTUBE": send(around.client(SERVER), letter("refused", REFUSED), ANN),
        "EICAR": send(around.client(SERVER), attached("refused", EICAR, "eicar.com"), ANN),
    }
    around.server.know_only(ANN)
    with around.client(SERVER) as client:
        own_answer = client.try_recipient("nobody@example.com")
    crossed = {
        "ping": outside.pings(SERVER),
        "ping by IPv6": outside.pings(SERVER6),
        "dropped, incoming": third.answers(SERVER, 25),
        "dropped, outgoing": third.answers(WORLD, 25),
        "not dropped": third.answers(SERVER, 2525, THIRD),
    }
    local = {"outside": outside.answers(BOX, 25), "inside": inside.answers(BOX, 25), "ssh": outside.answers(BOX, 22)}
    with killed(line):
        failed_open = seen(around.client(SERVER), around.server, "fails open")
    back = seen(around.client(SERVER), around.server, "is back")
    line.root(f'sh -c "{_CLOSED}"')
    with killed(line):
        failed_closed = {"mail": outside.answers(SERVER, 25), "another port": outside.answers(SERVER, 2525)}
    back_again = seen(around.client(SERVER), around.server, "is back again")
    return Life(
        kernel=line.command("uname -v"),
        through=through,
        refused=refused,
        own_answer=own_answer,
        crossed=crossed,
        local=local,
        failed_open=failed_open,
        back=back,
        failed_closed=failed_closed,
        back_again=back_again,
        failed_units=line.command("systemctl --failed --no-legend --plain"),
    )


def test_it_is_debians_kernel_and_all_is_well(life: Life) -> None:
    assert "Debian" in life.kernel
    assert life.failed_units == ""


def test_each_server_sees_the_client_and_what_shall_be_is_read(life: Life) -> None:
    assert life.through == {
        "incoming": Seen(250, STRANGER, read=True),
        "incoming by IPv6": Seen(250, STRANGER6, read=True),
        "outgoing": Seen(250, INSIDER, read=True),
        "passed": Seen(250, STRANGER, read=False),
        "another port": Seen(250, STRANGER, read=False),
    }


def test_what_is_refused_is_refused(life: Life) -> None:
    assert life.refused["GTUBE"] == (550, "5.7.1 refused as spam")
    assert life.refused["EICAR"][0] == 550
    assert "virus found: Eicar-Test-Signature" in life.refused["EICAR"][1]


def test_the_servers_own_answer_is_the_clients(life: Life) -> None:
    assert life.own_answer == (550, "5.1.1 nobody of that name here")


def test_what_crosses_the_bridge_and_what_a_port_drops(life: Life) -> None:
    assert life.crossed == {
        "ping": True,
        "ping by IPv6": True,
        "dropped, incoming": False,
        "dropped, outgoing": False,
        "not dropped": True,
    }


def test_the_box_itself_answers_where_it_may(life: Life) -> None:
    assert life.local == {"outside": True, "inside": False, "ssh": False}


def test_a_killed_proxy_under_fail_open_lets_mail_through(life: Life) -> None:
    assert life.failed_open == Seen(250, STRANGER, read=False)
    assert life.back == Seen(250, STRANGER, read=True)


def test_a_killed_proxy_under_fail_closed_lets_none_through(life: Life) -> None:
    assert life.failed_closed == {"mail": False, "another port": True}
    assert life.back_again == Seen(250, STRANGER, read=True)
