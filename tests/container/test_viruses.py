"""No virus comes through: not in a message that breaks the rules, not deep in a large one, not where none can look."""

from __future__ import annotations

import email
import random
import re
import smtplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.host import run
from tests.container.box import until
from tests.container.lab import ANSWERS, Lab, lab
from tests.container.malformed import CASES, EICAR, HARMLESS, REFUSED
from tests.container.test_filtering import OFF, arrived, attached, delivered, dns, letter, send, verdict, zipped
from tests.peers import Peers
from tests.peers import inside as host_path

SCANNING = OFF.sub("filtering: {{greylisting: {{enabled: false}}}}\n", ANSWERS)
FOUND = "virus found: Eicar-Test-Signature"
LARGE = 10_000_000  # bytes of a message
SECRET = "a-secret"
_CASE = re.compile(rb"^X-Case: (\d+)\r?\n", re.MULTILINE)


@pytest.fixture(scope="module")
def scanning(root: Path, peers: Peers) -> Iterator[Lab]:
    """A box with filtering as it comes, but for greylisting."""
    with lab(root, peers, SCANNING, "vi") as made:
        until(lambda: dns(made) == "answers", "DNS", lambda: dns(made))
        yield made


def test_a_virus_in_a_malformed_message_reaches_nobody(scanning: Lab) -> None:
    """Refused while it comes in; what is taken holds a virus for none of the programs that take messages apart."""
    taken = set()
    wrong = []
    names = list(CASES)
    for few in (
        range(len(names))[at : at + 8] for at in range(0, len(names), 8)
    ):  # more refusals: slowed, then sent away
        with scanning.stranger() as client:
            for number in few:
                name = names[number]
                said = last_word(client, b"X-Case: %d\n" % number + CASES[name])
                if said.startswith("250"):
                    taken.add(name)
                elif not said.startswith("55") or REFUSED.get(name, FOUND) not in said:
                    wrong.append(f"{name}: {said}")
    assert wrong == []
    assert taken == HARMLESS
    scanning.until_empty()
    came = {number: raw for raw in _everywhere(scanning) for number in map(int, _CASE.findall(raw))}
    assert {names[number] for number in came} == taken  # at its recipient's server, or kept for him as spam
    assert [names[number] for number, raw in came.items() if extractable(scanning.peers, scanning.folder, raw)] == []


def _everywhere(of: Lab) -> Iterator[bytes]:
    """Every message at a server and in a quarantine."""
    yield from (message.content for server in of.servers for message in server.received())
    yield from (path.read_bytes() for path in of.box.var.glob("vmail/*/*/Maildir/.Quarantine/[nc]*/*"))


def last_word(client: smtplib.SMTP, raw: bytes) -> str:
    """The box's last word, with the message's line ends made CRLF."""
    client.mail("eve@example.net")
    client.rcpt("ann@example.com")
    code, text = client.data(raw.replace(b"\n", b"\r\n"))
    return f"{code} {text.decode(errors='replace')}"


def extractable(peers: Peers, at: Path, raw: bytes) -> bool:
    """Does any program that takes messages apart get a file out of it that is the virus?"""
    parts = [part.get_payload(decode=True) for part in email.message_from_bytes(raw).walk()]
    for number, words in enumerate((["munpack", "-t", "-q", "-C"], ["ripmime", "-d"], ["uudeview", "-i", "-q", "-p"])):
        folder = at / f"taken-apart-{abs(hash(raw))}-{number}"
        folder.mkdir()
        (message := folder / "message").write_bytes(raw)
        files = folder / "files"
        files.mkdir()
        last = ["-i", host_path(message)] if words[0] == "ripmime" else [host_path(message)]
        run.run(peers.command(*words, host_path(files), *last), check=False)  # without an attachment: status 1
        parts += [path.read_bytes() for path in files.rglob("*") if path.is_file()]
    return any(isinstance(part, bytes) and part.startswith(EICAR) for part in parts)


