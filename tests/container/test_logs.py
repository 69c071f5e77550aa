"""Records on their way to a log server, which is a real one: by UDP, TCP and TLS, also after it was away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.box import until
from tests.container.lab import ANSWERS, Lab, lab
from tests.container.logserver import NAME, LogServer, log_server
from tests.container.test_filtering import letter, send
from tests.container.test_hardening import MOST
from tests.peers import Peers

ADDRESS = "10.0.0.140"
CONTENT = "Sparrow-dives~08-mild"


@dataclass(frozen=True)
class Logged:
    """A box, and a log server that it can send to."""

    lab: Lab
    server: LogServer

    def send_to(self, *words: str) -> None:
        """Apply settings with such a log server; none without words."""
        key = self.lab.key.with_suffix(".pub").read_text().strip()
        server = f"logs: {{server: {{host: {ADDRESS}, {', '.join(words)}}}}}\n" if words else ""
        self.lab.box.path("run/logs.yaml").write_text(ANSWERS.format(key=key) + server)
        self.lab.box.run("postern", "apply", "/run/logs.yaml")

    def mail(self, subject: str) -> None:
        assert send(self.lab, letter(subject, f"Good morning.\n{CONTENT}\n").as_bytes()) == "250"

    def came(self, way: str, subject: str) -> list[dict[str, str]]:
        return [one for one in self.server.records(way) if one.get("subject") == subject]

    def until_came(self, way: str, subject: str) -> dict[str, str]:
        words = ("-u", "rsyslog", "-u", "postern-logs", "-n", "20")
        until(lambda: self.came(way, subject), f"{subject} by {way}", lambda: self.lab.box.journal(*words), 90)
        return self.came(way, subject)[0]

    @property
    def tls(self) -> str:
        lines = "\\n".join(self.server.authority.strip().splitlines())
        return f'authorities: "{lines}"'


@pytest.fixture(scope="module")
def logged(root: Path, peers: Peers) -> Iterator[Logged]:
    with lab(root, peers, ANSWERS, "wl") as made:
        made.inside.host(f"{ADDRESS}/24")
        with log_server(peers, made.inside, ADDRESS, made.folder / "logserver") as server:
            yield Logged(made, server)


@pytest.mark.parametrize("way", ["udp", "tcp", "tls"])
def test_records_reach_the_log_server(logged: Logged, way: str) -> None:
    logged.send_to(f"transport: {way}", *([f"name: {NAME}", logged.tls] if way == "tls" else []))
    logged.mail(f"by {way}")
    record = logged.until_came(way, f"by {way}")
    assert (record["type"], record["disposition"], record["to"]) == ("history", "delivered", "ann@example.com")
    (line,) = [line for line in logged.server.raw(way).splitlines() if f'"by {way}"' in line]
    assert line.startswith("<22>1 ")  # mail, information
    assert " mx1.mail.example.org postern - history - " in line
    until(lambda: any(one["type"] == "event" for one in logged.server.records(way)), "an event")
    assert CONTENT not in logged.server.raw(way)


def test_nothing_is_sent_to_a_server_of_another_name(logged: Logged) -> None:
    """And what waited meanwhile is sent to the right one."""
    logged.send_to("transport: tls", "name: other.example.org", logged.tls)
    logged.mail("to another name")
    until(
        lambda: "not permitted to talk" in logged.lab.box.journal("-u", "rsyslog"), "the refusal", logged.lab.box.tail
    )
    assert logged.came("tls", "to another name") == []
    logged.send_to("transport: tls", f"name: {NAME}", logged.tls)
    logged.until_came("tls", "to another name")


def test_nothing_is_sent_to_whom_nobody_vouches_for(logged: Logged) -> None:
    logged.send_to("transport: tls", f"name: {NAME}")
    logged.mail("unvouched")
    until(
        lambda: "certificate" in logged.lab.box.journal("-u", "rsyslog", "-n", "20"), "the refusal", logged.lab.box.tail
    )
    assert logged.came("tls", "unvouched") == []
    logged.send_to("transport: tls", f"name: {NAME}", logged.tls)
    logged.until_came("tls", "unvouched")


def test_a_server_that_was_away_gets_what_it_missed(logged: Logged) -> None:
    logged.send_to("transport: tcp")
    logged.mail("before")
    logged.until_came("tcp", "before")
    logged.server.stop()
    subjects = [f"missed {number}" for number in range(3)]
    for subject in subjects:
        logged.mail(subject)
    tried = "Connection refused"
    until(lambda: tried in logged.lab.box.journal("-u", "rsyslog", "-n", "20"), "a try to send", logged.lab.box.tail)
    logged.lab.box.run("systemctl", "restart", "rsyslog.service")
    logged.lab.box.run("systemctl", "restart", "postern-logs.service")
    logged.mail("later")
    logged.server.start()
    # Some may come twice: rsyslog sends again what was on its way when the connection broke.
    for subject in (*subjects, "later"):
        logged.until_came("tcp", subject)


def test_only_what_was_chosen_is_sent(logged: Logged) -> None:
    logged.send_to("transport: udp", "types: [event]", "level: notification")
    logged.mail("not chosen")
    logged.lab.box.run("postern", "quarantine", "report")
    ran = "root runs: postern quarantine report"
    until(lambda: any(one.get("text") == ran for one in logged.server.records("udp")), "the act", logged.lab.box.tail)
    assert logged.came("udp", "not chosen") == []
    assert "port 514, udp: event" in logged.lab.box.run("postern", "status").stdout


def test_it_runs_without_rights(logged: Logged) -> None:
    for unit in ("rsyslog.service", "postern-logs.service"):
        pid = logged.lab.box.run("systemctl", "show", "--value", "-p", "MainPID", unit).stdout.strip()
        status = logged.lab.box.run("cat", f"/proc/{pid}/status").stdout
        assert "CapEff:\t0000000000000000" in status
        assert "Uid:\t0\t" not in status
        words = ("systemd-analyze", "security", "--offline=true", f"--threshold={MOST}", "--no-pager", unit)
        assert logged.lab.box.run(*words, check=False).status == 0


def test_without_the_setting_it_ends(logged: Logged) -> None:
    logged.send_to()
    for unit in ("rsyslog.service", "postern-logs.service"):
        assert logged.lab.box.run("systemctl", "is-active", unit, check=False).stdout.strip() == "inactive"
