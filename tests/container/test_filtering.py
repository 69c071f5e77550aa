"""Spam and viruses: what is scored, refused and marked while a message comes in, and what if a part is away."""

from __future__ import annotations

import base64
import io
import re
import smtplib
import time
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.container.box import until
from tests.container.client import Client
from tests.container.lab import ANSWERS, OUTSIDE_BOX, STRANGER, TRUSTED, Lab, lab
from tests.container.malformed import EICAR
from tests.peers import Peers

OFF = re.compile(r"^filtering:.*\n", re.MULTILINE)
FILTERING = OFF.sub(
    """filtering:
  incoming: {{spam: header}}
  outgoing: {{antispam: low, antivirus: true, spam: header}}
  greylisting: {{enabled: false}}
  block: [bad.example, 192.0.2.66]
  welcome: [friend@example.edu]
""",
    ANSWERS.replace(
        "server: 10.0.0.26, port: 2525}}",
        'server: 10.0.0.26, port: 2525, filtering: {{antispam: "off", antivirus: false, dkim: box}}}}',
    ).replace("access:\n", 'access:\n  - {{sender: "*@passes.example", action: bypass}}\n'),
)
REFUSED = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SPAM = "YJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SENDER = "someone@example.net"


@pytest.fixture(scope="module")
def filtering(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box that filters, and what is around it."""
    with lab(root, peers, FILTERING, "fi") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


def dns(of: Lab) -> str:
    """What the filter knows of DNS."""
    path = of.box.path("run/rspamd/dns")
    return path.read_text().strip() if path.exists() else ""


def letter(subject: str, text: str = "Good morning.", sender: str = SENDER) -> EmailMessage:
    """A message as a decent client makes it."""
    made = EmailMessage()
    made["From"] = f"Some One <{sender}>"
    made["To"] = "Ann <ann@example.com>"
    made["Subject"] = subject
    made["Date"] = "Tue, 24 Nov 2026 10:00:00 +0000"
    made["Message-ID"] = f"<{subject.replace(' ', '.')}@example.net>"
    made["User-Agent"] = "Test"
    made.set_content(text)
    return made


def attached(subject: str, content: bytes, name: str, kind: str = "application/octet-stream") -> bytes:
    made = letter(subject)
    main, sub = kind.split("/")
    made.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return made.as_bytes()


def zipped(content: bytes, name: str, *more: tuple[bytes, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, called in ((content, name), *more):
            archive.writestr(called, inside)
    return buffer.getvalue()


def send(of: Lab, message: bytes, *recipients: str, sender: str = SENDER, client: Client | None = None) -> str:
    """The box's last word on a message from a stranger."""
    session = client or of.stranger()
    with session:
        try:
            session.sendmail(sender, list(recipients) or ["ann@example.com"], message.replace(b"\n", b"\r\n"))
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {error.smtp_error!r}"
        return "250"


def arrived(of: Lab, subject: str) -> list[bytes]:
    """What the protected servers and the world have got of that subject."""
    mark = f"Subject: {subject}\r\n".encode()
    return [message.content for server in of.servers for message in server.received() if mark in message.content]


def verdict(content: bytes) -> tuple[str, float]:
    """The two headers; each must be there once."""
    (word,) = re.findall(rb"^X-Postern-Verdict: (\w+)\r\n", content, re.MULTILINE)
    (score,) = re.findall(rb"^X-Postern-Score: (-?[0-9.]+)\r\n", content, re.MULTILINE)
    return word.decode(), float(score)


def delivered(of: Lab, subject: str, count: int = 1) -> list[bytes]:
    until(lambda: len(arrived(of, subject)) >= count, f"{subject} to arrive", of.box.tail)
    assert len(arrived(of, subject)) == count
    return arrived(of, subject)


def test_a_clean_message_goes_on_as_it_was(filtering: Lab) -> None:
    message = letter("a clean one").as_bytes()
    assert send(filtering, message) == "250"
    (content,) = delivered(filtering, "a clean one")
    word, score = verdict(content)
    assert (word, score < 6) == ("clean", True)
    assert content.endswith(message.replace(b"\n", b"\r\n"))


def test_forged_headers_have_no_effect(filtering: Lab) -> None:
    forged = letter("a forged one", SPAM)
    for name, value in (("X-Postern-Verdict", "clean"), ("X-Postern-Score", "-10"), ("x-postern-release", "yes")):
        forged[name] = value
    assert send(filtering, forged.as_bytes()) == "250"
    (content,) = delivered(filtering, "a forged one")
    assert verdict(content)[0] == "spam"
    assert b"release" not in content


def test_gtube_is_refused_and_its_little_brother_marked(filtering: Lab) -> None:
    assert "554 b'5.7.1 refused as spam" in send(filtering, letter("gtube", REFUSED).as_bytes())
    assert send(filtering, letter("little gtube", SPAM).as_bytes()) == "250"
    word, score = verdict(delivered(filtering, "little gtube")[0])
    assert (word, 6 <= score < 15) == ("spam", True)
    assert arrived(filtering, "gtube") == []


VIRUSES = {
    "plain": attached("virus plain", EICAR, "eicar.com"),
    "in zip": attached("virus in zip", zipped(EICAR, "eicar.com"), "a.zip", "application/zip"),
    "in nested zip": attached("virus in nested zip", zipped(zipped(EICAR, "e.com"), "b.zip"), "a.zip"),
    "renamed": attached("virus renamed", EICAR + b"\n", "holiday.jpg", "image/jpeg"),
    "as text": letter("virus as text", EICAR.decode()).as_bytes(),
    "in odd base64": attached("virus in odd base64", EICAR, "eicar.com").replace(
        base64.b64encode(EICAR)[:76], b"\n \n".join(base64.b64encode(EICAR)[at : at + 4] for at in range(0, 76, 4))
    ),
    "that is spam": attached("virus that is spam", EICAR, "eicar.com").replace(b"Good morning.", SPAM.encode()),
}


@pytest.mark.parametrize("how", VIRUSES)
def test_a_virus_is_refused(filtering: Lab, how: str) -> None:
    assert "554 b'5.7.1 virus found: Eicar-Test-Signature" in send(filtering, VIRUSES[how])
    filtering.until_empty()
    assert arrived(filtering, f"virus {how}") == []


def test_outgoing_messages_have_their_own_settings(filtering: Lab) -> None:
    virus = attached("virus out", EICAR, "eicar.com")
    assert "virus found" in send(filtering, virus, "bob@outside.example", client=filtering.client(TRUSTED))
    spam = letter("spam out", SPAM).as_bytes()
    assert send(filtering, spam, "bob@outside.example", client=filtering.client(TRUSTED)) == "250"
    assert verdict(delivered(filtering, "spam out")[0])[0] == "spam"


def test_a_domain_has_its_own_settings(filtering: Lab) -> None:
    assert send(filtering, letter("gtube to net", REFUSED).as_bytes(), "cid@example.net") == "250"
    assert verdict(delivered(filtering, "gtube to net")[0]) == ("clean", 0)
    assert send(filtering, attached("virus to net", EICAR, "eicar.com"), "cid@example.net") == "250"
    assert verdict(delivered(filtering, "virus to net")[0]) == ("clean", 0)


def test_the_strictest_recipient_decides_what_is_looked_at(filtering: Lab) -> None:
    both = ("ann@example.com", "cid@example.net")
    assert "virus found" in send(filtering, attached("virus to both", EICAR, "eicar.com"), *both)
    assert send(filtering, letter("gtube to both", REFUSED).as_bytes(), *both) == "250"
    assert [verdict(content)[0] for content in delivered(filtering, "gtube to both", 2)] == ["spam", "spam"]


def test_lists_of_senders(filtering: Lab) -> None:
    blocked = send(filtering, letter("blocked", sender="x@bad.example").as_bytes(), sender="x@bad.example")
    assert "554 b'5.7.1 the sender is on a block list" in blocked
    friendly = letter("friendly", REFUSED, "friend@example.edu").as_bytes()
    assert send(filtering, friendly, sender="friend@example.edu") == "250"
    assert verdict(delivered(filtering, "friendly")[0])[0] == "clean"
    virus = attached("virus of a friend", EICAR, "eicar.com")
    assert "virus found" in send(filtering, virus, sender="friend@example.edu")
    filtering.outside.host("192.0.2.66/24")
    neighbour = Client(filtering.outside, OUTSIDE_BOX, "192.0.2.66")
    assert "block list" in send(filtering, letter("blocked by network").as_bytes(), client=neighbour)


def test_a_rule_that_bypasses_is_about_spam_alone(filtering: Lab) -> None:
    spam = letter("spam that passes", REFUSED, "x@passes.example").as_bytes()
    assert send(filtering, spam, sender="x@passes.example") == "250"
    assert verdict(delivered(filtering, "spam that passes")[0])[0] == "clean"
    virus = attached("virus that would pass", EICAR, "eicar.com")
    assert "virus found" in send(filtering, virus, sender="x@passes.example")


def test_nobody_writes_the_rules_answer_himself(filtering: Lab) -> None:
    forged = letter("gtube with an answer", REFUSED)
    forged["X-Postern-Access"] = "bypass"
    assert "554 b'5.7.1 refused as spam" in send(filtering, forged.as_bytes())


def test_swaks_sees_it_too(filtering: Lab) -> None:
    words = ("--server", OUTSIDE_BOX, "--from", SENDER, "--to", "ann@example.com", "--body", REFUSED)
    argv = filtering.peers.command(
        "swaks", *words, "--local-interface", STRANGER, namespace=filtering.outside.namespace
    )
    said = filtering.outside.run(*argv, check=False).stdout
    assert "<** 554 5.7.1 refused as spam" in said


def test_the_box_says_what_its_definitions_are(filtering: Lab) -> None:
    assert "only a test set" in filtering.box.run("postern", "definitions").stdout
    assert "only a test set" in filtering.box.run("postern", "status").stdout


def test_a_scanner_that_was_killed_comes_back_by_itself(filtering: Lab) -> None:
    filtering.box.run("systemctl", "kill", "--signal=KILL", "clamav-daemon.service")
    said = send(filtering, attached("virus after the scanner's end", EICAR, "eicar.com"))
    assert "virus found" in said or said.startswith("451")
    until(lambda: send(filtering, letter("after the scanner's end").as_bytes()) == "250", "the scanner")
    assert verdict(delivered(filtering, "after the scanner's end")[0])[0] == "clean"


def test_without_a_scanner_nothing_is_taken(filtering: Lab) -> None:
    filtering.box.run("systemctl", "stop", "clamav-daemon.socket", "clamav-daemon.service")
    assert "451 b'4.7.1 the virus scanner does not answer" in send(filtering, letter("unscanned").as_bytes())
    filtering.box.run("systemctl", "start", "clamav-daemon.socket", "clamav-daemon.service")
    assert arrived(filtering, "unscanned") == []
    until(lambda: send(filtering, letter("unscanned").as_bytes()) == "250", "the scanner")
    delivered(filtering, "unscanned")


def test_without_a_filter_nothing_is_taken(filtering: Lab) -> None:
    filtering.box.run("systemctl", "stop", "rspamd.service")
    with filtering.stranger() as client:
        assert client.say(f"MAIL FROM:<{SENDER}>")[0] == 451
    filtering.box.run("systemctl", "start", "rspamd.service")
    until(lambda: taken(filtering, letter("after the filter's end").as_bytes()), "the filter")
    delivered(filtering, "after the filter's end")


def taken(of: Lab, message: bytes) -> bool:
    try:
        return send(of, message) == "250"
    except smtplib.SMTPException:
        return False


def test_without_dns_it_goes_on_and_says_so(filtering: Lab) -> None:
    filtering.box.run("systemctl", "stop", "unbound.service")
    until(lambda: dns(filtering) == "silent", "the filter to notice", lambda: dns(filtering))
    assert "DNS does not answer" in filtering.box.run("postern", "status").stdout
    took = []
    for subject in ("without dns", "still without dns", "again without dns"):
        began = time.monotonic()
        assert send(filtering, letter(subject).as_bytes()) == "250"
        took.append(time.monotonic() - began)
        delivered(filtering, subject)
    assert min(took) < 0.5, took  # from the connection to the last answer
    filtering.box.run("systemctl", "start", "unbound.service")
    until(lambda: dns(filtering) == "answers", "DNS to be back", lambda: dns(filtering))
