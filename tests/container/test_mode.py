"""A box in service changes its mode and comes back: what stays, what is said to be dropped, and that it works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.box import Box
from tests.container.lab import Lab, lab
from tests.peers import Peers


@dataclass(frozen=True)
class Seen:
    """The box in one mode."""

    settings: str
    mode: str
    recipient: int  # the answer to somebody of a protected domain, known to its server and to nobody on the box
    addresses: str
    name: str
    account: str  # the administrator's line in /etc/shadow, and his keys
    users: int  # the status of `postern users list`


@dataclass(frozen=True)
class Journey:
    """From gateway mode to server mode and back, and what the box said on its way."""

    before: Seen
    there: Seen
    back: Seen
    said_there: str
    said_back: str
    saved: int  # the status of a check of the answer file that was kept


@pytest.fixture(scope="module")
def journey(root: Path, peers: Peers) -> Iterator[Journey]:
    with lab(root, peers, name="mo") as made:
        before = look(made)
        said_there = change(made.box, "server")
        there = look(made)
        said_back = change(made.box, "gateway")
        saved = "/var/lib/postern/saved/gateway-0001"
        checked = ("--answers", f"{saved}.yaml", "--secrets", f"{saved}-secrets.yaml", "--check")
        status = made.box.run("postern", "setup", *checked, check=False).status
        yield Journey(before, there, look(made), said_there, said_back, status)


def change(box: Box, mode: str) -> str:
    """Change the mode and keep it."""
    said = box.run("postern", "mode", mode, "--yes", "--confirm-within", "600").stdout
    box.run("postern", "confirm")
    return said


def look(made: Lab) -> Seen:
    box = made.box
    with made.stranger() as client:
        recipient, _ = client.try_recipient("ann@example.com")
    return Seen(
        settings=box.run("postern", "settings", "show").stdout,
        mode=json.loads(box.run("postern", "status", "--json").stdout)["mode"],
        recipient=recipient,
        addresses=box.run("ip", "-brief", "address").stdout,
        name=box.run("hostname").stdout,
        account=box.run("sh", "-c", "grep ^admin: /etc/shadow; cat /etc/ssh/authorized_keys.d/admin").stdout,
        users=box.run("postern", "users", "list", check=False).status,
    )


def test_the_box_is_in_service_in_each_mode(journey: Journey) -> None:
    assert [seen.mode for seen in (journey.before, journey.there, journey.back)] == ["gateway", "server", "gateway"]
    assert [seen.users for seen in (journey.before, journey.there, journey.back)] == [2, 0, 2]
    # A server has mailboxes of its own, and nobody has one yet.
    assert [seen.recipient for seen in (journey.before, journey.there, journey.back)] == [250, 550, 250]


@pytest.mark.parametrize("what", ["addresses", "name", "account"])
def test_it_keeps_what_every_mode_has(journey: Journey, what: str) -> None:
    before, there, back = (getattr(seen, what) for seen in (journey.before, journey.there, journey.back))
    assert before == there == back


def test_it_says_what_it_drops_and_keeps_it_aside(journey: Journey) -> None:
    dropped = journey.said_there.partition("It drops:\n")[2].partition("The settings until now are kept in ")[0]
    assert "  domains.0.server: 10.0.0.25\n" in dropped
    assert all(f"  domains.{index}.server: " in dropped for index in range(3))
    assert "network" not in dropped
    assert journey.saved == 0


def test_the_way_back_brings_it_again(journey: Journey) -> None:
    assert "  domains.0.server: 10.0.0.25\n" in journey.said_back.partition("It adds:\n")[2]
    assert journey.back.settings == journey.before.settings
