"""The protocol word by word, against the box in each of its modes, with plain Postfix as the oracle.

The cases are in conformance.txt, which says how to read them. In transparent mode there is Postfix behind the box, too,
and what it answers must be what comes out in front; what the proxy says by itself is in conformance-proxy.txt.
"""

from __future__ import annotations

import functools
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hardware.host import run
from hardware.host.run import Completed
from tests.container.box import Box, box, until
from tests.container.conformance import Case, Dialogue, Heard, Step, read
from tests.container.lab import OUTSIDE_BOX, STRANGER, Lab, messages_in, server_certificate, waiting
from tests.container.mailserver import MailServer
from tests.container.network import Segment, segments
from tests.container.silence import IMPATIENT, SILENCES, Ends
from tests.peers import Peers, inside

CASES = read(Path(__file__).with_name("conformance.txt"))
PROXY_CASES = read(Path(__file__).with_name("conformance-proxy.txt"))
LMTP_CASES = read(Path(__file__).with_name("conformance-lmtp.txt"))
# The agent behind the filter, and its way to Dovecot behind Postfix, which has no LMTP server: there is no oracle here.
# Never the server's affair: CHUNKING is not offered, and what follows STARTTLS is not handed on.
_PROXYS_OWN = ("RFC 3030 2:", "RFC 3207 6:")
LISTENERS = ("run/postern-quarantine/agent.sock", "run/postern-quarantine/filing.sock")
ORACLE, BEHIND, INSIDE = "192.0.2.90", "192.0.2.25", "192.0.2.80"
SCRIPTED = "192.0.2.26"
# Debian's own master.cf, and of main.cf only what a mail server must know.
_MAIN = """
compatibility_level = 3.10
myhostname = mx1.mail.example.org
mydestination =
inet_interfaces = {address}
inet_protocols = ipv4
relay_domains = example.org
relay_transport = smtp:[192.0.2.80]:25
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = /host
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/server.pem
{more}
"""
# The proxy has to keep smugglers from a server that would let them in.
_LENIENT = "smtpd_forbid_bare_newline = no\nsmtpd_forbid_unauth_pipelining = no"
PASSWORD = "Linnet-nests~19-gorse"
SERVER = """
format: 1
mode: server
network:
  ports:
    port1: {addresses: [192.0.2.10/24], allow: [smtp]}
mailhost: {host_name: mx1, local_domain: mail.example.org, postmaster: ann@example.org}
domains: [{name: example.org}]
users: [{address: ann@example.org}, {address: bob@example.org}]
filtering: {incoming: {antispam: "off", antivirus: false}, outgoing: {antivirus: false}}
"""
TRANSPARENT = f"""
format: 1
mode: transparent
network:
  bridge: {{addresses: [192.0.2.10/24], allow: [smtp]}}
mailhost: {{host_name: mx1, local_domain: mail.example.org, postmaster: ann@example.org}}
domains: [{{name: example.org, server: {BEHIND}}}, {{name: example.net, server: {SCRIPTED}}}]
transparent: {{domains: {{example.net: pass}}}}
filtering: {{incoming: {{antispam: "off", antivirus: false}}, outgoing: {{antispam: "off", antivirus: false}}}}
"""
SECRETS = f"""
format: 1
admin: {{password: {PASSWORD}}}
users: {{ann@example.org: {{password: {PASSWORD}}}, bob@example.org: {{password: {PASSWORD}}}}}
"""


@dataclass(frozen=True)
class Target:
    """A server: how to reach it, whether it has mail in hand, and every message that it delivered."""

    connect: Callable[[], socket.socket]
    busy: Callable[[], object]
    delivered: Callable[[], list[bytes]]
    run: Callable[..., Completed]  # a program of its Postfix

    def hear(self, case: Case) -> Heard:
        token = secrets.token_hex(3)[1:]
        with closing(Dialogue(self.connect(), token)) as dialogue:
            answers = [dialogue.say(step) for step in case.steps]
        found: list[bytes] = []
        if case.arrives is not None or case.messages is not None:
            until(lambda: not self.busy(), f"the queue to be empty after {case.name}", self.busy)
            found = [one for one in self.delivered() if token.encode() in one]
        bodies = [re.sub(b"\r?\n", b"\r\n", one).partition(b"\r\n\r\n")[2] for one in found]
        bodies = [body.replace(token.encode(), b"TOKEN") for body in bodies]
        # A mailbox of the box keeps LF for CRLF; what came by SMTP is looked at as it came.
        bare = any(re.search(rb"\r(?!\n)|(?<!\r)\n", one) for one in found if b"\r\n" in one)
        return Heard(answers, bodies, bare, "\n".join(dialogue.transcript))


