"""Transparent mode: neither end sees the box, and what it reads along is filtered; with Rspamd, clamd and the agent.

Shown on the kernel of whoever runs it; the machine lane has Debian's own.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from hardware.host import run
from tests.container import bridged as places
from tests.container.box import until
from tests.container.bridged import (
    BOX,
    BOX6,
    GUESSER,
    INSIDER,
    OTHER,
    PLAIN,
    SERVER,
    SERVER6,
    STRANGER,
    STRANGER6,
    THIRD,
    WORLD,
    Bridged,
    bridged,
)
from tests.container.client import Client
from tests.container.lab import Lab
from tests.container.mailserver import MailServer, Message
from tests.container.malformed import CASES, EICAR, HARMLESS
from tests.container.malformed import REFUSED as WHY
from tests.container.test_filtering import REFUSED, SENDER, SPAM, attached, letter
from tests.container.test_ports import scan
from tests.container.test_viruses import FOUND, extractable, last_word
from tests.peers import Peers

ANN, NET, ORG = "ann@example.com", "cid@example.net", "eve@example.org"


@pytest.fixture(scope="module")
def closed(root: Path, peers: Peers) -> Iterator[Bridged]:
    """It fails closed, and its third port lets no mail through."""
    with bridged(root, peers, "tc", fail="closed", third="drop") as made:
        yield made


@pytest.fixture(scope="module")
def opened(root: Path, peers: Peers) -> Iterator[Bridged]:
    """It fails open, its third port lets all mail through, and a stranger's past counts."""
    with bridged(root, peers, "to", fail="open", third="pass", reputation="true") as made:
        yield made


def send(client: Client, message: EmailMessage | bytes, *recipients: str) -> tuple[int, str]:
    """The last word on a message; the session is over then."""
    content = (message if isinstance(message, bytes) else message.as_bytes()).replace(b"\n", b"\r\n")
    with client:
        assert client.mail(SENDER)[0] == 250
        for recipient in recipients:
            assert client.rcpt(recipient)[0] == 250
        code, text = client.data(content)
        return code, text.decode(errors="replace")


def got(server: MailServer, subject: str) -> list[Message]:
    return [one for one in server.received() if f"Subject: {subject}\r\n".encode() in one.content]


