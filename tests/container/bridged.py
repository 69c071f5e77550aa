"""A box in transparent mode with everything around it: a bridge between two networks, and a third that is shut out.

outside  port1  the world: incoming connections are proxied, outgoing ones pass
inside   port2  the protected servers: what they send is proxied as well; the box itself takes no mail here
third    port3  as the test says: all of it is dropped, or passes
desk     port4  left the bridge: the administrator
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.container.box import Box, box, until
from tests.container.client import Client
from tests.container.lab import server_certificate
from tests.container.mailserver import MailServer
from tests.container.network import Segment, segments
from tests.peers import Peers

PASSWORD = "Quail-sings~07-low"
SECRETS = f'format: 1\nadmin: {{password: "{PASSWORD}"}}\n'
BOX, BOX6, DESK_BOX = "192.0.2.10", "2001:db8:1::10", "172.16.0.1"
# Protected: example.com is decrypted on its way, example.net passes encrypted, example.org is never encrypted.
SERVER, SERVER6, PLAIN = "192.0.2.25", "2001:db8:1::25", "192.0.2.27"
OTHER, WORLD = "192.0.2.26", "192.0.2.80"
STRANGER, STRANGER6, INSIDER, THIRD = "192.0.2.77", "2001:db8:1::77", "192.0.2.66", "192.0.2.88"
GUESSER = "192.0.2.79"  # another stranger, of whom bad things are known


def answers(fail: str, third: str, reputation: str = "false") -> str:
    """The box's answer file: how it fails, what its third port does, and whether a stranger's past counts."""
    return f"""
format: 1
mode: transparent
network:
  bridge: {{addresses: [{BOX}/24, "{BOX6}/64"], allow: [ping, smtp]}}
  ports:
    port2: {{smtp: {{outgoing: proxy, local: false}}}}
    port3: {{smtp: {{incoming: {third}, outgoing: {third}}}}}
    port4: {{addresses: [{DESK_BOX}/24], allow: [ping, ssh, https]}}
mailhost: {{host_name: filter, local_domain: mail.example.org}}
domains:
  - {{name: example.com, server: {SERVER}}}
  - {{name: example.net, server: "{SERVER6}"}}
  - {{name: example.org, server: {PLAIN}, filtering: {{spam: subject}}}}
filtering: {{greylisting: {{enabled: false}}, reputation: {{enabled: {reputation}}}}}
transparent: {{fail: {fail}, domains: {{example.net: pass, example.org: strip}}}}
"""


@dataclass(frozen=True)
class Hosts:
    """What stands at the ends of the wire."""

    outside: Segment
    inside: Segment
    third: Segment
    server: MailServer
    server6: MailServer
    plain: MailServer
    other: MailServer  # inside, and nobody's protected server
    elsewhere: MailServer  # a service at another port of the protected server
    world: MailServer

    def client(self, target: str, source: str = STRANGER, where: Segment | None = None) -> Client:
        return Client(where or self.outside, target, source)


@dataclass(frozen=True)
class Bridged:
    """The box in the wire, in a container."""

    box: Box
    hosts: Hosts
    desk: Segment

    def proxy(self, verb: str) -> None:
        self.box.run("systemctl", verb, "postern-proxy")


@contextmanager
def hosts(around: Sequence[Segment], peers: Peers, folder: Path) -> Iterator[Hosts]:
    """The hosts in three networks (outside, inside, the third) whose cables are plugged in."""
    outside, inside, third = around
    outside.host(f"{STRANGER}/24", f"{GUESSER}/24", f"{WORLD}/24", f"{STRANGER6}/64")
    inside.host(f"{SERVER}/24", f"{PLAIN}/24", f"{OTHER}/24", f"{INSIDER}/24", f"{SERVER6}/64")
    third.host(f"{THIRD}/24")
    certificate = server_certificate(peers, folder)
    servers = (
        MailServer(inside, SERVER, 25, folder / "server", certificate),
        MailServer(inside, SERVER6, 25, folder / "server6", certificate),
        MailServer(inside, PLAIN, 25, folder / "plain", certificate),
        MailServer(inside, OTHER, 25, folder / "other"),
        MailServer(inside, SERVER, 2525, folder / "elsewhere"),
        MailServer(outside, WORLD, 25, folder / "world"),
    )
    with ExitStack() as stack:
        for server in servers:
            server.start()
            stack.callback(server.stop)
        yield Hosts(outside, inside, third, *servers)


@contextmanager
def bridged(root: Path, peers: Peers, label: str, **chosen: str) -> Iterator[Bridged]:
    """`chosen` is what `answers` takes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postern-bridged-")))
        outside, inside, further, desk = stack.enter_context(segments(4, label))
        made = stack.enter_context(box(root, (outside, inside, further, desk)))
        made.start({"postern.answers": answers(**chosen), "postern.secrets": SECRETS})
        desk.host("172.16.0.2/24")
        around = stack.enter_context(hosts((outside, inside, further), peers, folder))
        state = made.path("run/rspamd/dns")
        until(lambda: state.exists() and outside.answers(SERVER, 25), "the proxy and the filter", made.tail)
        yield Bridged(made, around, desk)
        made.require_well(PASSWORD)
