"""The store that the quarantine uses in every mode: a mailbox for any address that is delivered to, and doveadm."""

from __future__ import annotations

import json
import socket

from tests.container.lab import Lab

SOCKET = "run/dovecot/lmtp"
LETTER = (
    b"From: <someone@example.edu>\r\nTo: <ann@example.com>\r\nSubject: kept\r\nX-Postern-Score: 7.00\r\n\r\nText.\r\n"
)


def deliver(gateway: Lab, *recipients: str, letter: bytes = LETTER) -> list[str]:
    """Hand a message over by LMTP, as the quarantine's agent does: each recipient's last answer."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(str(gateway.box.path(SOCKET)))
        talk = line.makefile("rwb")

        def heard() -> str:
            while (answer := talk.readline().decode())[3:4] == "-":
                pass
            return answer.strip()

        def say(words: bytes) -> str:
            talk.write(words)
            talk.flush()
            return heard()

        assert heard().startswith("220 ")
        assert say(b"LHLO agent\r\n").startswith("250 ")
        assert say(b"MAIL FROM:<someone@example.edu>\r\n").startswith("250 ")
        answers = {name: say(f"RCPT TO:<{name}>\r\n".encode()) for name in recipients}
        taken = [name for name, answer in answers.items() if answer.startswith("250 ")]
        if taken:
            assert say(b"DATA\r\n").startswith("354 ")
            talk.write(letter + b".\r\n")
            talk.flush()
        return list((answers | {name: heard() for name in taken}).values())


def found(gateway: Lab, address: str) -> list[dict[str, str]]:
    """What doveadm finds in an address's quarantine."""
    words = ("fetch", "-u", address, "hdr.subject hdr.x-postern-score", "mailbox", "Quarantine", "all")
    messages: list[dict[str, str]] = json.loads(gateway.box.run("doveadm", "-f", "json", *words).stdout)
    return messages


def test_any_address_has_a_quarantine_from_its_first_message_on(gateway: Lab) -> None:
    addresses = ["ann@example.com", "Bob@Example.NET", "ann+news@example.com", "o'neil@example.com", "..@example.com"]
    assert [answer[:4] for answer in deliver(gateway, *addresses)] == ["250 "] * 5
    for address in addresses:
        assert found(gateway, address) == [{"hdr.subject": "kept", "hdr.x-postern-score": "7.00"}]
    folders = {
        path.relative_to(gateway.box.var / "vmail").as_posix() for path in (gateway.box.var / "vmail").glob("*/*")
    }
    assert folders == {f"{name.lower().partition('@')[2]}/{name.lower()}" for name in addresses}


def test_an_address_that_would_be_a_path_is_refused(gateway: Lab) -> None:
    (answer,) = deliver(gateway, '"../../x"@example.com')
    assert answer.startswith("550 5.1.1")


def test_only_the_agent_may_hand_over(gateway: Lab) -> None:
    said = gateway.box.run("stat", "--format=%a %U %G", f"/{SOCKET}", "/run/dovecot/doveadm-quarantine").stdout
    assert said.splitlines() == ["600 postern-quarantine root", "600 postern-quarantine root"]


def test_the_quarantine_looks_into_a_mailbox_without_being_root(gateway: Lab) -> None:
    deliver(gateway, "carla@example.com")
    become = ("setpriv", "--reuid=postern-quarantine", "--regid=postern-quarantine", "--clear-groups")
    fetch = (*become, "doveadm", "-f", "json", "fetch")
    what = ("-u", "carla@example.com", "hdr.subject", "mailbox", "Quarantine", "all")
    said = gateway.box.run(*fetch, "-S", "/run/dovecot/doveadm-quarantine", *what).stdout
    assert json.loads(said) == [{"hdr.subject": "kept"}]
    assert gateway.box.run(*fetch, *what, check=False).status != 0


def test_nobody_logs_in_and_nothing_listens_to_the_network(gateway: Lab) -> None:
    assert gateway.box.run("doveadm", "auth", "test", "ann@example.com", "", check=False).status != 0
    listening = gateway.box.run("ss", "-Hltunp").stdout
    assert "dovecot" not in listening


def test_the_script_is_compiled_once(gateway: Lab) -> None:
    deliver(gateway, "dora@example.com")
    assert "svbin" not in gateway.box.journal("--unit=dovecot.service")
