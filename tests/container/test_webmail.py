"""Webmail in server mode: log in, read, send; what strangers send does nothing; its code stays where it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.container.box import Box, box, until
from tests.container.client import Client
from tests.container.http import Answer, Http
from tests.container.network import Segment, segments
from tests.peers import Peers

NAME, ADDRESS = "mx1.example.org", "192.0.2.10"
READER, GUESSER, SENDER = "192.0.2.77", "192.0.2.78", "192.0.2.79"
VISITORS = ("192.0.2.81", "192.0.2.82", "192.0.2.83")
ANN, BOB = "ann@example.com", "bob@example.com"
PASSWORD = "Dunnock-hides~44-deep"
ANSWERS = f"""
format: 1
mode: server
network:
  ports:
    port1: {{addresses: [{ADDRESS}/24], allow: [ping, smtp, https, http]}}
mailhost: {{host_name: mx1, local_domain: example.org}}
domains:
  - {{name: example.com}}
filtering: {{greylisting: {{enabled: false}}}}
users:
  - {{address: {ANN}}}
  - {{address: {BOB}}}
"""
SECRETS = f"""
format: 1
admin: {{password: "{PASSWORD}"}}
users:
  {ANN}: {{password: "{PASSWORD}"}}
  {BOB}: {{password: "{PASSWORD}"}}
