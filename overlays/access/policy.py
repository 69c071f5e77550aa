"""The service that applies the access rules: Postfix asks it about each recipient (policy delegation protocol).

It only names what is to happen. What each answer may do stands in Postfix's main.cf, and behind every answer Postfix
asks by itself whether the client may send to that recipient at all: a fault here can refuse mail, and never opens the
relay. Without an answer Postfix says 451, and the client keeps its message.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, cast

from hardware.host import notify, started
from hardware.host.documents import Frozen
from hardware.host.log import clean
from overlays.access.reputation import Limits
from overlays.access.settings import AccessRule, Action, Request
from overlays.values import domain_forms

_LISTENING = 3  # the first descriptor that systemd hands over
_TRANSACTIONS = 4096  # far more than Postfix can have open at a time


class Rules(Frozen):
    """The rendered file."""

    format: Literal[1]
    rules: tuple[AccessRule, ...] = ()
    reputation: Limits | None = None


@dataclass(frozen=True)
class Answer:
    """The action as Postfix's access(5) and main.cf write it. A transaction's later recipients add no header."""

    first: str
    again: str


TAKE = Answer("access_take", "access_none")  # when no rule matches
ANSWERS = {
    Action.BYPASS: Answer("access_bypass", "DUNNO"),
    Action.RELAY: Answer("access_relay", "DUNNO"),
    Action.DISCARD: Answer("access_discard", "DUNNO"),
}
REFUSED = "REJECT refused by access rule"
SEPARATELY = "452 4.5.3 decided by another access rule: send to this recipient separately"


class Policy:
    """The rules, and how each transaction began.

    A message has one fate in Postfix: a header and a discard hold for all its recipients. A recipient with another
    answer than those before it waits for a transaction of its own, which mail servers begin at once.
    """

    def __init__(self, rules: tuple[AccessRule, ...]) -> None:
        self._rules = rules
        self._begun: OrderedDict[str, Answer] = OrderedDict()

    def answer(self, attributes: Mapping[str, str]) -> str:
        """The action for the recipient that these attributes tell of."""
        request = request_of(attributes)
        number, rule = next(
            ((number, rule) for number, rule in enumerate(self._rules) if rule.matches(request)), (None, None)
        )
        if rule is None:
            return self._joined(attributes["instance"], TAKE)
        refused = rule.action is Action.REJECT
        answer = REFUSED if refused else self._joined(attributes["instance"], ANSWERS[rule.action])
        _say(f"rule={number} action={rule.action}", attributes, answer)
        return answer

    def has_begun(self, instance: str) -> bool:
        """Whether a recipient of this transaction was let in before."""
        return instance in self._begun

    def _joined(self, instance: str, answer: Answer) -> str:
        """The answer, if the transaction's recipients before had the same."""
        before = self._begun.get(instance)
        if before is None:
            self._begun[instance] = answer
            if len(self._begun) > _TRANSACTIONS:
                self._begun.popitem(last=False)
            return answer.first
        return answer.again if before == answer else SEPARATELY


def request_of(attributes: Mapping[str, str]) -> Request:
    """What Postfix tells, as the rules see it. Raises when Postfix tells no client."""
    return Request(
        client=ip_address(attributes["client_address"].removeprefix("IPv6:")),
        name=attributes["client_name"],
        sender=_forms(attributes["sender"]) if attributes["sender"] else ("<>",),
        recipient=_forms(attributes["recipient"]),
        authenticated=bool(attributes.get("sasl_username")),
        encrypted=bool(attributes.get("encryption_protocol")),
    )


def _forms(address: str) -> tuple[str, ...]:
    """An address with its domain as written, in ASCII and in Unicode: a client may write any of them."""
    local, at, domain = address.rpartition("@")
    return tuple(f"{local}{at}{form}" for form in domain_forms(domain))


def _say(decision: str, attributes: Mapping[str, str], answer: str) -> None:
    """One line for the journal, which `postern trace` and `postern log` read."""
    told = {name: attributes.get(name, "") for name in ("client_address", "client_port", "sender", "recipient")}
    facts = " ".join(f"{name}=<{clean(value)}>" for name, value in told.items())
    print(f"{decision} {facts} answer={answer.split()[0]}", flush=True)


Answering = Callable[[Mapping[str, str]], str | Coroutine[None, None, str]]


def _answering(rules: Rules) -> Answering:
    """By the rules, and where it is wanted by what clients have done before, which takes a look-up."""
    policy = Policy(rules.rules)
    if not rules.reputation:
        return policy.answer
    # What it needs to remember takes memory and time to load.
    from overlays.access.gate import Gate

    return Gate(policy, rules.rules, rules.reputation).answer


class _Smtpd(asyncio.Protocol):
    """One smtpd, which asks on as long as it lives. A request that breaks us ends without an answer: 451."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self._asked = b""
        self._looking_up: asyncio.Task[str] | None = None  # an smtpd asks when it has been answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._asked = (self._asked + data).split(b"\n\n")
        for request in requests:
            lines = request.decode(errors="replace").split("\n")
            answer = self._answer(dict(line.split("=", 1) for line in lines if "=" in line))
            if isinstance(answer, str):
                self._reply(answer)
            else:
                self._looking_up = asyncio.ensure_future(answer)
                self._looking_up.add_done_callback(self._looked_up)

    def _looked_up(self, task: asyncio.Task[str]) -> None:
        try:
            self._reply(task.result())
        except BaseException:
            self._transport.abort()
            raise

    def _reply(self, answer: str) -> None:
        self._transport.write(f"action={answer}\n\n".encode())


async def serve(rules: Rules, listening: socket.socket) -> None:
    """Answer until the process is asked to end."""
    answer = _answering(rules)
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Smtpd(answer), sock=listening)
    await notify.serving()
    server.close()


def main() -> None:
    """What postern-access.service runs, with the socket from systemd."""
    if rules := started.configuration("postern-access", __doc__, Rules):
        asyncio.run(serve(rules, socket.socket(fileno=_LISTENING)))