@contextmanager
def plain_postfix(peers: Peers, segment: Segment, address: str, keeper: MailServer, more: str = "") -> Iterator[Target]:
    """Debian's Postfix, which takes mail for example.org and hands it to the mail server at `INSIDE`."""
    with tempfile.TemporaryDirectory(prefix="postern-oracle-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # its daemons are not root
        for part in ("spool", "data", "etc"):
            (folder / part).mkdir()
        shutil.copy(peers.root / "usr/share/postfix/master.cf.dist", folder / "etc/master.cf")
        server_certificate(peers, folder)
        (folder / "etc/main.cf").write_text(_MAIN.format(folder=inside(folder), address=address, more=more))
        segment.host(f"{address}/24")

        def command(program: str, *words: str) -> list[str]:
            return peers.command(program, "-c", inside(folder / "etc"), *words, namespace=segment.namespace)

        def postfix(*words: str) -> Completed:
            return run.run(command(*words))

        postfix("postconf", "-F", "*/*/chroot=n")
        shutil.chown(folder / "data", 101)
        with run.spawn(command("postfix", "start-fg"), log=folder / "console", grace=30):
            until(lambda: segment.answers(address, 25), address, (folder / "console").read_text)
            yield Target(
                lambda: segment.connect(address, 25, STRANGER),
                lambda: messages_in(folder / "spool"),
                lambda: [one.content for one in keeper.received()],
                postfix,
            )
            postfix("postfix", "stop")


@pytest.fixture(scope="module")
def oracle(gateway: Lab) -> Iterator[Target]:
    """Postfix outside."""
    with plain_postfix(gateway.peers, gateway.outside, ORACLE, gateway.world) as made:
        yield made


@pytest.fixture(scope="module")
def in_gateway_mode(gateway: Lab) -> Target:
    return Target(
        lambda: gateway.outside.connect(OUTSIDE_BOX, 25, STRANGER),
        gateway.queued,
        lambda: [one.content for one in gateway.example_org.received()],
        gateway.box.run,
    )


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Box]:
    with segments(1, "co") as nets, box(root, nets) as made:
        made.start({"postern.answers": SERVER, "postern.secrets": SECRETS})
        nets[0].host(f"{STRANGER}/24")
        yield made
        made.require_well(PASSWORD)


@pytest.fixture(scope="module")
def in_server_mode(server: Box) -> Target:
    return _delivering(server, lambda: server.segments[0].connect(OUTSIDE_BOX, 25, STRANGER))


@dataclass(frozen=True)
class Wire:
    """A box in transparent mode, what is in front of it, and Postfix behind it, spoken to by way of its proxy."""

    box: Box
    outside: Segment
    beyond: Segment
    target: Target


@pytest.fixture(scope="module")
def wire(root: Path, peers: Peers) -> Iterator[Wire]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postern-conformance-")))
        outside, beyond = nets = stack.enter_context(segments(2, "ct"))
        made = stack.enter_context(box(root, nets))
        made.start({"postern.answers": TRANSPARENT, "postern.secrets": SECRETS.partition("users:")[0]})
        outside.host(f"{STRANGER}/24")
        beyond.host(f"{INSIDE}/24", f"{SCRIPTED}/24")
        keeper = MailServer(beyond, INSIDE, 25, folder / "keeper")
        keeper.start()
        stack.callback(keeper.stop)
        server = stack.enter_context(plain_postfix(peers, beyond, BEHIND, keeper, _LENIENT))
        until(lambda: outside.answers(BEHIND, 25), "the proxy", made.tail)
        target = replace(server, connect=lambda: outside.connect(BEHIND, 25, STRANGER))
        yield Wire(made, outside, beyond, target)
        made.require_well(PASSWORD)


@pytest.fixture(scope="module")
def in_transparent_mode(wire: Wire) -> Target:
    return wire.target


@pytest.fixture(params=["gateway", "server"])
def target(request: pytest.FixtureRequest) -> Target:
    """The box in that mode."""
    found: Target = request.getfixturevalue(f"in_{request.param}_mode")
    return found


@pytest.fixture(scope="module")
def said_by_oracle(oracle: Target) -> Callable[[str], Heard]:
    """What the oracle makes of a case; it is asked once for all modes."""
    return functools.cache(lambda name: oracle.hear(CASES[name]))


