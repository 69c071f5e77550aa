"""A change over SSH that cuts its maker off comes back by itself; one that is confirmed stays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.host.run import Completed
from tests.container.box import until
from tests.container.lab import Lab, lab
from tests.container.test_ssh import ssh
from tests.peers import Peers

HERE, ELSEWHERE = "172.16.0.1/24", "172.16.0.9/24"


@pytest.fixture(scope="module")
def gateway(root: Path, peers: Peers) -> Iterator[Lab]:
    with lab(root, peers, name="lk") as made:
        yield made


def change(gateway: Lab, seconds: int, *addresses: str) -> Completed:
    """Give the port to the administrator's desk other addresses, over SSH."""
    text = ssh(gateway, "postern settings show").stdout
    item = re.compile(rf"^( *- ){HERE}$", re.MULTILINE)
    changed, count = item.subn(lambda found: "\n".join(found[1] + address for address in addresses), text)
    assert count == 1
    command = f"cat >a.yaml; postern apply a.yaml --confirm-within {seconds}"
    return ssh(gateway, command, stdin=changed)


def verdicts(gateway: Lab) -> list[str]:
    said = gateway.box.run("postern", "settings", "history", "--json").stdout
    return [one["verdict"] for one in json.loads(said)]


def lets_in(gateway: Lab) -> bool:
    return ssh(gateway, "id -un").stdout == "admin\n"


def has(gateway: Lab, address: str) -> bool:
    return address in gateway.box.run("ip", "address", "show", "port3").stdout


def test_a_wrong_address_comes_back_after_the_countdown(gateway: Lab) -> None:
    change(gateway, 5, ELSEWHERE)
    until(lambda: lets_in(gateway), "the administrator's way in", gateway.box.tail)
    assert verdicts(gateway) == ["failed", "good"]
    assert not has(gateway, ELSEWHERE)


def test_a_wrong_address_comes_back_after_a_restart(gateway: Lab) -> None:
    assert change(gateway, 600, ELSEWHERE).status == 255  # ssh has given up
    assert has(gateway, ELSEWHERE)
    gateway.box.stop()
    gateway.box.start()
    until(lambda: lets_in(gateway), "the administrator's way in", gateway.box.tail)
    assert verdicts(gateway) == ["failed", "failed", "good"]
    assert not has(gateway, ELSEWHERE)


def test_what_was_confirmed_stays(gateway: Lab) -> None:
    gateway.box.run("systemctl", "is-system-running", "--wait", check=False)  # what a start proves is a change, too
    done = change(gateway, 60, HERE, ELSEWHERE)
    assert done.status == 0, done.stderr
    kept = ssh(gateway, "postern confirm")
    assert (kept.status, kept.stdout) == (0, "Generation 4 stays in force.\n"), kept.stderr
    refused = ssh(gateway, "postern confirm")
    assert refused.status == 2
    assert refused.stderr.startswith("no settings wait to be confirmed")
    gateway.box.stop()
    gateway.box.start()
    until(lambda: lets_in(gateway), "the administrator's way in", gateway.box.tail)
    assert has(gateway, ELSEWHERE)
    assert verdicts(gateway)[0] == "good"
