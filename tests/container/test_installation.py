"""Testing the installation: five sends, by the programs that people use, on each path between users and servers.

Inside to inside, inside to the world, the world to inside, a remote user to inside, and a remote user to the world.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware.host import run
from tests.container.box import Box, until
from tests.container.client import NAME as CLIENT
from tests.container.lab import ANSWERS, INSIDE_BOX, OUTSIDE_BOX, PARTNER, STRANGER, TRUSTED, Lab, lab
from tests.container.network import Segment
from tests.container.test_filtering import OFF, SPAM, delivered, dns, letter
from tests.container.test_greylisting import pass_time
from tests.container.test_quarantine import kept
from tests.container.test_server import ANN, BOB, Server, serving
from tests.container.test_server import ANSWERS as SERVER
from tests.peers import Peers
from tests.peers import inside as host_path

NAME = "mx1.mail.example.org"
WORLD = "tom@outside.example"
REMOTE = PARTNER  # where a user is who is not at home
# A remote user of a gateway is known by his network; the box has no passwords of its own.
GATEWAY = ANSWERS[: ANSWERS.index("filtering:")].replace(
    "access:\n", f'access:\n  - {{{{client: {REMOTE}, sender: "*@example.com", action: relay}}}}\n'
)
GREYLISTED_SECONDS = 20 * 60
SIEVE = 'require ["fileinto", "mailbox"];\nif header :contains "Subject" "invoice" { fileinto :create "Archive"; }\n'


@dataclass(frozen=True)
class Place:
    """Where a user's programs run: an address on a network, and the box as it is seen from there."""

    peers: Peers
    segment: Segment
    source: str
    box: str
    folder: Path

    def run(self, *words: str | Path, stdin: str | None = None, check: bool = True) -> str:
        """Run a program of the peers here; what it printed."""
        argv = self.peers.command(*map(str, words), namespace=self.segment.namespace)
        return run.run(argv, stdin=stdin, env={"HOME": "/root", "LC_ALL": "C"}, check=check).stdout

    def swaks(self, sender: str, recipient: str, subject: str, *words: str, check: bool = True) -> str:
        given = ("--server", self.box, "--local-interface", self.source, "--helo", CLIENT, "--from", sender)
        about = ("--to", recipient, "--header", f"Subject: {subject}")
        return self.run("swaks", *given, *about, *words, check=check)

    def curl(self, url: str, *words: str | Path, stdin: str | None = None) -> str:
        """Ask the box for an address of its name, by its own certificate where that is shown."""
        where = ("--connect-to", f"{NAME}::{self.box}:", "--interface", self.source)
        trust = ("--cacert", host_path(self.folder / "box.pem"))
        return self.run("curl", "--silent", "--show-error", *where, *trust, *words, url, stdin=stdin)

    def curl_mail(self, url: str, sender: str, recipient: str, subject: str, *words: str) -> None:
        made = letter(subject, sender=sender)
        envelope = ("--mail-from", sender, "--mail-rcpt", recipient)
        self.curl(url, *envelope, "--upload-file", "-", "--crlf", *words, stdin=made.as_string())


@pytest.fixture(scope="class")
def gateway(root: Path, peers: Peers) -> Iterator[Lab]:
    with lab(root, peers, GATEWAY, "ig") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