def encrypted(client: Client) -> ssl.SSLSocket:
    """After STARTTLS and a new EHLO, whatever the certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert client.starttls(context=context)[0] == 220
    client.ehlo()
    assert isinstance(client.sock, ssl.SSLSocket)
    return client.sock


def last_words(of: Bridged) -> str:
    """What the proxy said last."""
    return of.box.journal("--unit=postern-proxy", "--lines=8")


def issued_to(line: ssl.SSLSocket) -> bytes:
    return line.getpeercert(binary_form=True) or b""


@pytest.mark.parametrize(("target", "source"), [(SERVER, STRANGER), (SERVER6, STRANGER6)], ids=["IPv4", "IPv6"])
def test_neither_end_sees_the_box(closed: Bridged, target: str, source: str) -> None:
    server, to = (closed.hosts.server, ANN) if target == SERVER else (closed.hosts.server6, NET)
    before = server.count()
    client = closed.hosts.client(target, source)
    assert b"mail.example.com" in (client.ehlo_resp or b"")  # the server's own name
    forged = letter("unseen")
    forged["X-Postern-Verdict"], forged["x-postern-release"] = "forged", "yes"
    assert send(client, forged, to) == (250, f"OK stored as {before + 1}")
    (message,) = got(server, "unseen")
    assert (message.client, message.sender, message.recipients) == (source, SENDER, (to,))
    assert re.match(rb"X-Postern-Score: -?[\d.]+\r\nX-Postern-Verdict: clean\r\nFrom: ", message.content)
    assert message.content.partition(b"From: ")[2] == letter("unseen").as_bytes().replace(b"\n", b"\r\n")[6:]


def test_the_servers_own_answers_are_final(closed: Bridged) -> None:
    closed.hosts.server6.know_only(NET)
    with closed.hosts.client(SERVER6, STRANGER6) as client:
        assert client.try_recipient("nobody@example.net") == (550, "5.1.1 nobody of that name here")
    assert closed.box.run("postqueue", "-j").stdout == ""


@pytest.mark.parametrize(
    ("subject", "source", "target", "to", "words"),
    [
        ("swaks from the world", STRANGER, SERVER, ANN, ("--tls",)),
        ("swaks by IPv6", STRANGER6, SERVER6, NET, ("--tls",)),
        ("swaks of a user away from home", STRANGER, SERVER, "tom@outside.example", ("--tls",)),
        ("swaks to the world", INSIDER, WORLD, "tom@outside.example", ("--tls-optional",)),
    ],
)
def test_swaks_sends_as_without_the_box(
    closed: Bridged, peers: Peers, subject: str, source: str, target: str, to: str, words: tuple[str, ...]
) -> None:
    """What the reference has one try after the installation, but for what is sent from inside to inside."""
    hosts = closed.hosts
    where, server = (hosts.inside, hosts.world) if target == WORLD else (hosts.outside, hosts.server)
    argv = ["--server", target, "--local-interface", source, "--from", SENDER, "--to", to]
    argv += ["--header", f"Subject: {subject}", *words]
    run.run(peers.command("swaks", *argv, namespace=where.namespace), timeout=120)
    (message,) = got(hosts.server6 if target == SERVER6 else server, subject)
    assert (message.client, message.recipients) == (source, (to,))


def test_ten_megabytes(closed: Bridged) -> None:
    sent = attached("ten megabytes", os.urandom(7_500_000), "a.bin")
    assert len(sent) > 10_000_000
    assert send(closed.hosts.client(SERVER), sent, ANN)[0] == 250
    (message,) = got(closed.hosts.server, "ten megabytes")
    assert message.content.endswith(sent.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (letter("refused spam", REFUSED), "5.7.1 refused as spam"),
        (attached("refused virus", EICAR, "eicar.com"), "5.7.1 virus found: Eicar-Test-Signature"),
    ],
    ids=["GTUBE", "EICAR"],
)
def test_what_is_refused_never_arrives(closed: Bridged, what: EmailMessage | bytes, said: str) -> None:
    before = closed.hosts.server.count()
    code, text = send(closed.hosts.client(SERVER), what, ANN)
    assert (code, text[: len(said)]) == (550, said)
    assert closed.hosts.server.count() == before


def test_a_virus_in_a_malformed_message_crosses_for_nobody(closed: Bridged, peers: Peers, tmp_path: Path) -> None:
    came: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    names = list(CASES)
    for few in (names[at : at + 8] for at in range(0, len(names), 8)):
        with closed.hosts.client(SERVER) as client:
            for name in few:
                before = closed.hosts.server.count()
                said = last_word(client, CASES[name])
                if said.startswith("250"):
                    came[name] = closed.hosts.server.received()[-1].content
                else:
                    assert closed.hosts.server.count() == before, f"{name}: {said}"
                    refused[name] = said
    why = WHY | {"nested 400 deep": WHY["forwarded 100 deep"]}  # Postfix does not see it, which would have counted
    assert {name: said for name, said in refused.items() if why.get(name, FOUND) not in said} == {}
    assert set(came) <= HARMLESS, {name: raw[:300] for name, raw in came.items() if name not in HARMLESS}
    assert [name for name, raw in came.items() if extractable(peers, tmp_path, raw)] == []


def test_no_header_of_a_stranger_makes_the_filter_milder(closed: Bridged) -> None:
    forged = letter("bypassed", REFUSED)
    forged["X-Postern-Access"] = "bypass"
    assert send(closed.hosts.client(SERVER), forged, ANN)[0] == 550


def test_spam_is_kept_or_marked_as_its_domain_wants(closed: Bridged) -> None:
    assert send(closed.hosts.client(SERVER), letter("to be kept", SPAM), ANN, "bob@example.com")[0] == 250
    for owner in (ANN, "bob@example.com"):
        words = ("doveadm", "search", "-u", owner, "mailbox", "Quarantine", "subject", "to be kept")
        assert len(closed.box.run(*words).stdout.splitlines()) == 1
    assert got(closed.hosts.server, "to be kept") == []
    assert send(closed.hosts.client(PLAIN), letter("to be marked", SPAM), ORG)[0] == 250
    assert len(got(closed.hosts.plain, "[SPAM] to be marked")) == 1


def test_what_a_person_welcomes_goes_on_by_the_boxs_own_mail_service(closed: Bridged) -> None:
    script = f"""
