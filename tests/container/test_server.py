"""Server mode: the mailboxes are on the box. Mail in by SMTP, out by submission, read by IMAP and POP3."""

from __future__ import annotations

import imaplib
import itertools
import json
import os
import poplib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from hardware.host.run import Completed, spawn
from tests.container.box import Box, box, until
from tests.container.client import Client
from tests.container.lab import name_server
from tests.container.mailserver import MailServer
from tests.container.network import Segment, segments
from tests.container.test_ports import scans
from tests.peers import Peers

ADMIN, ANN, BOB, NEW = "Wren-hides~31-moss", "Finch-eats~52-seed", "Robin-digs~77-worm", "Crane-wades~90-reed"
OUTSIDE, INSIDE, DESK = "192.0.2.10", "10.0.0.1", "172.16.0.1"
ANSWERS = """
format: 1
mode: server
network:
  ports:
    port1: {addresses: [192.0.2.10/24], allow: [ping, smtp, submissions, imaps]}
    port2: {addresses: [10.0.0.1/24], allow: [smtp, submission, submissions, imap, imaps, pop3, pop3s, sieve]}
    port3: {addresses: [172.16.0.1/24], allow: [ssh]}
  gateways: [192.0.2.1]
  dns: [192.0.2.53]
mailhost: {host_name: mx1, local_domain: mail.example.org, postmaster: ann@example.com}
domains:
  - {name: example.com}
  - {name: bücher.example}
filtering: {greylisting: {enabled: false}}
users:
  - {address: ann@example.com, name: Ann Lee, aliases: [sales@example.com]}
  - {address: bob@example.com, aliases: [sales@example.com, bob.stone@example.com], quota_mib: 1}
  - {address: carl@bücher.example}
"""
SECRETS = f"""
format: 1
admin: {{password: {ADMIN}}}
users:
  ann@example.com: {{password: {ANN}}}
  bob@example.com: {{password: {BOB}}}
  carl@bücher.example: {{password: {ANN}}}
"""
UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


@dataclass(frozen=True)
class Server:
    """The box in service with a network for each of its ports, and a mail server outside."""

    box: Box
    outside: Segment
    inside: Segment
    desk: Segment
    world: MailServer

    def postern(self, *words: str | Path, stdin: str = "", check: bool = True) -> Completed:
        return self.box.run("postern", *words, stdin=stdin, check=check)

    def lets_in(self, user: str, password: str) -> bool:
        """Dovecot's answer to a login, which is yes or no: any other end of the question is a fault."""
        done = self.box.run("doveadm", "auth", "test", user, stdin=f"{password}\n", check=False)
        assert done.status in (os.EX_OK, os.EX_NOPERM), done.stderr
        return done.status == os.EX_OK

    def letters(self, user: str, subject: str, mailbox: str = "INBOX") -> int:
        """How many messages of that subject a user has."""
        said = self.box.run("doveadm", "search", "-u", user, "mailbox", mailbox, "subject", subject, check=False).stdout
        return len(said.splitlines())

    def arrives(self, user: str, subject: str, mailbox: str = "INBOX") -> None:
        until(lambda: self.letters(user, subject, mailbox), f"{subject!r} for {user}", self.box.tail)
        assert self.letters(user, subject, mailbox) == 1

    def send(self, recipient: str, subject: str, *options: str) -> None:
        with Client(self.outside, OUTSIDE) as client:
            client.sendmail("someone@example.edu", recipient, letter(subject), mail_options=options)


def connect_hosts(nets: tuple[Segment, ...]) -> None:
    """The hosts around the box; each start of it brings new cables, with nobody at the other ends."""
    outside, inside, desk = nets
    outside.host("192.0.2.77/24", "192.0.2.1/24", "192.0.2.53/24", "192.0.2.80/24")
    inside.host("10.0.0.66/24", "10.0.0.67/24")
    desk.host("172.16.0.2/24")


