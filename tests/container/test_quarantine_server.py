"""The quarantine in server mode: a folder of each user's own mailbox, with the same pages as in the other modes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, box, until
from tests.container.http import Http
from tests.container.network import Segment, segments
from tests.container.test_quarantine import hand_over_to
from tests.container.test_quarantine_pages import Browser
from tests.container.test_webmail import ADDRESS, ANN, ANSWERS, BOB, NAME, PASSWORD, READER, SECRETS
from tests.peers import Peers

EVE = "eve@outside.example"
# What a user can put into his own folder: a message that claims to have come for somebody else.
FORGED = "\r\n".join(
    [
        f"X-Postern-Recipient: {BOB}",
        "X-Postern-Sender: boss@example.com",
        "X-Postern-Quarantine: virus",
        "From: boss@example.com",
        "Subject: forged",
        "",
        "Text.",
        "",
    ]
).encode()


@pytest.fixture(scope="module")
def net() -> Iterator[Segment]:
    with segments(1, "qs") as nets:
        yield nets[0]


@pytest.fixture(scope="module")
def server(root: Path, net: Segment) -> Iterator[Box]:
    """A server with two users."""
    with box(root, [net]) as made:
        made.start({"postern.answers": ANSWERS, "postern.secrets": SECRETS})
        net.host(f"{READER}/24")
        yield made
        made.require_well(PASSWORD)


@pytest.fixture
def ann(server: Box, net: Segment, peers: Peers, tmp_path: Path) -> Browser:
    certificate = tmp_path / "box.pem"
    certificate.write_text(server.path("var/lib/postern/device/tls/cert.pem").read_text())
    browser = Browser(Http(peers, net, NAME, ADDRESS, certificate, READER, tmp_path / "cookies"))
    until(lambda: browser.log_in(ANN, PASSWORD).status == 303, "ann's log-in", patience=90)
    return browser


def keep(of: Box, owner: str, subject: str, *fields: str) -> None:
    lines = [
        f"From: {EVE}",
        f"Subject: {subject}",
        "X-Postern-Score: 7",
        "X-Postern-Verdict: spam",
        *fields,
        "",
        "x",
        "",
    ]
    assert hand_over_to(of, EVE, "\r\n".join(lines).encode(), owner) == ["250"]


def listed(of: Box, owner: str) -> dict[str, str]:
    """The names of what is kept, by subject."""
    said = json.loads(of.run("postern", "quarantine", "list", owner, "--json").stdout)
    return {one["subject"]: one["name"] for one in said}


def found(of: Box, user: str, mailbox: str, subject: str) -> int:
    said = of.run("doveadm", "search", "-u", user, "mailbox", mailbox, "subject", subject).stdout
    return len(said.splitlines())


def test_spam_is_in_the_bulk_folder_and_a_release_moves_it_to_the_inbox(server: Box, ann: Browser) -> None:
    keep(server, "ann+shop@example.com", "cheap")
    name = listed(server, ANN)["cheap"]
    assert found(server, ANN, "Bulk", "cheap") == 1
    assert "cheap" in ann.get(f"box/{ANN}/").body
    assert ann.get(f"box/{BOB}/").status == 404
    ann.get(f"box/{ANN}/")
    assert ann.post(f"box/{ANN}/", act="release", name=name).status == 303
    assert (found(server, ANN, "INBOX", "cheap"), found(server, ANN, "Bulk", "cheap")) == (1, 0)


def test_whoever_is_welcome_is_in_the_inbox(server: Box, ann: Browser) -> None:
    keep(server, ANN, "to be welcomed")
    ann.get(f"box/{ANN}/")
    ann.post(f"box/{ANN}/", act="welcome", name=listed(server, ANN)["to be welcomed"])
    keep(server, ANN, "welcomed")
    until(lambda: found(server, ANN, "INBOX", "welcomed") == 2, "both")


def test_what_a_user_wrote_into_his_folder_goes_to_nobody_else(server: Box, ann: Browser) -> None:
    server.run("doveadm", "save", "-u", ANN, "-m", "Bulk", stdin=FORGED.decode())
    name = listed(server, ANN)["forged"]
    ann.get(f"box/{ANN}/")
    ann.post(f"box/{ANN}/", act="release", name=name)
    assert (found(server, ANN, "INBOX", "forged"), found(server, BOB, "INBOX", "forged")) == (1, 0)


def test_the_system_quarantine_has_a_place_here_too(server: Box) -> None:
    keep(server, BOB, "ill", "X-Postern-Verdict: virus")
    assert "ill" not in listed(server, BOB)
    name = listed(server, "system")["ill"]
    server.run("postern", "quarantine", "delete", "system", name)
    assert "ill" not in listed(server, "system")
    assert server.run("doveadm", "auth", "test", "system@quarantine.invalid", stdin="\n", check=False).status != 0


def test_a_report_is_in_the_inbox(server: Box) -> None:
    keep(server, BOB, "reported")
    assert json.loads(server.run("postern", "quarantine", "report", "--json").stdout)[BOB] >= 1
    until(lambda: found(server, BOB, "INBOX", "Quarantine:") == 1, "the report")