import sys
sys.path.insert(0, "/usr/lib/postern")
from overlays.quarantine.records import Records
Records().welcome("dan@example.com", "{SENDER}")
"""
    account = ("setpriv", "--reuid=postern-quarantine", "--regid=postern-quarantine", "--clear-groups")
    closed.box.run(*account, "python3", "-I", "-B", "-c", script)
    assert send(closed.hosts.client(SERVER), letter("welcome", SPAM), "dan@example.com")[0] == 250
    until(lambda: got(closed.hosts.server, "welcome"), "the message", closed.box.tail)
    (message,) = got(closed.hosts.server, "welcome")
    assert (message.client, message.recipients) == (BOX, ("dan@example.com",))


def test_whom_a_person_blocks_is_kept_here_too(closed: Bridged) -> None:
    """Clean mail that crosses the box, once the filter knows of the block."""
    fay, subjects = "fay@example.com", (f"blocked {number}" for number in itertools.count())
    closed.box.run("postern", "quarantine", "senders", fay, "--block", SENDER)

    def is_kept() -> bool:
        subject = next(subjects)
        assert send(closed.hosts.client(SERVER), letter(subject), fay)[0] == 250
        return got(closed.hosts.server, subject) == []

    until(is_kept, "the filter to know of it")
    assert is_kept()
    said = closed.box.run("doveadm", "search", "-u", fay, "mailbox", "Quarantine", "all").stdout
    assert len(said.splitlines()) == 2


def test_while_the_quarantine_is_away_spam_comes_again(closed: Bridged) -> None:
    closed.box.run("systemctl", "stop", "dovecot.service")
    assert send(closed.hosts.client(SERVER), letter("kept later", SPAM), ANN)[0] == 451
    closed.box.run("systemctl", "start", "dovecot.service")
    until(lambda: send(closed.hosts.client(SERVER), letter("kept later", SPAM), ANN)[0] == 250, "the store")


def test_domains_that_differ_get_messages_of_their_own(closed: Bridged) -> None:
    with closed.hosts.client(SERVER) as client:
        assert client.mail(SENDER)[0] == 250
        assert client.rcpt(ANN)[0] == 250
        assert client.rcpt("tom@outside.example")[0] == 452


def test_a_message_to_the_world_by_way_of_a_protected_server_is_outgoing(closed: Bridged) -> None:
    """An incoming connection: the server's address decides that. Its message is outgoing, and has other settings."""
    virus = attached("virus by the server", EICAR, "eicar.com")
    assert send(closed.hosts.client(SERVER), virus, "tom@outside.example")[0] == 550
    assert send(closed.hosts.client(SERVER), letter("by the server", REFUSED), "tom@outside.example")[0] == 250
    assert len(got(closed.hosts.server, "by the server")) == 1
    assert f"incoming from {STRANGER} to {SERVER}" in last_words(closed)


def test_a_message_to_a_protected_domain_by_way_of_the_world_is_incoming(closed: Bridged) -> None:
    """An outgoing connection: its destination is nobody's protected server. Its message is incoming all the same."""
    for recipient, code in ((ANN, 550), ("tom@outside.example", 250)):
        client = closed.hosts.client(WORLD, INSIDER, closed.hosts.inside)
        assert send(client, letter("by the world", REFUSED), recipient)[0] == code
        assert f"outgoing from {INSIDER} to {WORLD}" in last_words(closed)
    (message,) = got(closed.hosts.world, "by the world")
    assert message.recipients == ("tom@outside.example",)