@pytest.fixture(scope="module")
def server(root: Path, peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(root, peers, tmp_path_factory.mktemp("server"), "sv") as made:
        yield made


@contextmanager
def serving(root: Path, peers: Peers, folder: Path, name: str, answers: str = ANSWERS) -> Iterator[Server]:
    """The box in service; at its end it must be well. `name` (two letters) tells its networks from other boxes'."""
    with ExitStack() as stack:
        nets = stack.enter_context(segments(3, name))
        outside, inside, desk = nets
        made = stack.enter_context(box(root, nets))
        made.start({"postern.answers": answers, "postern.secrets": SECRETS})
        connect_hosts(nets)
        world = MailServer(outside, "192.0.2.80", 25, folder / "world")
        stack.enter_context(name_server(peers, outside, folder))
        world.start()
        stack.callback(world.stop)
        yield Server(made, outside, inside, desk, world)
        made.require_well(ADMIN, ANN, BOB, NEW)


def letter(subject: str, text: str = "Text.") -> bytes:
    head = "Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nFrom: <someone@example.edu>\r\nTo: <ann@example.com>\r\n"
    return f"{head}Message-ID: <{abs(hash(subject))}@example.edu>\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


class Imap(imaplib.IMAP4):
    """An IMAP client of Python at an address inside."""

    def __init__(self, server: Server, *, port: int = 143, source: str = "10.0.0.66") -> None:
        self._server, self._source = server, source
        super().__init__(INSIDE, port)

    def _create_socket(self, _timeout: float | None) -> socket.socket:
        line = self._server.inside.connect(self.host, self.port, self._source)
        return UNVERIFIED.wrap_socket(line) if self.port == 993 else line


class Pop(poplib.POP3):
    """A POP3 client of Python at an address inside."""

    def __init__(self, server: Server, *, port: int = 110) -> None:
        self._server = server
        super().__init__(INSIDE, port)

    def _create_socket(self, timeout: float) -> socket.socket:
        line = self._server.inside.connect(self.host, self.port, "10.0.0.66", timeout)
        return UNVERIFIED.wrap_socket(line) if self.port == 995 else line


class Wrapped(Client):
    """A client of port 465: encrypted from the first byte."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return UNVERIFIED.wrap_socket(super()._get_socket(host, port, timeout))


def submit(server: Server, port: int = 587, *, encrypted: bool = True) -> Client:
    if port == 465:
        return Wrapped(server.inside, INSIDE, "10.0.0.67", 465)
    client = Client(server.inside, INSIDE, "10.0.0.67", port)
    if encrypted:
        client.starttls(context=UNVERIFIED)
        client.ehlo()
    return client


def test_the_self_test_is_in_nobodys_mailbox(server: Server) -> None:
    found = json.loads(server.postern("selftest", "--json").stdout)
    said = {one["check"]: one["said"] for one in found if one["about"] == "example.com and 1 more"}
    assert {one["check"] for one in found if one["colour"] == "yellow"} == {"definitions"}
    assert said["clean"].startswith("taken, found clean")
    assert said["spam"].startswith("refused: 554 5.7.1 refused as spam")
    assert said["virus"].startswith("refused: 554 5.7.1 virus found")
    assert not [path for path in server.box.var.glob("vmail/**/*") if "selftest" in path.name]
    assert server.box.run("doveadm", "search", "-A", "subject", "self-test").stdout == ""


def test_a_backup_holds_the_users(server: Server) -> None:
    said = server.postern("backup", "/run/users.backup", stdin=f"{NEW}\n").stdout
    assert "3 users, keys (" in said
    data = server.box.path("run/users.backup").read_bytes()
    assert b"argon2" not in data
    said = server.postern("restore", "/run/users.backup", "--check", stdin=f"{NEW}\n").stdout
    assert said.endswith("/run/users.backup: no problems\n")


def test_mail_from_outside_is_read_by_imap_and_pop3(server: Server) -> None:
    server.send("Ann@Example.com", "read in two ways")
    server.arrives("ann@example.com", "read in two ways")
    for port in (143, 993):
        imap = Imap(server, port=port)
        if port == 143:
            imap.starttls(ssl_context=UNVERIFIED)
        imap.login("ann@example.com", ANN)
        imap.select("INBOX")
        _, (numbers,) = imap.search(None, "SUBJECT", '"read in two ways"')
        _, parts = imap.fetch(numbers.decode(), "(RFC822.HEADER)")
        assert b"Subject: read in two ways" in repr(parts).encode()
        folders = b" ".join(imap.list()[1])  # type: ignore[arg-type]  # typeshed knows no literal here
        assert all(name in folders for name in (b"Bulk", b"Drafts", b"Sent", b"Trash"))
        imap.logout()
    for port in (110, 995):
        pop = Pop(server, port=port)
        if port == 110:
            pop.stls(context=UNVERIFIED)
        pop.user("ann@example.com")
        pop.pass_(ANN)
        assert b"Subject: read in two ways" in pop.retr(pop.stat()[0])[1]
        pop.quit()


def test_no_password_before_encryption(server: Server) -> None:
    imap = Imap(server)
    assert "LOGINDISABLED" in imap.capabilities
    with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED|cleartext|Cleartext"):
        imap.login("ann@example.com", ANN)
    imap.logout()
    pop = Pop(server)
    with pytest.raises(poplib.error_proto):
        pop.user("ann@example.com")
    pop.close()
    client = submit(server, encrypted=False)
    assert not client.has_extn("auth")
    assert client.say("AUTH PLAIN AGFubgB4")[0] == 530
    assert client.say("MAIL FROM:<ann@example.com>")[0] == 530
    client.close()


def test_aliases_subaddresses_and_other_forms_of_a_domain(server: Server) -> None:
    server.send("sales@example.com", "for both")
    server.send("ann+news@example.com", "with a word of hers")
    server.send("carl@xn--bcher-kva.example", "in ascii")
    server.send("carl@bücher.example", "in unicode", "SMTPUTF8")
    server.send("postmaster@example.com", "for the postmaster")
    server.arrives("ann@example.com", "for both")
    server.arrives("bob@example.com", "for both")
    server.arrives("ann@example.com", "with a word of hers")
    server.arrives("carl@xn--bcher-kva.example", "in ascii")
    server.arrives("carl@xn--bcher-kva.example", "in unicode")
    server.arrives("ann@example.com", "for the postmaster")


def test_who_is_no_user_is_refused_and_nobody_relays(server: Server) -> None:
    with Client(server.outside, OUTSIDE) as client:
        assert client.try_recipient("eve@example.com")[0] == 550
        assert client.try_recipient("someone@outside.example")[0] == 554
        assert not client.has_extn("auth")
    with Client(server.inside, INSIDE, "10.0.0.66") as client:
        assert client.try_recipient("someone@outside.example", "ann@example.com")[0] == 554
    assert server.world.count() == 0


@pytest.mark.parametrize("port", [587, 465])
def test_users_hand_in_mail_under_their_own_addresses(server: Server, port: int) -> None:
    with submit(server, port) as client:
        assert client.try_recipient("someone@outside.example", "ann@example.com")[0] == 553
        assert client.try_recipient("someone@outside.example", "someone@example.edu")[0] == 554
        client.say("RSET")  # amid a transaction the answer would be 503, which Python takes for logged in
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("ann@example.com", BOB)
    with submit(server, port) as client:
        client.login("ann@example.com", ANN)
        for sender in ("bob@example.com", "eve@example.com", "someone@outside.example"):
            assert client.try_recipient("someone@outside.example", sender)[0] == 553
        assert client.try_recipient("eve@example.com", "ann@example.com")[0] == 550
        client.say("RSET")
        client.sendmail("ann@example.com", ["someone@outside.example"], letter(f"out by {port}"))
        client.sendmail("sales@example.com", ["bob@example.com"], letter(f"to bob by {port}"))
    server.arrives("bob@example.com", f"to bob by {port}")
    until(
        lambda: any(f"out by {port}".encode() in one.content for one in server.world.received()), "it", server.box.tail
    )


def test_a_user_does_not_write_the_rules_answer(server: Server) -> None:
    """Two answers stand in the queue, ours first; none leaves the box."""
    text = b"X-Postern-Access: bypass\r\n" + letter("my own answer")
    with submit(server, 587) as client:
        client.login("ann@example.com", ANN)
        client.say("MAIL FROM:<ann@example.com>")
        assert client.say("RCPT TO:<bob@example.com>")[0] == 250
        assert client.data(text)[0] == 250
    server.arrives("bob@example.com", "my own answer")
    words = ("fetch", "-u", "bob@example.com", "hdr", "mailbox", "INBOX", "subject", "my own answer")
    assert "X-Postern-Access" not in server.box.run("doveadm", *words).stdout


def test_spam_goes_to_the_bulk_folder(server: Server) -> None:
    text = b"X-Postern-Quarantine: spam\r\n" + letter("cheap")
    assert _lmtp(server, "ann@example.com", text).startswith("250 ")
    assert server.letters("ann@example.com", "cheap", "Bulk") == 1
    assert server.letters("ann@example.com", "cheap") == 0


def test_whom_a_user_blocks_is_in_her_bulk_folder_alone(server: Server) -> None:
    """Clean mail, whichever of her addresses it came to, once the filter knows of the block."""
    ann, bob, numbers = "ann@example.com", "bob@example.com", itertools.count()
    server.box.run("postern", "quarantine", "senders", ann, "--block", "someone@example.edu")

    def is_kept() -> bool:
        subject = f"pest-{next(numbers)}"
        server.send("sales@example.com", subject)
        server.arrives(bob, subject)
        until(lambda: server.letters(ann, subject) + server.letters(ann, subject, "Bulk") == 1, "hers")
        return server.letters(ann, subject, "Bulk") == 1

    until(is_kept, "the filter to know of it")
    server.send("ann+news@example.com", "pest with a word of hers")
    until(lambda: server.letters(ann, "pest with a word of hers", "Bulk") == 1, "hers")
    server.box.run("postern", "quarantine", "senders", ann, "--forget", "someone@example.edu")
    assert not is_kept()


def _lmtp(server: Server, recipient: str, text: bytes) -> str:
    """What is said to a message in the end, handed over as Postfix does."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(str(server.box.path("run/postern-quarantine/filing.sock")))
        talk = line.makefile("rwb")
        lines = (b"LHLO x", b"MAIL FROM:<>", f"RCPT TO:<{recipient}>".encode(), b"DATA", text + b".")
        talk.readline()
        answer = ""
        for words in lines:
            talk.write(words + b"\r\n")
            talk.flush()
            while (answer := talk.readline().decode())[3:4] == "-":
                pass
        return answer


def test_a_full_mailbox_is_said_before_the_message_is_taken(server: Server) -> None:
    big = letter("big", "\r\n".join(["x" * 70] * 9000))
    assert _lmtp(server, "bob@example.com", big).startswith("250 ")
    with Client(server.outside, OUTSIDE) as client:
        client.say("MAIL FROM:<someone@example.edu> SIZE=900000")
        code, text = client.say("RCPT TO:<bob@example.com>")
    assert (code, "mailbox is full" in text) == (452, True), text
    server.box.run("doveadm", "expunge", "-u", "bob@example.com", "mailbox", "INBOX", "subject", "big")
    with Client(server.outside, OUTSIDE) as client:
        assert client.try_recipient("bob@example.com")[0] == 250


def test_what_comes_again_is_there_once_wherever_a_script_has_put_it(server: Server) -> None:
    """As after a death of the store or the agent, when nobody has heard their answer."""
    ann = "ann@example.com"
    script = 'require ["fileinto", "mailbox"];\nfileinto :create "Elsewhere";\n'
    server.box.run("doveadm", "sieve", "put", "-u", ann, "-a", "mine", stdin=script)
    trace = b"Received: from x (y [192.0.2.77])\r\n\tby mx1 (Postfix) with ESMTP id 4bXyZ1234567\r\n\tfor ann; now\r\n"
    said = [_lmtp(server, "ann+word@example.com", trace + letter("brought again")) for _ in range(2)]
    server.box.run("doveadm", "sieve", "delete", "-u", ann, "-a", "mine")
    assert [answer[:3] for answer in said] == ["250", "250"]
    assert "was there already" in said[1]
    assert server.letters(ann, "brought again", "Elsewhere") == 1
    assert server.letters(ann, "brought again") == 0


@contextmanager
def rules(server: Server, **scripts: str) -> Iterator[None]:
    """Users of example.com with rules of their own."""
    for name, script in scripts.items():
        server.box.run("doveadm", "sieve", "put", "-u", f"{name}@example.com", "-a", "mine", stdin=script)
    yield
    for name in scripts:
        server.box.run("doveadm", "sieve", "deactivate", "-u", f"{name}@example.com")
        server.box.run("doveadm", "sieve", "delete", "-u", f"{name}@example.com", "mine")


def test_what_a_rule_sends_on_or_answers_leaves_under_its_users_name(server: Server) -> None:
    """To the world, and to another name of a user here. Of what is spam nothing leaves."""
    script = """require ["copy", "vacation"];
redirect :copy "tom@outside.example";
redirect :copy "bob.stone@example.com";
vacation :subject "away" "Back in June";
"""
    with rules(server, ann=script):
        with Client(server.outside, OUTSIDE) as client:
            client.sendmail("tim@outside.example", "ann@example.com", letter("to be sent on"))
        for user in ("ann@example.com", "bob@example.com"):
            server.arrives(user, "to be sent on")
        until(lambda: server.world.count() and len(_left(server, "away")), "the answer", server.box.tail)
        assert _left(server, "to be sent on") == [("ann@example.com", ("tom@outside.example",))]
        assert _left(server, "away") == [("", ("tim@outside.example",))]
        spam = b"X-Postern-Quarantine: spam\r\n" + letter("cheap again")
        assert _lmtp(server, "ann@example.com", spam).startswith("250 ")
        assert server.letters("ann@example.com", "cheap again", "Bulk") == 1
    server.send("bob@example.com", "behind it")
    server.arrives("bob@example.com", "behind it")
    assert (_left(server, "cheap again"), server.letters("bob@example.com", "cheap again")) == ([], 0)


def test_rules_that_send_to_each_other_come_to_an_end(server: Server) -> None:
    with rules(server, ann='redirect "bob@example.com";', bob='redirect "ann@example.com";'):
        server.send("ann@example.com", "there and back")
        until(lambda: sum(server.letters(f"{one}@example.com", "there and back") for one in ("ann", "bob")), "its end")
    until(lambda: "is empty" in server.box.run("postqueue", "-p").stdout, "the queue", server.box.tail)
    assert sum(server.letters(f"{one}@example.com", "there and back") for one in ("ann", "bob")) == 1


def test_what_a_rule_may_not_do(server: Server) -> None:
    """Send to more than four, which keeps the message; refuse or write to whom it likes, which no script says."""
    many = 'require "copy";' + "".join(f'redirect :copy "tom{one}@outside.example";' for one in range(5))
    with rules(server, ann=many):
        server.send("ann@example.com", "for many")
        server.arrives("ann@example.com", "for many")
    assert len(_left(server, "for many")) == 0
    for word in ("reject", "ereject", "enotify"):
        put = ("doveadm", "sieve", "put", "-u", "ann@example.com", "mine")
        refused = server.box.run(*put, stdin=f'require "{word}";', check=False)
        assert refused.status != 0
        assert word in refused.stderr
    script = "import socket; socket.create_connection(('127.0.0.1', 10028), 5)"
    as_other = ("setpriv", "--reuid", "33", "--clear-groups", "python3", "-I", "-c", script)
    assert "refused" in server.box.run(*as_other, check=False).stderr


def _left(server: Server, subject: str) -> list[tuple[str, tuple[str, ...]]]:
    """Sender and recipients of what the world got with that subject."""
    wanted = f"Subject: {subject}\r\n".encode()
    return [(one.sender, one.recipients) for one in server.world.received() if wanted in one.content]


def test_users_come_change_and_go_without_an_apply(server: Server) -> None:
    before = server.postern("settings", "history").stdout
    # Dovecot, which asks for a newer table once a second, is kept looking at it: mail for dora comes at once.
    with spawn(server.box.command("sh", "-c", "while doveadm user ann@example.com >/dev/null; do sleep .05; done")):
        add = ("users", "add", "dora@example.com", "--name", "Dora", "--alias", "d@example.com")
        server.postern(*add, stdin=f"{NEW}\n")
        server.send("d@example.com", "for dora")
    server.arrives("dora@example.com", "for dora")
    assert "dora@example.com" in server.postern("users", "list").stdout
    assert server.lets_in("dora@example.com", NEW)
    server.postern("users", "password", "dora@example.com", stdin=f"{ANN}\n")
    assert not server.lets_in("dora@example.com", NEW)
    assert server.lets_in("dora@example.com", ANN)
    server.postern("users", "remove", "dora@example.com", "--wipe-mail")
    assert not (server.box.var / "vmail/example.com/dora@example.com").exists()
    with Client(server.outside, OUTSIDE) as client:
        assert client.try_recipient("d@example.com")[0] == 550
    refused = server.postern("users", "add", "eve@example.net", stdin=f"{NEW}\n", check=False)
    assert (refused.status, "example.net is not a protected domain" in refused.stderr) == (2, True)
    assert server.postern("settings", "history").stdout == before


def test_a_table_goes_out_and_comes_in(server: Server) -> None:
    server.box.path("run/new.csv").write_text(f"address,name,aliases,password\nfred@example.com,Fred,,{NEW}\n")
    assert server.postern("users", "import", "/run/new.csv").stdout == "1 added, 0 changed.\n"
    server.postern("users", "export", "/run/all.csv")
    assert "$argon2id$" in server.box.path("run/all.csv").read_text()
    assert "$argon2id$" not in server.postern("users", "export").stdout
    server.postern("users", "remove", "fred@example.com", "--keep-mail")
    assert server.postern("users", "import", "/run/all.csv").stdout == "1 added, 3 changed.\n"
    assert server.lets_in("fred@example.com", NEW)
    server.postern("settings", "save", "/run/a.yaml", "--secrets", "/run/s.yaml")
    assert "fred@example.com" in server.box.path("run/a.yaml").read_text()
    assert server.postern("setup", "--answers", "/run/a.yaml", "--secrets", "/run/s.yaml", "--check").status == 0
    server.postern("users", "remove", "fred@example.com", "--keep-mail")


def test_guessing_gets_slower(server: Server) -> None:
    def guess() -> float:
        imap = Imap(server, port=993, source="10.0.0.67")
        with pytest.raises(imaplib.IMAP4.error):
            imap.login("ann@example.com", "wrong-password")
        imap.shutdown()
        said = server.box.journal("-u", "dovecot.service", "--grep=auth failed", "-n", "1")
        return float(said.rpartition("attempts in ")[2].split()[0])

    assert [guess() for _ in range(3)][-1] >= 4


def test_each_port_lets_in_what_it_allows(server: Server, peers: Peers) -> None:
    wanted = [(server.outside, OUTSIDE), (server.inside, INSIDE), (server.desk, DESK)]
    inside = {f"{port}/tcp" for port in (25, 110, 143, 465, 587, 993, 995, 4190)}
    assert scans(peers, wanted) == [{"25/tcp", "465/tcp", "993/tcp"}, inside, {"22/tcp"}]
    listening = {line.split()[4].rpartition(":")[0] for line in server.box.run("ss", "-Hltun").stdout.splitlines()}
    assert all(
        ip_address(one.strip("[]")) in map(ip_address, ("127.0.0.1", OUTSIDE, INSIDE, DESK)) for one in listening
    )


def test_after_a_restart_everybody_is_still_there(server: Server) -> None:
    server.box.stop()
    server.box.start()
    connect_hosts((server.outside, server.inside, server.desk))
    until(lambda: server.outside.answers(OUTSIDE, 25), "mail service", server.box.tail)
    server.send("bob.stone@example.com", "after the restart")
    server.arrives("bob@example.com", "after the restart")
    assert server.lets_in("ann@example.com", ANN)