class TestGateway:
    """The mailboxes are on the protected domains' servers: what the box hands on arrives there."""

    def test_inside_to_inside(self, gateway: Lab) -> None:
        _inside(gateway).swaks("ann@example.com", "cid@example.net", "inside to inside")
        delivered(gateway, "inside to inside")

    def test_inside_to_the_world(self, gateway: Lab) -> None:
        _inside(gateway).curl_mail(f"smtp://{NAME}", "ann@example.com", WORLD, "inside to the world")
        delivered(gateway, "inside to the world")

    def test_the_world_to_inside(self, gateway: Lab) -> None:
        stranger = _outside(gateway, STRANGER)
        stranger.swaks("tom@outside.example", "ann@example.com", "the world to inside", "--tls")
        delivered(gateway, "the world to inside")
        _insist(gateway.box, stranger)
        until(lambda: kept(gateway, "ann@example.com", "spam for ann") == 1, "ann's quarantine", gateway.box.tail)

    def test_a_remote_user_to_inside(self, gateway: Lab) -> None:
        _outside(gateway, REMOTE).curl_mail(f"smtp://{NAME}", "ann@example.com", "cid@example.net", "home from afar")
        delivered(gateway, "home from afar")

    def test_a_remote_user_to_the_world(self, gateway: Lab) -> None:
        _outside(gateway, REMOTE).swaks("ann@example.com", WORLD, "afar to the world")
        delivered(gateway, "afar to the world")
        assert "Relay access denied" in _outside(gateway, STRANGER).swaks(
            "ann@example.com", WORLD, "from who only says that he is ann", check=False
        )


def _insist(box: Box, at: Place) -> None:
    """Send spam, which is put off, and again when the time for that has passed."""
    spam = ("tom@outside.example", "ann@example.com", "spam for ann", "--body", SPAM)
    assert "451 4.7.1 Please try again later" in at.swaks(*spam, check=False)
    pass_time(box, GREYLISTED_SECONDS)
    at.swaks(*spam)


def _inside(of: Lab) -> Place:
    return Place(of.peers, of.inside, TRUSTED, INSIDE_BOX, of.folder)


def _outside(of: Lab, source: str) -> Place:
    return Place(of.peers, of.outside, source, OUTSIDE_BOX, of.folder)


@dataclass(frozen=True)
class Home:
    """A box with mailboxes, and the places from which its users come."""

    server: Server
    inside: Place
    outside: Place

    @property
    def box(self) -> Box:
        return self.server.box

    def has(self, subject: str) -> bool:
        """Has the world got it?"""
        return any(f"Subject: {subject}\r\n".encode() in one.content for one in self.server.world.received())