def test_decrypted_where_it_shall_be(closed: Bridged) -> None:
    """Both halves are encrypted, each by itself, and what passes is read."""
    own = ssl.PEM_cert_to_DER_cert(closed.box.path("var/lib/postern/device/tls/cert.pem").read_text())
    client = closed.hosts.client(SERVER)
    assert issued_to(encrypted(client)) == own
    assert send(client, letter("terminated"), ANN)[0] == 250
    (message,) = got(closed.hosts.server, "terminated")
    assert (message.tls, message.client) == (True, STRANGER)
    client = closed.hosts.client(SERVER)
    encrypted(client)
    assert send(client, attached("virus in TLS", EICAR, "eicar.com"), ANN)[0] == 550


def test_unread_where_encryption_shall_pass(closed: Bridged) -> None:
    client = closed.hosts.client(SERVER6, STRANGER6)
    own = ssl.PEM_cert_to_DER_cert(closed.box.path("var/lib/postern/device/tls/cert.pem").read_text())
    assert issued_to(encrypted(client)) != own
    assert send(client, attached("passed", EICAR, "eicar.com"), NET)[0] == 250
    (message,) = got(closed.hosts.server6, "passed")
    assert (message.tls, b"X-Postern" in message.content) == (True, False)
    # In the clear the same is read, and refused.
    assert send(closed.hosts.client(SERVER6, STRANGER6), attached("passed", EICAR, "eicar.com"), NET)[0] == 550


def test_not_offered_where_it_is_stripped(closed: Bridged) -> None:
    with closed.hosts.client(PLAIN) as client:
        assert "starttls" not in client.esmtp_features
        with pytest.raises(smtplib.SMTPNotSupportedError):
            client.starttls()
        assert client.say("STARTTLS")[0] == 502


def test_other_ports_and_protocols_cross_the_bridge(closed: Bridged) -> None:
    assert send(Client(closed.hosts.outside, SERVER, STRANGER, 2525), letter("unread"), ANN)[0] == 250
    (message,) = got(closed.hosts.elsewhere, "unread")
    assert (message.client, b"X-Postern" in message.content) == (STRANGER, False)
    assert closed.hosts.outside.pings(SERVER)
    assert closed.hosts.outside.pings(SERVER6)


def test_an_outgoing_connection_passes_where_it_may(closed: Bridged) -> None:
    assert send(closed.hosts.client(OTHER), letter("passing"), "x@other.example")[0] == 250
    (message,) = got(closed.hosts.other, "passing")
    assert (message.client, b"X-Postern" in message.content) == (STRANGER, False)


def test_an_outgoing_connection_is_read_where_it_shall_be(closed: Bridged) -> None:
    def client() -> Client:
        return closed.hosts.client(WORLD, INSIDER, closed.hosts.inside)

    assert send(client(), letter("going out"), "tom@outside.example")[0] == 250
    (message,) = got(closed.hosts.world, "going out")
    assert (message.client, b"X-Postern-Verdict: clean" in message.content) == (INSIDER, True)
    assert send(client(), attached("virus going out", EICAR, "eicar.com"), "tom@outside.example")[0] == 550


def test_a_port_that_drops(closed: Bridged) -> None:
    assert not closed.hosts.third.answers(SERVER, 25)
    assert not closed.hosts.third.answers(WORLD, 25)
    assert closed.hosts.third.answers(SERVER, 2525)


def test_open_ports_are_the_modes_list(closed: Bridged, peers: Peers) -> None:
    found = [
        scan(peers, segment, address)
        for segment, address in (
            (closed.hosts.outside, BOX),
            (closed.hosts.outside, BOX6),
            (closed.hosts.inside, BOX),
            (closed.hosts.third, BOX),
            (closed.desk, places.DESK_BOX),
        )
    ]
    assert found == [{"25/tcp"}, {"25/tcp"}, set(), {"25/tcp"}, {"22/tcp", "443/tcp"}]
    listening = {line.split()[4] for line in closed.box.run("ss", "-Hltun").stdout.splitlines()}
    local = {"127.0.0.1:10025", "[::1]:10025"}
    assert local < listening
    away = {one for one in listening if not one.startswith(("127.0.0.1", "[::1]"))}
    assert away == {f"{BOX}:25", f"[{BOX6}]:25", f"{places.DESK_BOX}:22", f"{places.DESK_BOX}:443"}


