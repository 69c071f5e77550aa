"""The quarantine's pages, reports and commands on the real box: through its web server and by real mail."""

from __future__ import annotations

import email
import html
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy as email_policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.container.box import until
from tests.container.client import Client
from tests.container.http import Answer, Http
from tests.container.lab import INSIDE_BOX, PASSWORD, Lab, lab
from tests.container.mailboxes import mailboxes
from tests.container.test_filtering import SPAM, dns, letter, send
from tests.container.test_quarantine import KEEPING, arrived, hand_over, kept
from tests.peers import Peers

NAME = "mx1.mail.example.org"
ANN, BOB, CID = "ann@example.com", "bob@example.com", "cid@example.net"
WORDS = {ANN: "Siskin-sings~12-alder", BOB: "Plover-runs~34-sand", CID: "Curlew-calls~56-mud"}
BROWSERS = [f"10.0.0.{number}" for number in range(150, 180)]  # wrong passwords are counted by address
ANSWERS = KEEPING.replace(
    "name: example.com, server: 10.0.0.25",
    "name: example.com, server: 10.0.0.25, login: {{protocol: imap, tls: starttls, verify: false}}",
).replace(
    "name: example.net, server: 10.0.0.26, port: 2525",
    'name: example.net, server: 10.0.0.26, port: 2525, login: {{protocol: pop3, tls: "off"}}',
)
HOSTILE = (
    "<html><head><style>@import url(http://192.0.2.77/a.css); body { background: url(http://192.0.2.77/b) }</style>"
    "<script>hit()</script></head><body onload='hit()'><p style='color: red'>Harmless words</p>"
    "<img src='http://192.0.2.77/c' onerror='hit()'><a href='javascript:hit()'>a link</a>"
    "<form action='http://192.0.2.77/d'><input name=password></form><svg><script>hit()</script></svg>"
    "<iframe src='http://192.0.2.77/e'></iframe><object data='http://192.0.2.77/f'></object></body></html>"
)


@dataclass
class Browser:
    """Somebody's browser at an address inside."""

    http: Http
    token: str = field(default="", init=False)

    def get(self, path: str) -> Answer:
        """A page, whose form's token is kept for the next form."""
        answer = self.http.get(f"/quarantine/{path}")
        found = re.search(r'name="form" value="([^"]+)"', answer.body)
        self.token = found[1] if found else self.token
        return answer

    def post(self, path: str, **fields: str) -> Answer:
        return self.http.post(f"/quarantine/{path}", {"form": self.token} | fields)

    def log_in(self, user: str, password: str) -> Answer:
        assert self.get("login").status == 200
        return self.post("login", user=user, password=password)