@pytest.fixture(scope="class")
def home(root: Path, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("installation")
    with serving(root, peers, folder, "is", OFF.sub("", SERVER)) as made:
        (folder / "box.pem").write_bytes(made.box.path("var/lib/postern/device/tls/cert.pem").read_bytes())
        inside = Place(peers, made.inside, "10.0.0.66", INSIDE_BOX, folder)
        yield Home(made, inside, Place(peers, made.outside, STRANGER, OUTSIDE_BOX, folder))


class TestServer:
    """The mailboxes are on the box: what arrives is read by POP3 and IMAP."""

    def test_inside_to_inside(self, home: Home) -> None:
        """By submission with STARTTLS; bob fetches it with getmail by POP3."""
        login = ("--port", "587", "--tls", "--auth-user", "ann@example.com", "--auth-password", ANN)
        home.inside.swaks("ann@example.com", "bob@example.com", "inside to inside", *login)
        home.server.arrives("bob@example.com", "inside to inside")
        assert "Subject: inside to inside" in _getmail(home.inside, "bob@example.com", BOB)
        assert "Subject: inside to inside" in home.inside.curl(f"pop3s://{NAME}/1", "--user", f"bob@example.com:{BOB}")

    def test_inside_to_the_world(self, home: Home) -> None:
        login = ("--user", f"ann@example.com:{ANN}")
        home.inside.curl_mail(f"smtps://{NAME}:465", "ann@example.com", WORLD, "inside to the world", *login)
        until(lambda: home.has("inside to the world"), "it", home.box.tail)

    def test_the_world_to_inside(self, home: Home) -> None:
        """Ann has it on her own computer with mbsync, and reads what is spam in her folder for bulk mail."""
        home.outside.swaks("tom@outside.example", "ann@example.com", "the world to inside", "--tls")
        home.server.arrives("ann@example.com", "the world to inside")
        _insist(home.box, home.outside)
        home.server.arrives("ann@example.com", "spam for ann", "Bulk")
        copied = _mbsync(home.inside, "ann@example.com", ANN)
        assert [word in copied["INBOX"] for word in ("the world to inside", "spam for ann")] == [True, False]
        assert "Subject: spam for ann" in copied["Bulk"]

    def test_a_remote_user_to_inside(self, home: Home) -> None:
        login = ("--user", f"bob@example.com:{BOB}")
        home.outside.curl_mail(f"smtps://{NAME}:465", "bob@example.com", "ann@example.com", "home from afar", *login)
        home.server.arrives("ann@example.com", "home from afar")
        found = home.outside.curl(f"imaps://{NAME}/INBOX?SUBJECT%20afar", "--user", f"ann@example.com:{ANN}")
        assert found.split()[:2] == ["*", "SEARCH"]
        assert len(found.split()) == len(("*", "SEARCH", "number"))

    def test_a_remote_user_to_the_world(self, home: Home) -> None:
        login = ("--port", "465", "--tlsc", "--auth-user", "bob@example.com", "--auth-password", BOB)
        home.outside.swaks("bob@example.com", WORLD, "afar to the world", *login)
        until(lambda: home.has("afar to the world"), "it", home.box.tail)
        assert "Relay access denied" in home.outside.swaks(
            "bob@example.com", WORLD, "from who only says that he is bob", check=False
        )

    def test_a_user_files_mail_by_a_script_of_her_own(self, home: Home) -> None:
        (home.inside.folder / "mine.sieve").write_text(SIEVE)
        words = ("sieve-connect", "--server", INSIDE_BOX, "--user", "ann@example.com", "--passwordfd", "0", "--nosrv")
        files = ("--localsieve", host_path(home.inside.folder / "mine.sieve"), "--remotesieve", "mine")
        for what in (("--upload", *files), ("--activate", "--remotesieve", "mine")):
            home.inside.run(*words, "--notlsverify", *what, stdin=f"{ANN}\n")
        home.outside.swaks("tom@outside.example", "ann@example.com", "invoice of May")
        home.server.arrives("ann@example.com", "invoice of May", "Archive")


def _getmail(at: Place, user: str, password: str) -> str:
    """Everything in a user's mailbox, fetched by POP3 over TLS."""
    folder = at.folder / "getmail"
    folder.mkdir()
    (folder / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = {at.box}\nusername = {user}\npassword = {password}\n"
        f"ca_certs = {host_path(at.folder / 'box.pem')}\nssl_cert_hostname = {NAME}\n"
        "[destination]\ntype = MDA_external\nallow_root_commands = true\npath = /usr/bin/tee\n"
        f'arguments = ("-a", "{host_path(folder / "mail")}")\n[options]\nread_all = true\n'
    )
    at.run("getmail", "--getmaildir", host_path(folder), "--rcfile", "getmailrc")
    return (folder / "mail").read_text()


def _mbsync(at: Place, user: str, password: str) -> dict[str, str]:
    """All of a user's folders, copied by IMAP over TLS: what is in each."""
    folder = at.folder / "mbsync"
    folder.mkdir()
    (folder / "mbsyncrc").write_text(
        f"IMAPAccount box\nHost {at.box}\nUser {user}\nPass {password}\nTLSType IMAPS\n"
        f"CertificateFile {host_path(at.folder / 'box.pem')}\n\nIMAPStore far\nAccount box\n\n"
        f"MaildirStore near\nPath {host_path(folder)}/\nInbox {host_path(folder)}/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nSyncState *\n"
    )
    at.run("mbsync", "--config", host_path(folder / "mbsyncrc"), "--all")
    copied = {}
    for box in filter(Path.is_dir, folder.iterdir()):
        with suppress(FileNotFoundError):
            copied[box.name] = "".join(path.read_text(errors="replace") for path in (box / "new").iterdir())
    return copied
