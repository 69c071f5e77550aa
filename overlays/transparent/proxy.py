"""The proxy of transparent mode: takes the connections that were picked up from the wire, and makes their other half.

A picked-up connection comes with the client's address, and the address that it meant as our own (nftables' tproxy). The
other half is made from the client's address (IP_TRANSPARENT). So neither end sees the box.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import ssl
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from hardware.host import started
from hardware.host.documents import Frozen
from overlays import direction, selftest
from overlays.direction import Direction
from overlays.transparent.crew import Crew, multiplied
from overlays.transparent.dialogue import Dialogue
from overlays.transparent.judge import Judge
from overlays.transparent.past import Past
from overlays.transparent.rules import Limits, Rules, Starttls
from overlays.transparent.scan import Scanner, Spam, Unfiltered
from overlays.transparent.wire import Wire
from overlays.transparent.words import own

log = logging.getLogger("proxy")

Address = tuple[str, int]

_PORT = 10025  # where pickup-proxy.nft leads to
_SPOOL = Path("/var/spool/postern-proxy")
_LISTENERS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_TRANSPARENT: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.SOL_IP, 19),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 75),
}  # linux/in.h, in6.h
_PORT_WITH_PEER = 24  # IP_BIND_ADDRESS_NO_PORT of linux/in.h, for both families
_TRIES = 4  # until a server that does not answer is taken for down: about half a minute
_RESTING = 1.0  # seconds without new connections, where there is no room for one
_LEAVING = 20.0  # what messages under way have when we stop


class Configuration(Frozen):
    """What the rendered file says."""

    format: Literal[1]
    name: str  # the box's
    filter: bool
    reputation: bool  # whether a stranger's past counts
    processes: int = Field(ge=1)  # at most; no more than there are processors
    sessions: int  # at once, all processes together
    sessions_per_client: int  # in one process: the kernel shares out a client's connections by chance
    message_bytes: int
    subject_tag: str
    outgoing_starttls: Starttls
    outgoing_spam: Spam
    own: frozenset[str]
    servers: dict[str, Starttls]
    spam: dict[str, Spam]  # by domain
    limits: Limits = Limits()  # no settings lead here: these are the protocol's, and a test's patience is shorter

    @property
    def judge(self) -> Judge:
        if not self.filter:
            return Unfiltered()
        return Scanner(self.name, self.spam, self.outgoing_spam, self.subject_tag)


class Notes:
    """What the journal gets of a session. How it began stands in the first line: most sessions need no other."""

    def __init__(self, number: str, beginning: str) -> None:
        self._number = number
        self._beginning = beginning

    def tell(self, text: str) -> None:
        log.info("%s: %s", self._number, f"{self._beginning}; {text}" if self._beginning else text)
        self._beginning = ""

    def close(self) -> None:
        """The end, whether something was told or not."""
        if self._beginning:
            log.info("%s: %s", self._number, self._beginning)


class Proxy:
    """The sessions of one process, each a task; at most `sessions`."""

    def __init__(self, configuration: Configuration, sessions: int, certificate: ssl.SSLContext | None) -> None:
        self._configuration = configuration
        self._most = sessions
        self._judge = configuration.judge
        self._certificate = certificate
        self._towards_server = _unverified()
        self._sessions: dict[asyncio.Task[None], Dialogue] = {}
        self._clients: Counter[str] = Counter()
        self._limits = replace(configuration.limits, message_bytes=configuration.message_bytes)

    async def serve(self, crew: Crew) -> None:
        """Serve until we are asked to end; what is under way then has some seconds to finish."""
        loop = asyncio.get_running_loop()
        listening = [_listener(family, host, _PORT) for family, host in _LISTENERS]
        for one in listening:
            self._listen(one)
        await crew.serving()
        for one in listening:
            loop.remove_reader(one)
            one.close()
        for session in self._sessions.values():
            session.leave()
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=_LEAVING)

    def _listen(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listening, self._take, listening)

    def _take(self, listening: socket.socket) -> None:
        """A connection was picked up."""
        try:
            line, client = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no room for it: it can wait in the kernel's queue
            log.error("no connection can be taken: %s", error)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(_RESTING, self._listen, listening)
            return
        line.setblocking(False)
        self._begin(Wire(line), client[:2], line.getsockname()[:2])

    def _begin(self, wire: Wire, client: Address, meant: Address) -> None:
        if (
            meant[0].startswith("127.") or meant[0] == "::1"
        ):  # not picked up: somebody on the box, so it is the self-test
            meant = selftest.STAND_IN
        elif meant[0] in self._configuration.own:
            wire.abort()  # we would connect to ourselves
            return
        busy = len(self._sessions) >= self._most
        if busy or self._clients[client[0]] >= self._configuration.sessions_per_client:
            log.warning("%s: turned away, too many sessions", client[0])
            wire.close(own(421, "4.7.0 Too many sessions, please try again later"))
            return
        number = secrets.token_hex(5)
        starttls = self._configuration.servers.get(meant[0], self._configuration.outgoing_starttls)
        way = direction.of_connection(meant[0], self._configuration.servers)
        notes = Notes(number, f"{way} from {client[0]} to {meant[0]}")
        dialogue = Dialogue(
            wire,
            client[0],
            lambda: _other_half(client, meant),
            self._judge,
            Rules(starttls, self._certificate, self._towards_server),
            _SPOOL,
            number,
            self._limits,
            notes.tell,
            self._past(client[0], way, notes),
        )
        task = asyncio.get_running_loop().create_task(dialogue.run())
        self._sessions[task] = dialogue
        self._clients[client[0]] += 1
        task.add_done_callback(lambda done: self._end(done, client[0], notes))

    def _past(self, client: str, way: Direction, notes: Notes) -> Past | None:
        """Of a stranger who comes to a protected server. The servers are none, nor is who leaves by the box."""
        if not self._configuration.reputation or way is not Direction.INCOMING or client in self._configuration.servers:
            return None
        return Past(client, notes.tell)

    def _end(self, task: asyncio.Task[None], client: str, notes: Notes) -> None:
        notes.close()
        del self._sessions[task]
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        if not task.cancelled() and (error := task.exception()):
            log.error("a session failed", exc_info=error)


def _transparent(family: int) -> socket.socket:
    """A socket that may have an address which is not the box's. Those that it accepts are like it."""
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.setsockopt(*_TRANSPARENT[family], 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _listener(family: int, host: str, port: int) -> socket.socket:
    made = _transparent(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # one for each process
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((host, port))
    made.listen(256)
    return made


def _other_half(client: Address, meant: Address) -> Wire:
    """The other half of a connection, from the client's address. Raises OSError, or it is heard from the wire."""
    made = _transparent(socket.AF_INET6 if ":" in client[0] else socket.AF_INET)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, _TRIES)
        # A client has as many connections to each server as there are ports, not to all servers together.
        made.setsockopt(socket.SOL_IP, _PORT_WITH_PEER, 1)
        made.bind((client[0], 0))
        with suppress(BlockingIOError):
            made.connect(meant)
    except OSError:
        made.close()
        raise
    return Wire(made)


def _unverified() -> ssl.SSLContext:
    """TLS with the server as a mail server without a policy does it: encrypted, whoever it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _certificate() -> ssl.SSLContext | None:
    """The box's own, which systemd hands over; None where it did not."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(Path(folder) / "cert.pem", Path(folder) / "key.pem")
    return context


def main() -> None:
    """What postern-proxy.service runs."""
    if configuration := started.configuration("postern-proxy", __doc__, Configuration):
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nobody would read it
        processes = min(configuration.processes, len(os.sched_getaffinity(0)))
        proxy = Proxy(configuration, configuration.sessions // processes, _certificate())
        asyncio.run(proxy.serve(multiplied(processes)))