"""
HOSTILE = """<html><head><style>@import url(http://192.0.2.79/import.css);
body { background: url(http://192.0.2.79/back) }
</style><link rel="stylesheet" href="http://192.0.2.79/link.css"><script>window.hit = 1</script></head>
<body onload="hit()"><p>Harmless words</p><img src="http://192.0.2.79/picture" onerror="hit()">
<iframe src="http://192.0.2.79/frame"></iframe><a href="javascript:hit()">a link</a><form action="http://192.0.2.79/form">
<input name="password"></form><svg><script>hit()</script></svg><object data="http://192.0.2.79/object"></object></body></html>"""


@dataclass
class Session:
    """One user's browser."""

    http: Http
    token: str = ""

    def get(self, words: str) -> Answer:
        return self.http.get(f"/webmail/?{words}")

    def log_in(self, user: str, password: str, *options: str) -> Answer:
        page = self.http.get("/webmail/")
        assert page.status == 200, page
        form = {"_token": _token(page.body), "_task": "login", "_action": "login", "_user": user, "_pass": password}
        answer = self.http.post("/webmail/?_task=login", form, *options)
        if answer.status == 302:
            self.token = re.findall(r'"request_token":"([^"]+)"', self.get("_task=mail").body)[0]
        return answer


def _token(page: str) -> str:
    (found,) = re.findall(r'name="_token" value="([^"]+)"', page)
    return str(found)


@pytest.fixture(scope="module")
def net() -> Iterator[Segment]:
    with segments(1, "wm") as nets:
        yield nets[0]


@pytest.fixture(scope="module")
def server(root: Path, net: Segment) -> Iterator[Box]:
    """A server with two users."""
    with box(root, [net]) as made:
        made.start({"postern.answers": ANSWERS, "postern.secrets": SECRETS})
        net.host(*(f"{address}/24" for address in (READER, GUESSER, SENDER, *VISITORS)))
        yield made
        made.require_well(PASSWORD)


@pytest.fixture
def session(server: Box, net: Segment, peers: Peers, tmp_path: Path) -> Session:
    certificate = tmp_path / "box.pem"
    certificate.write_text(server.path("var/lib/postern/device/tls/cert.pem").read_text())
    return Session(Http(peers, net, NAME, ADDRESS, certificate, READER, tmp_path / "cookies"))


@pytest.fixture
def ann(session: Session) -> Session:
    until(lambda: session.log_in(ANN, PASSWORD).status == 302, "ann's log-in", patience=90)
    return session


def deliver(net: Segment, subject: str, html: str = "", sender: str = "someone@example.net") -> None:
    """A stranger's mail to ann."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, ANN, subject
    message.set_content("Plain words")
    if html:
        message.add_alternative(html, subtype="html")
    with Client(net, ADDRESS, SENDER) as client:
        assert client.send_message(message, sender, [ANN]) == {}


def arrived(session: Session, subject: str) -> str:
    """The number of ann's message with that subject, once it is there."""
    found: list[str] = []

    def look() -> bool:
        said = session.get(f"_task=mail&_action=list&_mbox=INBOX&_remote=1&_unlock=0&_refresh={subject}").body
        found[:] = re.findall(rf"add_message_row\((\d+),[^)]*{re.escape(subject)}", said.replace('\\"', '"'))
        return bool(found)

    until(look, subject, lambda: session.get("_task=mail&_action=list&_mbox=INBOX&_remote=1").body[:2000])
    return found[0]


def test_who_names_no_page_is_led_to_it(server: Box, session: Session) -> None:
    assert session.http.get("/").headers["location"] == f"https://{NAME}/webmail/"


def test_a_wrong_password_does_not_get_in(server: Box, session: Session) -> None:
    other = replace(session, http=replace(session.http, source=GUESSER))
    assert other.log_in(ANN, "a guess").status == 401


def test_guesses_are_limited(server: Box, session: Session) -> None:
    other = replace(session, http=replace(session.http, source=GUESSER))
    assert 429 in [other.http.post("/webmail/?_task=login", {"_user": BOB}).status for _ in range(12)]


def test_who_logs_in_is_told_with_the_address_that_the_web_server_saw(
    server: Box, session: Session, tmp_path: Path
) -> None:
    """Also to Dovecot, which slows down who guesses. What a browser says of its address is nobody's business."""
    forged = ("--header", "X-Forwarded-For: 203.0.113.9", "--header", "X-Real-IP: 203.0.113.9")
    one, other, third = (
        replace(session, http=replace(session.http, source=source, cookies=tmp_path / source)) for source in VISITORS
    )
    assert one.log_in(BOB, PASSWORD, *forged).status == 302
    assert other.log_in(BOB, "a guess", *forged).status == 401
    assert third.log_in("Plover-in-the-wrong-field", PASSWORD, *forged).status == 401
    form = one.http.get("/quarantine/login", *forged).body
    fields = {"form": re.findall(r'name="form" value="([^"]+)"', form)[0], "user": BOB}
    assert one.http.post("/quarantine/login", fields | {"password": "a guess"}, *forged).status == 403
    assert one.http.post("/quarantine/login", fields | {"password": PASSWORD}, *forged).status == 303
    said = server.run("postern", "log", "event", "--json").stdout
    events = [json.loads(line) for line in said.splitlines()]
    told = [(event["subtype"], event["text"]) for event in events if re.search("192.0.2.8[123]", event["text"])]
    assert told == [
        ("webmail", f"login user=<{BOB}> client=<{VISITORS[0]}> right"),
        ("webmail", f"login user=<{BOB}> client=<{VISITORS[1]}> wrong"),
        ("webmail", f"login user=<no address> client=<{VISITORS[2]}> wrong"),
        ("quarantine", f"login user=<{BOB}> client=<{VISITORS[0]}> wrong"),
        ("quarantine", f"login user=<{BOB}> client=<{VISITORS[0]}> right"),
    ]
    assert "imap" not in {event["subtype"] for event in events}
    assert "203.0.113.9" not in server.journal()
    tried = [line for line in server.journal("-u", "dovecot").splitlines() if f"user=<{BOB}>" in line]
    assert [f"rip={source}, lip=127.0.0.1" in "".join(tried) for source in VISITORS[:2]] == [True, True]
    assert [line for line in tried if "rip=127.0.0.1" in line and "imap-login" in line] == []


def test_mail_is_read(server: Box, ann: Session, net: Segment) -> None:
    deliver(net, "Read-me-now")
    page = ann.get(f"_task=mail&_action=show&_uid={arrived(ann, 'Read-me-now')}&_mbox=INBOX")
    assert "Plain words" in page.body


def test_a_hostile_message_is_made_harmless(server: Box, ann: Session, net: Segment) -> None:
    deliver(net, "Hostile-page", HOSTILE)
    page = ann.get(f"_task=mail&_action=show&_uid={arrived(ann, 'Hostile-page')}&_mbox=INBOX").body
    assert "Harmless words" in page
    assert not re.findall(r"hit\(\)|window\.hit|192\.0\.2\.79|<iframe[^>]*frame\"", page)


def test_mail_is_sent(server: Box, ann: Session) -> None:
    moved = ann.get("_task=mail&_action=compose").headers["location"]
    page = ann.get(moved.partition("?")[2])
    number = re.findall(r'name="_id" value="([^"]+)"', page.body)[0]
    identity = re.findall(r'name="_from".*?<option value="(\d+)"', page.body, re.DOTALL)[0]
    form = {"_token": ann.token, "_task": "mail", "_action": "send", "_id": number, "_from": identity, "_to": BOB}
    form |= {"_subject": "By-webmail", "_message": "Written in a browser", "_is_html": "0", "_store_target": "Sent"}
    answer = ann.http.post("/webmail/?_task=mail&_action=send&_framed=1", form)
    assert "sent_successfully" in answer.body, answer.body[-1500:]
    search = ("doveadm", "search", "-u", BOB, "mailbox", "INBOX", "subject", "By-webmail")
    until(lambda: server.run(*search).stdout, "the message in bob's mailbox", lambda: server.journal("-n", "30"))


@pytest.mark.parametrize(
    "path",
    [
        "/webmail/index.php",
        "/webmail/program/include/rcmail.php",
        "/webmail/program/lib/Roundcube/rcube.php",
        "/webmail/program/js/../include/rcmail.php",
        "/webmail/plugins/archive/archive.php",
        "/webmail/skins/elastic/ui.js/x.php",
        "/webmail/config/config.inc.php",
        "/webmail/installer/index.php",
        "/webmail/installer/",
        "/webmail/SQL/sqlite.initial.sql",
        "/webmail/bin/updatedb.sh",
        "/webmail/composer.json",
        "/webmail/db/roundcube.db",
        "/webmail/temp/",
        "/webmail/skins/../../../etc/passwd",
        "/webmail/skins/..%2f..%2f..%2f..%2fetc/passwd.js",
        "/webmail/skins/elastic/templates/login.html",
    ],
)
def test_its_code_is_never_served(server: Box, session: Session, path: str) -> None:
    answer = session.http.get(path)
    assert answer.status in (400, 403, 404), answer
    assert "<?php" not in answer.body


def test_what_its_pages_need_is_served(server: Box, session: Session) -> None:
    page = session.http.get("/webmail/").body
    parts = re.findall(r'(?:src|href)="((?:skins|program|plugins)/[^"?]+)', page)
    assert len(parts) > 5
    assert {path: session.http.get(f"/webmail/{path}").status for path in parts} == dict.fromkeys(parts, 200)


def test_it_is_kept_in(server: Box) -> None:
    users = server.run("ps", "-C", "php-fpm8.4", "-o", "user=").stdout.split()
    assert set(users) == {"www-data"}
    said = server.run(
        "systemd-analyze", "security", "--offline=true", "--threshold=40", "php8.4-fpm.service", check=False
    )
    assert said.status == 0, said.stdout


def test_the_key_is_each_boxs_own(server: Box, root: Path) -> None:
    assert not (root / "etc/roundcube/config.inc.php").exists()
    key = server.path("var/lib/postern/device/webmail/key")
    assert (len(key.read_text()), key.stat().st_mode & 0o777) == (32, 0o600)
