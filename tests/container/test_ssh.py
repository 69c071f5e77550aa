"""The administrator gets in by SSH, from the ports that let him; nobody else does."""

from __future__ import annotations

import json

import pytest

from hardware.host import run
from hardware.host.run import Completed
from tests.container.lab import ADMIN, DESK_BOX, INSIDE_BOX, OUTSIDE_BOX, PASSWORD, STRANGER, TRUSTED, UNWELCOME, Lab
from tests.peers import inside

_OPTIONS = (
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "ConnectTimeout=5",
    "ServerAliveInterval=5",
    "LogLevel=ERROR",
)
# Whoever fails has an address of its own: sshd shuts out one that fails too often.
_strangers = (f"172.16.0.{number}" for number in UNWELCOME)


def ssh(
    gateway: Lab, *command: str, user: str = "admin", password: str = "", stdin: str = "", source: str = ADMIN
) -> Completed:
    """OpenSSH from the administrator's desk: with a password if one is given, else with the key."""
    argv = ["-F", "none", "-b", source, *(word for option in _OPTIONS for word in ("-o", option))]
    env = {}
    if password:
        argv += ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]
        asking = gateway.folder / "askpass"
        asking.write_text(f"#!/bin/sh\necho '{password}'\n")
        asking.chmod(0o700)
        env = {"SSH_ASKPASS": str(inside(asking)), "SSH_ASKPASS_REQUIRE": "force"}
    else:
        argv += ["-i", str(inside(gateway.key)), "-o", "PasswordAuthentication=no", "-o", "BatchMode=yes"]
    argv += [f"{user}@{DESK_BOX}", *command]
    return run.run(
        gateway.peers.command("ssh", *argv, namespace=gateway.desk.namespace),
        stdin=stdin,
        env=env,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("password", ["", PASSWORD], ids=["key", "password"])
def test_the_administrator_gets_in(gateway: Lab, password: str) -> None:
    done = ssh(gateway, "id -un", password=password)
    assert (done.status, done.stdout.strip()) == (0, "admin"), done.stderr


@pytest.mark.parametrize("user", ["root", "postfix", "nobody", "admin2"])
@pytest.mark.parametrize("password", ["", PASSWORD], ids=["key", "password"])
def test_nobody_else_gets_in(gateway: Lab, user: str, password: str) -> None:
    done = ssh(gateway, "id", user=user, password=password, source=next(_strangers))
    assert done.status == 255
    assert "Permission denied" in done.stderr


def test_a_wrong_password_does_not_get_in(gateway: Lab) -> None:
    done = ssh(gateway, "id", password="another one", source=next(_strangers))
    assert done.status == 255
    assert "Permission denied" in done.stderr


def test_who_goes_on_guessing_is_shut_out_alone(gateway: Lab) -> None:
    source = next(_strangers)
    for _ in range(20):
        if "Permission denied" not in ssh(gateway, "id", user="nobody", source=source).stderr:
            break
    else:
        pytest.fail("twenty attempts were answered")
    assert ssh(gateway, "true").status == 0


def test_other_ports_do_not_let_ssh_in(gateway: Lab) -> None:
    assert gateway.desk.answers(DESK_BOX, 22, ADMIN)
    assert not gateway.outside.answers(OUTSIDE_BOX, 22, STRANGER)
    assert not gateway.inside.answers(INSIDE_BOX, 22, TRUSTED)
    assert not gateway.desk.answers(DESK_BOX, 25, ADMIN)


def test_the_boxs_own_command_needs_no_password(gateway: Lab) -> None:
    done = ssh(gateway, "postern status --json")
    assert done.status == 0, done.stderr
    status = json.loads(done.stdout)
    assert (status["stage"], status["mode"], status["name"]) == ("in-service", "gateway", "mx1.mail.example.org")
    assert status["problems"] == []
    # "off" is what these settings do not want; chrony never runs in a container.
    unwell = {name: one for name, one in status["services"].items() if one not in ("active", "off")}
    assert unwell in ({}, {"chrony": "inactive"})
    assert [port["addresses"] for port in status["ports"]][1:] == [["10.0.0.1/24"], ["172.16.0.1/24"], []]


def test_everything_else_needs_the_password(gateway: Lab) -> None:
    assert ssh(gateway, "sudo -n id -u").status == 1
    done = ssh(gateway, "sudo -S -p '' id -u", stdin=f"{PASSWORD}\n")
    assert (done.status, done.stdout.strip()) == (0, "0"), done.stderr


def test_settings_are_seen_and_changed_over_ssh(gateway: Lab) -> None:
    shown = ssh(gateway, "postern settings show")
    assert shown.status == 0, shown.stderr
    assert PASSWORD not in shown.stdout
    done = ssh(
        gateway, "cat >answers.yaml && postern apply answers.yaml --check && rm answers.yaml", stdin=shown.stdout
    )
    assert (done.status, done.stdout.strip()) == (0, "answers.yaml: no problems"), done.stderr


def test_a_path_is_opened_with_the_callers_rights(gateway: Lab) -> None:
    done = ssh(gateway, "postern apply /etc/shadow --check")
    assert done.status == 2
    assert done.stderr.strip() == "/etc/shadow: cannot be read: Permission denied"


def test_no_tunnel_leads_through_the_box(gateway: Lab) -> None:
    done = ssh(gateway, "-W", "10.0.0.25:25")
    assert done.status == 255
    assert "forwarding failed" in done.stderr
