"""A log server: Debian's rsyslog, which keeps what it gets by how it came: UDP and TCP at port 514, TLS at 6514."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hardware.host import run
from tests.container.box import until
from tests.container.network import Segment
from tests.peers import Peers
from tests.peers import inside as host_path

NAME = "log.example.org"
_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CONFIGURATION = """
global(
    workDirectory="{folder}"
    maxMessageSize="16k"
    defaultNetstreamDriverCAFile="{folder}/ca.pem"
    defaultNetstreamDriverCertFile="{folder}/server.pem"
    defaultNetstreamDriverKeyFile="{folder}/server.key"
)
template(name="raw" type="string" string="%rawmsg%\\n")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
{rulesets}
input(type="imudp" address="{address}" port="514" ruleset="udp")
input(type="imptcp" address="{address}" port="514" ruleset="tcp")
input(type="imtcp" address="{address}" port="6514" ruleset="tls")
"""
_RULESET = 'ruleset(name="{name}") {{ action(type="omfile" file="{folder}/{name}" template="raw") }}'


class LogServer:
    """The server at an address of a segment. `folder` gets its certificate, its authority's, and what comes."""

    def __init__(self, peers: Peers, segment: Segment, address: str, folder: Path) -> None:
        self._peers = peers
        self._segment = segment
        self.address = address
        self._folder = folder
        self._running = ExitStack()
        folder.mkdir()
        self.authority = self._certificates()
        inside = host_path(folder)
        rulesets = "\n".join(_RULESET.format(name=name, folder=inside) for name in ("udp", "tcp", "tls"))
        text = _CONFIGURATION.format(folder=inside, address=address, rulesets=rulesets)
        (folder / "rsyslog.conf").write_text(text)

    def start(self) -> None:
        conf = host_path(self._folder / "rsyslog.conf")
        argv = self._peers.command("rsyslogd", "-n", "-iNONE", "-f", conf, namespace=self._segment.namespace)
        self._running.enter_context(run.spawn(argv, log=self._folder / "log"))
        for port in (514, 6514):
            until(lambda port=port: self._segment.answers(self.address, port), "the log server", self.log)  # type: ignore[misc]

    def stop(self) -> None:
        self._running.close()

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def raw(self, way: str) -> str:
        """What came by `udp`, `tcp` or `tls`, as it came."""
        path = self._folder / way
        return path.read_text(errors="replace") if path.exists() else ""

    def records(self, way: str) -> list[dict[str, str]]:
        """The records that came, by their names."""
        return [
            {name: json.loads(f'"{value}"') for name, value in _PAIR.findall(line)}
            for line in self.raw(way).splitlines()
        ]

    def _certificates(self) -> str:
        """An authority of its own, and what it vouches for; the authority's certificate."""
        ours = host_path(self._folder)
        new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-x509", "-days", "30")
        run.run(
            self._peers.command(*new, "-subj", "/CN=authority", "-keyout", ours / "ca.key", "-out", ours / "ca.pem")
        )
        signed = ("-CA", ours / "ca.pem", "-CAkey", ours / "ca.key", "-addext", f"subjectAltName=DNS:{NAME}")
        ends = ("-keyout", ours / "server.key", "-out", ours / "server.pem")
        run.run(self._peers.command(*new, "-subj", f"/CN={NAME}", *signed, *ends))
        return (self._folder / "ca.pem").read_text()


@contextmanager
def log_server(peers: Peers, segment: Segment, address: str, folder: Path) -> Iterator[LogServer]:
    made = LogServer(peers, segment, address, folder)
    made.start()
    try:
        yield made
    finally:
        made.stop()
