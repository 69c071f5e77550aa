"""A box in service with everything around it: strangers outside, mail servers and clients inside, an administrator.

outside  192.0.2.0/24   port1  the world, with its name server and a mail server of its own
inside   10.0.0.0/24    port2  the protected domains' servers, clients that may relay
desk     172.16.0.0/24  port3  the administrator: no mail
nothing                 port4
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hardware.host import run
from tests.container.box import NO_SPACES, Box, box, until
from tests.container.client import NAME, Client
from tests.container.mailserver import MailServer
from tests.container.network import Segment, segments
from tests.peers import Peers
from tests.peers import inside as host_path

PASSWORD = "Quail-sings~07-low"
STRANGER, PARTNER = "192.0.2.77", "192.0.2.78"
TRUSTED, REJECTED, NEIGHBOUR, ADMIN = "10.0.0.66", "10.0.0.99", "10.0.0.90", "172.16.0.2"
UNWELCOME = range(100, 120)  # last octets at the desk: sshd shuts out an address that fails too often
OUTSIDE_BOX, INSIDE_BOX, DESK_BOX = "192.0.2.10", "10.0.0.1", "172.16.0.1"

ANSWERS = """
format: 1
mode: gateway
admin: {{keys: [{key}]}}
network:
  ports:
    port1: {{addresses: [192.0.2.10/24, "2001:db8:1::10/64"], allow: [ping, smtp]}}
    port2: {{addresses: [10.0.0.1/24], allow: [smtp, https, http]}}
    port3: {{addresses: [172.16.0.1/24], allow: [ping, ssh, https]}}
  gateways: [192.0.2.1]
  dns: [192.0.2.53]
clock: {{timezone: Europe/Zurich, ntp: [192.0.2.123]}}
mailhost: {{host_name: mx1, local_domain: mail.example.org, postmaster: postmaster@example.com}}
domains:
  - {{name: example.com, server: 10.0.0.25}}
  - {{name: example.net, server: 10.0.0.26, port: 2525}}
  - {{name: example.org, server: 10.0.0.27, port: 26, verify: "off"}}
  - {{name: bücher.example, server: 10.0.0.25}}
access:
  - {{client: 10.0.0.99, action: reject}}
  - {{client: 10.0.0.64/28, action: relay}}
filtering: {{incoming: {{antispam: "off", antivirus: false}}, outgoing: {{antivirus: false}}}}
"""
SECRETS = f"""
format: 1
admin: {{password: "{PASSWORD}"}}
"""


@dataclass(frozen=True)
class Lab:
    """The box in service, its surroundings, and a folder for what a test writes."""

    box: Box
    outside: Segment
    inside: Segment
    desk: Segment
    example_com: MailServer
    example_net: MailServer
    example_org: MailServer
    world: MailServer  # for outside.example, which is not protected
    key: Path  # the administrator's private SSH key
    folder: Path
    peers: Peers

    @property
    def servers(self) -> tuple[MailServer, ...]:
        return (self.example_com, self.example_net, self.example_org, self.world)

    def stranger(self) -> Client:
        return Client(self.outside, OUTSIDE_BOX, STRANGER)

    def client(self, source: str) -> Client:
        """A client inside."""
        return Client(self.inside, INSIDE_BOX, source)

    def queued(self) -> list[Path]:
        """The files of messages that wait in the box."""
        return waiting(self.box)

    def until_empty(self, patience: float = 60) -> None:
        until(lambda: not self.queued(), "an empty queue", lambda: self.queued()[:5], patience)


def waiting(of: Box) -> list[Path]:
    """The files of messages in a box's queue."""
    return messages_in(of.var / "spool/postfix")


def messages_in(spool: Path) -> list[Path]:
    """The files of messages in a queue of Postfix."""
    kinds = ("maildrop", "incoming", "active", "deferred", "hold", "corrupt")
    return [path for kind in kinds for path in (spool / kind).rglob("*") if path.is_file()]


@contextmanager
def lab(
    tree: Path,
    peers: Peers,
    answers: str = ANSWERS,
    name: str = "gw",
    disk_mib: int = 0,
    spaces: Mapping[str, int] = NO_SPACES,
) -> Iterator[Lab]:
    """The box in service; at its end it must be well. `name` (two letters) tells its networks from other boxes'."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postern-lab-")))
        nets = stack.enter_context(segments(4, name))
        outside, inside, desk, _ = nets
        key = _ssh_key(peers, folder)
        certificate = server_certificate(peers, folder)
        made = stack.enter_context(box(tree, nets, disk_mib, spaces))
        filled = answers.format(key=key.with_suffix(".pub").read_text().strip())
        made.start({"postern.answers": filled, "postern.secrets": SECRETS})
        outside.host(
            f"{STRANGER}/24", f"{PARTNER}/24", "192.0.2.1/24", "192.0.2.53/24", "192.0.2.80/24", "2001:db8:1::77/64"
        )
        servers = ("10.0.0.25/24", "10.0.0.26/24", "10.0.0.27/24")
        inside.host(f"{TRUSTED}/24", f"{REJECTED}/24", f"{NEIGHBOUR}/24", *servers)
        desk.host(f"{ADMIN}/24", *(f"172.16.0.{number}/24" for number in UNWELCOME))
        whole = Lab(
            box=made,
            outside=outside,
            inside=inside,
            desk=desk,
            example_com=MailServer(inside, "10.0.0.25", 25, folder / "com", certificate),
            example_net=MailServer(inside, "10.0.0.26", 2525, folder / "net"),
            example_org=MailServer(inside, "10.0.0.27", 26, folder / "org"),
            world=MailServer(outside, "192.0.2.80", 25, folder / "world"),
            key=key,
            folder=folder,
            peers=peers,
        )
        stack.enter_context(name_server(peers, outside, folder))
        for server in whole.servers:
            server.start()
            stack.callback(server.stop)
        yield whole
        made.require_well(PASSWORD)


@contextmanager
def name_server(peers: Peers, segment: Segment, folder: Path) -> Iterator[None]:
    """192.0.2.53 knows outside.example and its mail server, and the stranger and the partner by their names."""
    argv = peers.command(
        *("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root", "--group=root", "--pid-file="),
        *("--listen-address=192.0.2.53", "--bind-interfaces", "--local=/#/"),
        *("--host-record=mx.outside.example,192.0.2.80", "--mx-host=outside.example,mx.outside.example,10"),
        *(f"--host-record={NAME},{STRANGER}", f"--mx-host=example.net,{NAME},10"),
        f"--host-record=mx.partner.example,{PARTNER}",
        namespace=segment.namespace,
    )
    with run.spawn(argv, log=folder / "dnsmasq.log"):
        until(lambda: segment.answers("192.0.2.53", 53), "the name server", (folder / "dnsmasq.log").read_text)
        yield


def _ssh_key(peers: Peers, folder: Path) -> Path:
    path = folder / "id"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "admin@desk", "-f"]
    run.run(peers.command(*words, host_path(path)))
    return path


def server_certificate(peers: Peers, folder: Path) -> Path:
    """Key and certificate of the protected server, in one file."""
    path = folder / "server.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "-",
        "-subj",
        "/CN=mail.example.com",
    ]
    path.write_text(run.run(peers.command(*words)).stdout)
    return path