def test_bridged_frames_see_no_ip_rules(closed: Bridged) -> None:
    """Debian's kernel has br_netfilter as a module, which is kept away; this one may have it built in."""
    switches = closed.box.run("sh", "-c", "cat /proc/sys/net/bridge/bridge-nf-call-* 2>/dev/null", check=False).stdout
    assert set(switches.split()) <= {"0"}


def test_the_proxy_is_confined(closed: Bridged) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", "--threshold=40", "--no-pager", "postern-proxy.service"]
    done = closed.box.run(*argv, check=False)
    print(*re.findall(r"Overall exposure level.*", done.stdout))
    assert done.status == 0, done.stdout


def test_without_a_filter_or_a_scanner_mail_comes_again(closed: Bridged) -> None:
    for units in (["rspamd.service"], ["clamav-daemon.socket", "clamav-daemon.service"]):
        before = closed.hosts.server.count()
        closed.box.run("systemctl", "stop", *units)
        assert send(closed.hosts.client(SERVER), letter("again"), ANN)[0] == 451
        assert closed.hosts.server.count() == before
        closed.box.run("systemctl", "start", *units)
        until(lambda: send(closed.hosts.client(SERVER), letter("again"), ANN)[0] == 250, f"{units[0]} to be back")


def test_failing_closed_refuses(closed: Bridged) -> None:
    closed.proxy("stop")
    assert not closed.hosts.outside.answers(SERVER, 25)
    assert closed.hosts.outside.answers(SERVER, 2525)
    closed.proxy("start")
    assert send(closed.hosts.client(SERVER), letter("closed again"), ANN)[0] == 250


def test_the_self_test_goes_through_the_proxy_and_to_no_server(closed: Bridged) -> None:
    """A stand-in takes the place of the servers; a proxy that does not serve is found."""
    servers = (closed.hosts.server, closed.hosts.server6, closed.hosts.plain)
    before = [server.count() for server in servers]

    def tested() -> dict[str, tuple[str, str]]:
        said = closed.box.run("postern", "selftest", "--json", check=False, timeout=300).stdout
        return {f"{one['check']} {one['about']}": (one["colour"], one["said"]) for one in json.loads(said)}

    found = tested()
    assert [what for what, (colour, _) in found.items() if colour == "red"] == []
    for about in ("example.com and 1 more", "example.org"):
        assert found[f"clean {about}"][1].startswith("taken, found clean")
        assert found[f"spam {about}"][1].startswith("refused: 550 5.7.1 refused as spam")
        assert found[f"virus {about}"][1].startswith("refused: 550 5.7.1 virus found")
    closed.proxy("stop")
    found = tested()
    assert found["clean example.org"] == ("red", "no answer: Connection refused")
    closed.proxy("start")
    assert [server.count() for server in servers] == before
    assert not [asked for server in servers for asked in server.asked if "selftest" in asked]


def test_a_port_that_lets_pass(opened: Bridged) -> None:
    assert send(opened.hosts.client(SERVER, THIRD, opened.hosts.third), letter("from the third"), ANN)[0] == 250
    (message,) = got(opened.hosts.server, "from the third")
    assert (message.client, b"X-Postern" in message.content) == (THIRD, False)