def test_a_large_message_goes_on(scanning: Lab) -> None:
    noise = random.Random(3).randbytes(LARGE * 3 // 4)  # noqa: S311 - the same each time
    raw = attached("large and clean", noise, "a.bin")
    began = time.monotonic()
    assert len(raw) > LARGE
    assert send(scanning, raw) == "250"
    (content,) = delivered(scanning, "large and clean")
    assert content.endswith(raw.replace(b"\n", b"\r\n"))
    assert verdict(content)[0] == "clean"
    assert time.monotonic() - began < 30


def test_a_virus_deep_in_a_large_message_is_refused(scanning: Lab) -> None:
    """Behind 7 MB in an archive, in an archive, in an attached message."""
    noise = random.Random(4).randbytes(LARGE * 7 // 10)  # noqa: S311 - the same each time
    deep = attached("inner", zipped(noise, "a.bin", (zipped(EICAR, "e.com"), "b.zip")), "c.zip", "application/zip")
    outer = letter("large with a virus")
    outer.add_attachment(email.message_from_bytes(deep))
    raw = outer.as_bytes()
    assert len(raw) > LARGE * 9 // 10
    assert FOUND in send(scanning, raw)
    scanning.until_empty()
    assert arrived(scanning, "large with a virus") == []


LOCKED = {
    "zip": ("7z", "a", "-tzip", "-mem=ZipCrypto", f"-p{SECRET}"),
    "zip with AES": ("7z", "a", "-tzip", "-mem=AES256", f"-p{SECRET}"),
    "7z": ("7z", "a", "-t7z", f"-p{SECRET}"),
    "7z with its names": ("7z", "a", "-t7z", "-mhe=on", f"-p{SECRET}"),
    "PDF": ("qpdf", "--empty", "--encrypt", SECRET, SECRET, "256", "--"),
}


@pytest.fixture(scope="module")
def locked(scanning: Lab) -> dict[str, bytes]:
    """Files with a password, by kind; in each archive is the virus."""
    folder = scanning.folder / "locked"
    folder.mkdir()
    (virus := folder / "letter.txt").write_bytes(EICAR)
    made = {}
    for kind, words in LOCKED.items():
        path = folder / kind.replace(" ", "-")
        files = [host_path(path)] if kind == "PDF" else [host_path(path), host_path(virus)]
        run.run(scanning.peers.command(*words, *files))
        made[kind] = path.read_bytes() if path.exists() else next(folder.glob(f"{path.name}.*")).read_bytes()
    return made


@pytest.mark.parametrize("wanted", ["deliver", "quarantine", "reject"])
def test_what_nobody_can_look_into(scanning: Lab, locked: dict[str, bytes], wanted: str) -> None:
    _apply(scanning, wanted)
    for kind, content in locked.items():
        subject = f"{kind} to {wanted}"
        said = send(scanning, attached(subject, content, "locked.bin"))
        assert ("554 b'5.7.1 encrypted: cannot be scanned for viruses" in said) if wanted == "reject" else said == "250"
        open_virus = email.message_from_bytes(attached(f"{subject} and a virus", content, "locked.bin"))
        open_virus.attach(email.message_from_bytes(b"Content-Type: application/octet-stream\n\n" + EICAR))
        assert FOUND in send(scanning, open_virus.as_bytes())
    scanning.until_empty()
    subjects = [f"{kind} to {wanted}" for kind in locked]
    assert [len(arrived(scanning, subject)) for subject in subjects] == [int(wanted == "deliver")] * len(locked)
    kept = {owner: [_kept(scanning, owner, one) for one in subjects] for owner in (SYSTEM, "ann@example.com")}
    assert kept == {SYSTEM: [int(wanted == "quarantine")] * len(locked), "ann@example.com": [0] * len(locked)}
    assert not [one for kind in locked for one in arrived(scanning, f"{kind} to {wanted} and a virus")]


SYSTEM = "system@quarantine.invalid"


def _kept(of: Lab, owner: str, subject: str) -> int:
    words = ("doveadm", "search", "-u", owner, "mailbox", "Quarantine", "subject", subject)
    return len(of.box.run(*words).stdout.splitlines())


def _apply(of: Lab, encrypted: str) -> None:
    """Put another choice for encrypted messages in force."""
    answers = SCANNING.replace("filtering: {{", f"filtering: {{{{encrypted: {encrypted}, ")
    of.box.path("run/answers.yaml").write_text(answers.format(key=of.key.with_suffix(".pub").read_text().strip()))
    of.box.run("postern", "apply", "/run/answers.yaml")
    until(lambda: dns(of) == "answers", "DNS", lambda: dns(of))
