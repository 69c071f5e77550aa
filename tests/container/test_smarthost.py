"""A smart host takes what goes to the world: encrypted, by its name, after a login. Nothing is lost without it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.authority import Authority
from tests.container.box import until
from tests.container.lab import PASSWORD, TRUSTED, Lab, lab
from tests.container.mailserver import MailServer, Message
from tests.peers import Peers

NAME, ADDRESS, USER = "smart.example.net", "192.0.2.81", "mx1@example.net"
SECRET = "Finch~whistles=at:dusk"
WORLD = "someone@nowhere.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def relaying(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box whose tests give it one smart host after the other."""
    with lab(root, peers, name="sh") as made:
        made.outside.host(f"{ADDRESS}/24")
        yield made
        made.box.require_well(PASSWORD, SECRET)


@pytest.fixture(scope="module")
def certificate(authority: Authority, relaying: Lab) -> Path:
    """What the smart host shows, with its key."""
    signed = authority.sign(NAME)
    path = relaying.folder / "smart.pem"
    path.write_text(signed.key + signed.text + authority.between.text)
    return path


@pytest.fixture(scope="module")
def smart(relaying: Lab, authority: Authority, certificate: Path) -> Iterator[MailServer]:
    """A smart host that wants a login, and the box that uses it."""
    server = MailServer(relaying.outside, ADDRESS, 587, relaying.folder / "smart", certificate)
    server.let_in(USER, SECRET)
    server.start()
    use(relaying, host=ADDRESS, port=587, name=NAME, user=USER, authorities=authority.root.text)
    yield server
    server.stop()


def use(of: Lab, **smarthost: object) -> None:
    """Put the settings in force with this smart host."""
    answers: dict[str, Any] = yaml.safe_load(of.box.run("postern", "settings", "show").stdout)
    of.box.path("run/answers.yaml").write_text(yaml.safe_dump(answers | {"smarthost": smarthost}))
    secrets = {"format": 1, "admin": {"password": PASSWORD}, "smarthost": {"password": SECRET}}
    of.box.path("run/secrets.yaml").write_text(yaml.safe_dump(secrets))
    of.box.run("postern", "apply", "/run/answers.yaml", "--secrets", "/run/secrets.yaml")
    of.box.path("run/secrets.yaml").unlink()


def send(of: Lab, subject: str, recipient: str = WORLD) -> None:
    with of.client(TRUSTED) as client:
        client.sendmail("ann@example.com", [recipient], f"Subject: {subject}\r\n\r\nX\r\n".encode())


def taken(server: MailServer, subject: str) -> list[Message]:
    return [one for one in server.received() if f"Subject: {subject}\r\n".encode() in one.content]


def waiting(of: Lab) -> str:
    """Why mail waits, as the box says."""
    found: dict[str, int] = json.loads(of.box.run("postern", "status", "--json").stdout)["waiting"]
    return "\n".join(found)


def once_it_may(of: Lab, server: MailServer, subject: str) -> list[Message]:
    """What the smart host has, after what waits was tried again."""
    of.box.run("postqueue", "-f")
    of.until_empty()
    return taken(server, subject)


def test_mail_to_the_world_leaves_by_it(relaying: Lab, smart: MailServer) -> None:
    send(relaying, "away")
    relaying.until_empty()
    (message,) = taken(smart, "away")
    assert (message.recipients, message.tls, message.user) == ((WORLD,), True, USER)


def test_mail_to_a_protected_domain_does_not(relaying: Lab, smart: MailServer) -> None:
    relaying.example_com.know_only("ann@example.com")
    send(relaying, "at home", "ann@example.com")
    relaying.until_empty()
    assert taken(relaying.example_com, "at home")
    assert not taken(smart, "at home")


def test_the_password_is_where_root_alone_reads_it(relaying: Lab, smart: MailServer) -> None:
    del smart
    argv = ("grep", "-rlsF", "--exclude-dir=proc", SECRET, "/etc", "/run", "/var/lib", "/var/log", "/tmp")
    found = relaying.box.run(*argv, check=False).stdout.split()
    assert {path.rpartition("/")[2] for path in found} == {"smarthost_login", "secrets.yaml"}
    assert set(relaying.box.run("stat", "-c", "%a %U", *found).stdout.splitlines()) == {"600 root"}
    assert SECRET not in relaying.box.run("postern", "settings", "show").stdout


@pytest.mark.parametrize(
    ("subject", "break_it", "mend_it", "said"),
    [
        ("while it is down", MailServer.stop, MailServer.start, "Connection refused"),
        (
            "wrong password",
            lambda server: server.let_in(USER, "another"),
            lambda server: server.let_in(USER, SECRET),
            "SASL authentication failed",
        ),
    ],
)
def test_mail_waits_until_it_takes_it(
    relaying: Lab,
    smart: MailServer,
    subject: str,
    break_it: Callable[[MailServer], None],
    mend_it: Callable[[MailServer], None],
    said: str,
) -> None:
    break_it(smart)
    send(relaying, subject)
    until(lambda: said in waiting(relaying), f"{said} in the status", lambda: waiting(relaying))
    assert said in relaying.box.run("postern", "status").stdout
    mend_it(smart)
    assert len(once_it_may(relaying, smart, subject)) == 1
    assert relaying.example_com.count() <= 1  # nothing came back to the sender


@pytest.mark.parametrize("case", ["another name", "an authority that nobody named"])
def test_a_certificate_that_is_not_good_gets_nothing(
    relaying: Lab, smart: MailServer, authority: Authority, case: str
) -> None:
    good = {"host": ADDRESS, "port": 587, "user": USER, "name": NAME, "authorities": authority.root.text}
    wrong = {"name": "other.example.net"} if case == "another name" else {"authorities": None}
    use(relaying, **good | wrong)
    send(relaying, case)
    until(lambda: "Server certificate not verified" in waiting(relaying), "a refusal", lambda: waiting(relaying))
    assert not taken(smart, case)
    use(relaying, **good)
    assert len(once_it_may(relaying, smart, case)) == 1


def test_encrypted_from_the_start(relaying: Lab, certificate: Path) -> None:
    server = MailServer(relaying.outside, ADDRESS, 465, relaying.folder / "smtps", certificate)
    server.start()
    try:
        use(relaying, host=ADDRESS, port=465, tls="encrypt")
        send(relaying, "at once")
        relaying.until_empty()
    finally:
        server.stop()
    (message,) = taken(server, "at once")
    assert (message.tls, message.user) == (True, "")


def test_by_the_records_of_a_domain(relaying: Lab) -> None:
    """`outside.example` has no host of its own: its mail server is found by MX alone."""
    use(relaying, host="outside.example", mx=True, tls="may")
    send(relaying, "by MX")
    relaying.until_empty()
    assert taken(relaying.world, "by MX")