def test_a_strangers_past_counts(opened: Bridged) -> None:
    """What the servers say of his recipients, and what the filter finds; nobody else has to do with it."""

    def past(of: str) -> dict[str, object]:
        told = json.loads(opened.box.run("postern", "reputation", "--json").stdout)
        return next((one for one in told if one["client"] == of), {"standing": "", "past": {}})

    opened.hosts.server.know_only(ANN)
    with opened.hosts.client(SERVER, GUESSER) as client:
        assert client.mail(SENDER)[0] == 250
        assert [client.rcpt(f"{name}@example.com")[0] for name in ("guess", "other", "ann")] == [550, 550, 250]
        content = attached("a virus", EICAR, "eicar.com").replace(b"\n", b"\r\n")
        assert client.data(content)[0] == 550
    known = {"messages": 1, "asked": 3, "known": 1, "spam": 0, "virus": 1}
    until(lambda: past(GUESSER) == {"client": GUESSER, "score": 26, "standing": "throttled", "past": known}, "it")
    asked = len(opened.hosts.server.asked)
    with opened.hosts.client(SERVER, GUESSER) as client:
        assert client.mail(SENDER)[0] == 250
        code, text = client.rcpt(ANN)
        assert (code, text.decode()) == (450, "4.7.1 too many bad messages came from you: come again in an hour")
    assert len(opened.hosts.server.asked) == asked
    assert send(opened.hosts.client(SERVER), letter("of another stranger"), ANN)[0] == 250
    assert past(STRANGER)["past"] == {"messages": 1, "asked": 1, "known": 1, "spam": 0, "virus": 0}
    for what, code in ((attached("of an insider", EICAR, "eicar.com"), 550), (letter("of an insider"), 250)):
        client = opened.hosts.client(WORLD, INSIDER, opened.hosts.inside)
        assert send(client, what, "tom@outside.example")[0] == code
    opened.box.run("systemctl", "stop", "postern-access.socket", "postern-access.service")
    assert send(opened.hosts.client(SERVER, GUESSER), letter("of whom nothing is known"), ANN)[0] == 250
    opened.box.run("systemctl", "start", "postern-access.service")


def test_failing_open_lets_through(opened: Bridged) -> None:
    def is_read(subject: str) -> bool:
        assert send(opened.hosts.client(SERVER), letter(subject), ANN)[0] == 250
        return b"X-Postern-Verdict: clean" in got(opened.hosts.server, subject)[0].content

    assert is_read("while it serves")
    opened.proxy("stop")
    assert not is_read("while it does not")
    opened.proxy("start")
    assert is_read("since it does again")


@pytest.mark.parametrize("blow", ["KILL", "STOP"])
def test_a_proxy_that_is_killed_or_hangs_comes_back(opened: Bridged, blow: str) -> None:
    """One that hangs is ended by systemd's watchdog."""

    def restarts() -> str:
        return opened.box.run("systemctl", "show", "--value", "-p", "NRestarts,ActiveState", "postern-proxy").stdout

    before = restarts().split()[0]
    opened.box.run("systemctl", "kill", f"--signal={blow}", "postern-proxy")
    until(lambda: before not in restarts().split() and "active" in restarts().split(), blow, opened.box.tail, 90)
    assert send(opened.hosts.client(SERVER), letter(f"after {blow}"), ANN)[0] == 250
    assert b"X-Postern-Verdict: clean" in got(opened.hosts.server, f"after {blow}")[0].content


def test_nothing_of_it_runs_in_another_mode(opened: Bridged, gateway: Lab) -> None:
    """Where it never ran, and where it did; the last test here, for the bridge is gone then."""
    answers = f"""
format: 1
mode: gateway
network: {{ports: {{port1: {{addresses: [{BOX}/24], allow: [ping, smtp]}}}}}}
mailhost: {{host_name: mx, local_domain: mail.example.org}}
domains: [{{name: example.com, server: {SERVER}}}]
"""
    opened.box.path("run/a.yaml").write_text(answers)
    opened.box.run("postern", "setup", "--answers", "/run/a.yaml")
    for one in (opened.box, gateway.box):
        units = one.run("systemctl", "is-active", "postern-proxy", "postern-pickup", check=False).stdout.split()
        assert units == ["inactive", "inactive"]
        assert "table bridge" not in one.run("nft", "list", "tables").stdout
        assert "br0" not in one.run("ip", "-brief", "link").stdout
    until(lambda: opened.hosts.outside.answers(BOX, 25), "the gateway", opened.box.tail)
    assert not opened.hosts.outside.answers(SERVER, 2525)