@dataclass
class Post:
    """The lab, with browsers in it."""

    lab: Lab
    certificate: Path
    addresses: Iterator[str] = field(default_factory=lambda: iter(BROWSERS))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def browser(self, user: str = "") -> Browser:
        """A browser at an address of its own; logged in, if somebody is named."""
        source = next(self.addresses)
        cookies = self.lab.folder / f"cookies-{source}"
        made = Browser(
            Http(self.lab.peers, self.lab.inside, NAME, INSIDE_BOX, self.certificate, source, cookies=cookies)
        )
        if user:
            answer = made.log_in(user, WORDS.get(user, PASSWORD))
            assert (answer.status, answer.headers.get("location")) == (303, "/quarantine/"), answer
        return made

    def keep(self, owner: str, subject: str = "", sender: str = "eve@outside.example") -> str:
        """Have a message kept; its name in the store."""
        subject = subject or f"kept {next(self.numbers)}"
        assert hand_over(self.lab, subject, 7, owner, sender=sender) == ["250"]
        return self.named(owner, subject)

    def named(self, owner: str, subject: str) -> str:
        (found,) = [one["name"] for one in self.listed(owner) if one["subject"] == subject]
        return str(found)

    def listed(self, owner: str) -> list[dict[str, str]]:
        said = self.lab.box.run("postern", "quarantine", "list", owner, "--json").stdout
        found: list[dict[str, str]] = json.loads(said)
        return found

    def names(self, owner: str) -> list[str]:
        return [one["name"] for one in self.listed(owner)]

    def report(self) -> dict[str, int]:
        sent: dict[str, int] = json.loads(self.lab.box.run("postern", "quarantine", "report", "--json").stdout)
        return sent

    def last_report(self, to: str, seen: int) -> EmailMessage:
        """The report that this user's server has received since it had taken so many."""

        def found() -> list[bytes]:
            new = self.lab.example_com.received()[seen:]
            return [one.content for one in new if to in one.recipients and b"Auto-Submitted" in one.content]

        until(found, "the report")
        parsed = email.message_from_bytes(found()[-1], policy=email_policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@pytest.fixture(scope="module")
def post(root: Path, peers: Peers) -> Iterator[Post]:
    with lab(root, peers, ANSWERS, "qp") as made:
        made.inside.host(*(f"{address}/24" for address in BROWSERS))
        certificate = made.folder / "box.pem"
        certificate.write_text(made.box.path("var/lib/postern/device/tls/cert.pem").read_text())
        servers = [made.example_com.address, made.example_net.address]
        with mailboxes(peers, made.inside, servers, made.folder / "boxes", made.folder / "server.pem", WORDS):
            until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
            yield Post(made, certificate)
        said = made.box.journal()
        assert not [word for word in WORDS.values() if word in said], "a log holds a password"


def test_nobody_sees_anything_without_logging_in(post: Post) -> None:
    name = post.keep(ANN)
    browser = post.browser()
    for path in ("", f"box/{ANN}/", f"box/{ANN}/{name}"):
        answer = browser.get(path)
        assert (answer.status, answer.headers["location"]) == (302, "/quarantine/login")
    assert browser.get(f"box/{ANN}/{name}/body").status == 404
    browser.get("login")
    assert browser.post(f"box/{ANN}/", act="delete", name=name).status == 404
    assert name in post.names(ANN)


def test_the_password_is_the_one_of_the_domains_server(post: Post) -> None:
    browser = post.browser()
    assert browser.log_in(ANN, WORDS[BOB]).status == 403
    assert browser.log_in("eve@example.com", WORDS[ANN]).status == 403
    assert browser.log_in("someone@example.org", WORDS[ANN]).status == 403  # its server is not asked
    assert browser.get("").status == 302
    post.browser(CID)  # by POP3
    assert browser.log_in("Ann@Example.com", WORDS[ANN]).status == 303


def test_the_session_is_the_browsers_alone_and_ends(post: Post) -> None:
    browser = post.browser(ANN)
    answer = browser.http.get("/quarantine/login")
    assert browser.get(f"box/{ANN}/").status == 200
    fresh = Browser(Http(post.lab.peers, post.lab.inside, NAME, INSIDE_BOX, post.certificate, next(post.addresses)))
    cookie = fresh.http.get("/quarantine/login").headers["set-cookie"]
    assert cookie.startswith("__Secure-postern=")
    for word in ("; Secure", "; HttpOnly", "; Path=/quarantine/", "; SameSite=Strict"):
        assert word in cookie
    assert answer.headers["cache-control"] == "no-store"
    jar = browser.http.cookies
    assert jar is not None
    stolen = jar.read_bytes()
    assert browser.post("logout").status == 303
    jar.write_bytes(stolen)
    assert browser.get(f"box/{ANN}/").status == 302


def test_a_form_of_somebody_else_does_nothing(post: Post) -> None:
    name = post.keep(ANN)
    browser = post.browser(ANN)
    browser.token = "x" * 32
    assert browser.post(f"box/{ANN}/", act="delete", name=name).status == 400
    assert browser.http.post(f"/quarantine/box/{ANN}/", {"act": "delete", "name": name}).status == 400
    assert name in post.names(ANN)


def test_a_user_sees_what_is_his(post: Post) -> None:
    mine, another = post.keep(ANN), post.keep(BOB)
    browser = post.browser(ANN)
    page = browser.get(f"box/{ANN}/").body
    assert mine in page
    assert another not in page
    for path in (f"box/{BOB}/", f"box/{BOB}/{another}", f"box/{ANN}/{another}", "box/system@quarantine.invalid/"):
        assert browser.get(path).status == 404
    browser.get(f"box/{ANN}/")
    assert browser.post(f"box/{BOB}/", act="delete", name=another).status == 404
    browser.post(f"box/{ANN}/", act="delete", name=another)
    assert another in post.names(BOB)


def test_the_administrator_sees_everything(post: Post) -> None:
    name = post.keep(BOB)
    assert hand_over(post.lab, "odd address", 7, "o'neil@example.com") == ["250"]
    browser = post.browser("admin")
    page = browser.get("").body
    assert BOB in page
    assert name in browser.get(f"box/{BOB}/").body
    assert "odd address" in browser.get("box/system@quarantine.invalid/").body
    assert browser.post(f"box/{BOB}/", act="delete", name=name).status == 303
    assert name not in post.names(BOB)


def test_a_released_message_arrives_once_as_it_came_and_does_not_come_back(post: Post) -> None:
    assert send(post.lab, letter("please release", SPAM).as_bytes(), ANN) == "250"
    until(lambda: kept(post.lab, ANN, "please release") == 1, "the quarantine")
    browser = post.browser(ANN)
    name = post.named(ANN, "please release")
    browser.get(f"box/{ANN}/")
    assert browser.post(f"box/{ANN}/", act="release", name=name).status == 303
    assert "1 released." in browser.get(f"box/{ANN}/").body
    until(lambda: arrived(post.lab, "please release") == [ANN], "the message")
    assert browser.post(f"box/{ANN}/", act="release", name=name).status == 303
    assert "not there any more" in browser.get(f"box/{ANN}/").body
    post.lab.until_empty()
    assert arrived(post.lab, "please release") == [ANN]
    assert kept(post.lab, ANN, "please release") == 0
    (content,) = [one.content for one in post.lab.example_com.received() if b"please release" in one.content]
    assert letter("please release", SPAM).get_content().encode().strip() in content
    assert b"X-Postern-Recipient" not in content
    assert b"Delivered-To" not in content


def test_whom_a_user_welcomes_is_not_kept_any_more(post: Post) -> None:
    name = post.keep(ANN, "first", sender="aunt@outside.example")
    browser = post.browser(ANN)
    browser.get(f"box/{ANN}/{name}")
    assert browser.post(f"box/{ANN}/", act="welcome", name=name).status == 303
    until(lambda: arrived(post.lab, "first") == [ANN], "the first")
    assert hand_over(post.lab, "second", 7, ANN, BOB, sender="aunt@outside.example") == ["250", "250"]
    until(lambda: arrived(post.lab, "second") == [ANN], "the second")
    assert kept(post.lab, BOB, "second") == 1
    assert "aunt@outside.example" in browser.get(f"box/{ANN}/senders").body
    assert browser.post(f"box/{ANN}/senders", act="remove", sender="aunt@outside.example").status == 303
    assert hand_over(post.lab, "third", 7, ANN, sender="aunt@outside.example") == ["250"]
    assert kept(post.lab, ANN, "third") == 1
    browser.post(f"box/{ANN}/senders", act="welcome", sender="Uncle@Outside.Example")
    assert "uncle@outside.example" in browser.get(f"box/{ANN}/senders").body
    browser.post(f"box/{ANN}/senders", act="welcome", sender="nobody")
    assert "is not a mail address" in browser.get(f"box/{ANN}/senders").body
    assert browser.get(f"box/{BOB}/senders").status == 404


def test_whom_a_user_blocks_is_kept_until_he_is_forgotten(post: Post) -> None:
    name = post.keep(ANN, "unwanted", sender="pest@outside.example")
    browser = post.browser(ANN)
    browser.get(f"box/{ANN}/{name}")
    assert browser.post(f"box/{ANN}/", act="block", name=name).status == 303
    assert "1 blocked" in browser.get(f"box/{ANN}/").body
    assert hand_over(post.lab, "clean pest", 0, ANN, BOB, sender="pest@outside.example") == ["250", "250"]
    until(lambda: arrived(post.lab, "clean pest") == [BOB], "Bob's")
    assert kept(post.lab, ANN, "clean pest") == 1
    assert "pest@outside.example" in browser.get(f"box/{ANN}/senders").body
    assert browser.post(f"box/{ANN}/senders", act="remove", sender="pest@outside.example").status == 303
    assert hand_over(post.lab, "pest no more", 0, ANN, sender="pest@outside.example") == ["250"]
    until(lambda: arrived(post.lab, "pest no more") == [ANN], "the message")
    browser.post(f"box/{ANN}/senders", act="block", sender="Pest@Outside.Example")
    assert post.lab.box.run("postern", "quarantine", "senders", ANN).stdout.count("block pest@outside.example\n") == 1
    assert browser.post(f"box/{ANN}/senders", act="exile", sender="pest@outside.example").status == 400


def test_a_hostile_message_is_only_looked_at(post: Post) -> None:
    hostile = EmailMessage()
    hostile["From"] = "<script>hit()</script> <eve@outside.example>"
    hostile["Subject"] = "<img src=x onerror=hit()>"
    hostile["X-Postern-Score"] = "7"
    hostile.set_content(HOSTILE, subtype="html")
    assert hand_over(post.lab, "", 7, ANN, raw=hostile.as_bytes(policy=email_policy.SMTP)) == ["250"]
    name = post.named(ANN, "<img src=x onerror=hit()>")
    browser = post.browser(ANN)
    for path in (f"box/{ANN}/", f"box/{ANN}/{name}"):
        answer = browser.get(path)
        assert "<script" not in answer.body
        assert "<img" not in answer.body
        assert html.escape("<img src=x onerror=hit()>") in answer.body
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    (frame,) = re.findall(r"<iframe[^>]*>", browser.get(f"box/{ANN}/{name}").body)
    assert re.search(r"\ssandbox\s", frame)  # and nothing allowed in it
    shown = browser.get(f"box/{ANN}/{name}/body")
    assert "Harmless words" in shown.body
    assert not re.findall(
        r"(?i)<(?:script|img|a |form|input|svg|iframe|object|link)|on\w+=|192\.0\.2\.77|hit", shown.body
    )
    assert "sandbox;" in shown.headers["content-security-policy"]
    assert "default-src 'none'" in shown.headers["content-security-policy"]


def test_wrong_passwords_are_limited(post: Post) -> None:
    browser = post.browser()
    browser.get("login")
    said = [browser.post("login", user=BOB, password=f"wrong {number}").status for number in range(6)]
    assert said == [403] * 5 + [429]
    assert browser.post("login", user=BOB, password=WORDS[BOB]).status == 429
    post.browser(BOB)  # himself, from elsewhere


def test_a_report_tells_what_is_new_and_its_links_ask_first(post: Post) -> None:
    post.report()
    post.lab.until_empty()
    seen = post.lab.example_com.count()
    assert post.report() == {}
    name = post.keep(ANN, "in the report")
    assert post.report() == {ANN: 1}
    report = post.last_report(ANN, seen)
    assert (report["Subject"], report["To"], report["Auto-Submitted"]) == (
        "Quarantine: 1 new message",
        ANN,
        "auto-generated",
    )
    text, page = (report.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert page is not None
    release = re.findall(rf"Release:  https://{re.escape(NAME)}/quarantine/(link/\S+)", text.get_content())[0]
    assert f'/quarantine/{release}"' in page.get_content()
    browser = post.browser()
    for _ in range(2):
        assert "Release this message?" in browser.get(release).body
    assert name in post.names(ANN)
    assert browser.get(release[:-3]).status == 404
    assert "1 released." in browser.post(release).body
    until(lambda: arrived(post.lab, "in the report") == [ANN], "the message")
    assert browser.post(release).status == 404
    assert "not there any more" in browser.get(release).body
    assert post.report() == {}


def test_its_owner_releases_and_deletes_by_mail(post: Post) -> None:
    post.report()
    post.lab.until_empty()
    seen = post.lab.example_com.count()
    first, second = post.keep(ANN, "one by mail"), post.keep(ANN, "two by mail")
    assert post.report() == {ANN: 2}
    text = post.last_report(ANN, seen).get_body(("plain",))
    assert text is not None
    rows = {
        subject: dict(re.findall(r"(Release|Delete): +\S+/link/(\S+)", rest))
        for subject, rest in re.findall(r"Subject:  (.*)\n((?:.+\n)+)", text.get_content().replace("\r\n", "\n"))
    }

    def ask(to: str, word: str, sender: str) -> None:
        with Client(post.lab.inside, INSIDE_BOX, "10.0.0.25") as client:
            client.sendmail(sender, [f"{to}@{NAME}"], f"From: <{sender}>\r\nSubject: {word}\r\n\r\n\r\n")
        post.lab.until_empty()

    ask("release-ctrl", rows["one by mail"]["Release"], BOB)
    ask("release-ctrl", rows["one by mail"]["Delete"], ANN)
    ask("release-ctrl", rows["one by mail"]["Release"][::-1], ANN)
    assert {first, second} <= set(post.names(ANN))
    ask("release-ctrl", f"Re: {rows['one by mail']['Release']}", ANN)
    ask("delete-ctrl", rows["two by mail"]["Delete"], ANN)
    until(lambda: arrived(post.lab, "one by mail") == [ANN], "the message")
    assert not {first, second} & set(post.names(ANN))
    assert arrived(post.lab, "two by mail") == []


def test_the_command_does_the_same(post: Post) -> None:
    name, other = post.keep(BOB, "by command"), post.keep(BOB, "deleted by command")
    postern = ("postern", "quarantine")
    assert f"{BOB} {name} " in post.lab.box.run(*postern, "list").stdout
    assert "Subject: by command\n" in post.lab.box.run(*postern, "show", BOB, name).stdout
    assert json.loads(post.lab.box.run(*postern, "show", BOB, name, "--json").stdout)["recipient"] == BOB
    post.lab.box.run(*postern, "release", BOB, name)
    until(lambda: arrived(post.lab, "by command") == [BOB], "the message")
    gone = post.lab.box.run(*postern, "delete", BOB, other, name, check=False)
    assert (gone.status, gone.stdout, gone.stderr.count("\n")) == (2, "", 1)
    assert f"{name} is not kept for {BOB}" in gone.stderr
    assert other in post.names(BOB)  # all of what was asked, or nothing
    post.lab.box.run(*postern, "delete", BOB, other)
    assert not {name, other} & set(post.names(BOB))


def test_what_is_too_old_or_too_much_goes(post: Post) -> None:
    name = post.keep(CID.replace("example.net", "example.com"), "soon too old")
    script = (
        "import sys; sys.path.insert(0, '/usr/lib/postern'); sys.dont_write_bytecode = True\n"
        "from datetime import UTC, datetime, timedelta\n"
        "from overlays.quarantine import policy, store\n"
        "box = store.Mailbox(policy.load().model_copy(update={'quota_mib': int(sys.argv[2])}), 'cid@example.com')\n"
        "print(box.tidy(datetime.now(UTC) + timedelta(days=int(sys.argv[1]))))\n"
    )
    as_agent = ("setpriv", "--reuid=postern-quarantine", "--regid=postern-quarantine", "--clear-groups")

    def tidied(days: int, quota: int) -> str:
        return post.lab.box.run(*as_agent, "python3", "-I", "-c", script, str(days), str(quota)).stdout.strip()

    assert tidied(13, 1) == "(0, 1)"
    assert post.names("cid@example.com") == [name]
    assert tidied(15, 1) == "(1, 0)"
    post.keep("cid@example.com", "too much")
    assert tidied(0, 0) == "(1, 0)"
    assert post.names("cid@example.com") == []


def test_while_the_store_is_away_the_pages_say_so(post: Post) -> None:
    name = post.keep(ANN)
    browser = post.browser(ANN)
    post.lab.box.run("systemctl", "stop", "dovecot.service")
    assert browser.get(f"box/{ANN}/").status == 503
    post.lab.box.run("systemctl", "start", "dovecot.service")
    until(lambda: browser.get(f"box/{ANN}/").status == 200, "the store")
    assert name in post.names(ANN)