@pytest.mark.parametrize("name", CASES)
def test_smtp(target: Target, said_by_oracle: Callable[[str], Heard], name: str) -> None:
    case = CASES[name]
    heard = target.hear(case)
    assert case.problems(heard) == []
    if not case.oracle:
        theirs = said_by_oracle(name)
        assert case.problems(theirs) == []
        assert theirs.answers == heard.answers


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(_PROXYS_OWN)])
def test_what_passes_is_the_servers(
    in_transparent_mode: Target, said_by_oracle: Callable[[str], Heard], name: str
) -> None:
    case = CASES[name]
    heard = in_transparent_mode.hear(case)
    if case.proxy:
        assert case.problems(heard) == []
    else:
        theirs = said_by_oracle(name)
        assert heard.answers == theirs.answers, heard.transcript
        assert (sorted(heard.arrived), heard.bare) == (sorted(theirs.arrived), False)


@pytest.mark.parametrize("name", PROXY_CASES)
def test_what_the_proxy_says_itself(in_transparent_mode: Target, name: str) -> None:
    case = PROXY_CASES[name]
    assert case.problems(in_transparent_mode.hear(case)) == []


@pytest.fixture(scope="module")
def impatient(wire: Wire) -> Iterator[Wire]:
    """The proxy waits for a second where RFC 5321 4.5.3.2 has it wait for minutes."""
    configuration = wire.box.path("etc/postern/proxy.yaml")
    before = configuration.read_text()
    configuration.write_text(f"{before}\n{IMPATIENT}")
    wire.box.run("systemctl", "restart", "postern-proxy")
    until(lambda: wire.outside.answers(BEHIND, 25), "the proxy", wire.box.tail)
    yield wire
    configuration.write_text(before)
    wire.box.run("systemctl", "restart", "postern-proxy")


@pytest.mark.parametrize("name", SILENCES)
def test_whoever_is_silent_is_left_by_the_proxy(impatient: Wire, name: str) -> None:
    """Either end: the client is told 421 or 451, so it tries again, and the server never gets half a message."""
    with closing(impatient.beyond.listen(SCRIPTED, 25)) as listening:
        client = impatient.outside.connect(SCRIPTED, 25, STRANGER)
        server, _ = listening.accept()
        with closing(Ends(client, server)) as ends:
            SILENCES[name](ends)


@pytest.mark.parametrize("within", ["a command", "a message"])
def test_whoever_says_no_more_is_sent_away(target: Target, oracle: Target, within: str) -> None:
    """After five minutes, the least that RFC 5321 4.5.3.2.7 asks for; for the time of this test it is three seconds."""
    steps = CASES["RFC 5321 4.1.1.10: a connection that drops within a message delivers nothing"].steps
    for one in (target, oracle):
        assert one.run("postconf", "-h", "-x", "smtpd_timeout").stdout.strip() == "300s"
        one.run("postconf", "-e", "smtpd_timeout=3s")
        one.run("postfix", "reload")
        try:
            until(lambda: _patience_ends(one, steps[:1] if within == "a command" else steps[:-1]), "421")  # noqa: B023 - called at once
        finally:
            one.run("postconf", "-X", "smtpd_timeout")
            one.run("postfix", "reload")


def _patience_ends(target: Target, steps: tuple[Step, ...]) -> bool:
    """Not at once: a process from before the reload may still take a connection."""
    line = target.connect()
    line.settimeout(5)
    with closing(Dialogue(line, "none")) as dialogue:
        for step in steps:
            dialogue.say(step)
        return dialogue.say(Step("(listen)", ("421", "closed"))) == ["421", "closed"]


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name", LMTP_CASES)
def test_lmtp(server: Box, listener: str, name: str) -> None:
    case = LMTP_CASES[name]
    assert case.problems(_delivering(server, lambda: _local(server, listener)).hear(case)) == []


@pytest.mark.parametrize("listener", LISTENERS)
def test_lmtp_offers_what_it_must(server: Box, listener: str) -> None:
    """RFC 2033 5: pipelining and, with every answer but the greeting's, a code that says more (RFC 2034)."""
    with closing(Dialogue(_local(server, listener), "none")) as dialogue:
        dialogue.say(Step("LHLO client.example.net", ("220", "250")))
        offered = dialogue.transcript[-1]
        assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= set(re.findall(r"250[ -](\S+)", offered))
        for command in ("MAIL FROM:<someone@example.edu>", "DATA", "FOO", "RSET", "RCPT TO:<ann@example.org>", "QUIT"):
            dialogue.say(Step(command, ("xxx",)))
            assert re.match(r"< ([245])\d\d \1\.\d+\.\d+ ", dialogue.transcript[-1]), dialogue.transcript


def _delivering(server: Box, connect: Callable[[], socket.socket]) -> Target:
    """A way into the box whose mail lies in its mailboxes."""
    store = server.var / "vmail/example.org"
    return Target(
        connect,
        lambda: waiting(server),
        lambda: [path.read_bytes() for path in store.glob("*/Maildir/new/*")],
        server.run,
    )


def _local(server: Box, path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(30)
    line.connect(str(server.path(path)))
    return line
