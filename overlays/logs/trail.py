"""The way of messages through the box, put together from what its programs say in the journal.

Programs say what they know and no more: Postfix has a number for each message in its queue, and all the others name it,
or the client's address and port. What a stranger wrote stands at the end of a line, so that it cannot pose as the rest.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from overlays.logs.journal import Entry
from overlays.logs.message import Disposition, Fate, Message, Stage, Step, Verdict, classify

_MOST = 5000  # messages in mind: far more than are under way, and those that are done, for what comes back to them
_QUEUED = re.compile(r"(NOQUEUE|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{12,24}): (.*)")
_CLIENT = re.compile(r"client=(\S*)\[([^\]]*)\](?::(\d+))?(.*)")
_USER = re.compile(r", sasl_username=(.*?)(?:, sasl_sender=|, orig_|$)")
_ORIGIN = re.compile(r", orig_queue_id=([0-9A-Za-z.]+)")
_MESSAGE_ID = re.compile(r"message-id=<?(.*?)>?")
_SUBJECT = re.compile(r"info: header Subject: ?(.*) from (?:local|\S+\[[^\]]*\](?::\d+)?); from=<.*")
_REFUSAL = re.compile(
    r"(?:milter-)?reject: (\S+) from (\S*)\[([^\]]*)\](?::(\d+))?: (.*?)"
    r"(?:; from=<(.*?)> to=<(.*?)> proto=\S+(?: helo=<.*>)?|; from=<(.*?)> proto=\S+.*|; proto=\S+.*)?"
)
_ACTIVE = re.compile(r"from=<(.*)>, size=(\d+), nrcpt=(\d+) \(queue active\)")
_DELIVERY = re.compile(r"to=<(.*?)>,(?: orig_to=<.*?>,)? relay=(.*?),.*? dsn=[\d.]+, status=(\w+) \((.*)\)")
_TLS = re.compile(r"\w+ TLS connection established from \S*\[([^\]]*)\](?::(\d+))?: (\S+)")
_GONE = re.compile(r"disconnect from \S*\[([^\]]*)\](?::(\d+))?.*")
_RULE = re.compile(
    r"rule=(\d+) action=(\w+) client_address=<([^>]*)> client_port=<(\d*)> sender=<(.*)> recipient=<(.*)>.*"
)
_AGENT = re.compile(r"id=([0-9A-Za-z.]*) score=(\S+) way=(\w+) kind=(\w+) owner=<(.*?)> to=<(.*)> said=(.*)")
_STORED = re.compile(r"lmtp\((\S+?)\)<\d+><[^>]*>: sieve: msgid=<?(.*?)>?: (.*)")
_VERDICT = re.compile(r"\(?\w+\)? <\w+>; lua; decide\.lua:\d+: verdict (\{.*\})")
_PROXY = re.compile(
    r"([0-9a-f]{10}): (?:(incoming|outgoing) from (\S+) to ([^\s;]+)(?:; )?)?(?:([0-9a-f]{10}\.\d+): (\{.*\}))?"
)
_FATES = {
    "sent": Disposition.DELIVERED,
    "deferred": Disposition.DEFERRED,
    "bounced": Disposition.BOUNCED,
    "expired": Disposition.BOUNCED,
}
_BY_AGENT = {"keep": Disposition.QUARANTINED, "command": Disposition.OBEYED, "drop": Disposition.DISCARDED}
_HANDED_ON = {
    "deliver": "handed on: not spam to this recipient",
    "mark_subject": "handed on with a mark before the subject",
    "mark_header": "handed on with a header that marks it",
    "command": "a command to the quarantine",
    "drop": "dropped: the self-test's",
}
_LINE_END = re.compile(r"\?=\?\s+")  # for which Postfix writes a question mark; certain after an encoded word
_T = TypeVar("_T")


class Trail:
    """Takes the entries one after the other; `told` gets each message whenever something became of it, with the lot.

    A message that is done is given to `done`. Neither is called for Postfix's own questions about recipients.
    """

    def __init__(
        self, told: Callable[[Message, Fate], None] = lambda *_: None, done: Callable[[Message], None] = lambda _: None
    ) -> None:
        self._told = told
        self._done = done
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._by_message_id: OrderedDict[str, Message] = OrderedDict()
        self._on_line: OrderedDict[tuple[str, str], Message] = OrderedDict()
        self._rules: OrderedDict[tuple[str, str], list[Step]] = OrderedDict()  # decided, and for no message yet
        self._tls: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._wires: OrderedDict[str, tuple[str, str, str]] = OrderedDict()
        self._finished: set[str] = set()

    def take(self, entry: Entry) -> None:
        """One more line."""
        match entry.unit:
            case "postfix":
                self._postfix(entry)
            case "rspamd":
                if match := _VERDICT.fullmatch(entry.text):
                    self._verdict(entry, match[1])
            case "postern-access":
                if match := _RULE.fullmatch(entry.text):
                    self._rule(entry, match)
            case "postern-quarantine":
                if match := _AGENT.fullmatch(entry.text):
                    self._agent(entry, match)
            case "dovecot":
                if (match := _STORED.fullmatch(entry.text)) and (message := self._by_message_id.get(match[2])):
                    message.steps.append(Step(entry.time, Stage.STORE, match[3], match[1]))
            case "postern-proxy":
                if match := _PROXY.match(entry.text):
                    self._proxy(entry, match)

    def unfinished(self) -> Iterator[Message]:
        """Those that are still under way."""
        yield from (one for one in self._messages.values() if one.id not in self._finished and not one.probe)

    def _postfix(self, entry: Entry) -> None:
        if match := _TLS.match(entry.text):
            _keep(self._tls, (match[1], match[2] or ""), match[3])
        elif match := _GONE.fullmatch(entry.text):
            for by_line in (self._tls, self._rules, self._on_line):
                by_line.pop((match[1], match[2] or ""), None)
        elif match := _QUEUED.fullmatch(entry.text):
            self._queued(entry, match[1], match[2])

    def _queued(self, entry: Entry, number: str, text: str) -> None:
        if match := _REFUSAL.fullmatch(text):
            self._refused(entry, number, match)
            return
        if number == "NOQUEUE":
            return
        message = self._known(number, entry)
        if match := _CLIENT.fullmatch(text):
            self._connected(entry, message, match)
        elif match := _MESSAGE_ID.fullmatch(text):
            message.message_id = match[1]
            _keep(self._by_message_id, match[1], message)
        elif match := _SUBJECT.fullmatch(text):
            message.subject = message.subject or _LINE_END.sub("?= ", match[1])
        elif match := _ACTIVE.fullmatch(text):
            message.sender, message.read = match[1], True
            recipients = "1 recipient" if match[3] == "1" else f"{match[3]} recipients"
            message.steps.append(Step(entry.time, Stage.QUEUE, f"{number}: {match[2]} bytes for {recipients}"))
        elif match := _DELIVERY.fullmatch(text):
            self._delivered(entry, message, match)
        elif "status=expired" in text:
            for fate in [one for one in message.fates.values() if one.disposition is Disposition.DEFERRED]:
                self._settle(message, replace(fate, time=entry.time, disposition=Disposition.BOUNCED, detail="expired"))
        elif text.startswith("removed"):
            self._finish(message)

    def _connected(self, entry: Entry, message: Message, match: re.Match[str]) -> None:
        message.line = (match[2], match[3] or "")
        user, origin = _USER.search(match[4]), _ORIGIN.search(match[4])
        if origin:
            message.origin = origin[1]
            text = f"{match[1]}, on from the quarantine"
            before = self._messages.get(origin[1])
            if before:
                message.subject, message.client, message.user = before.subject, before.client, before.user
                message.verdict = before.verdict
        else:
            message.client = f"{match[1]}[{match[2]}]"
            message.user = user[1] if user else ""
            message.ruled = entry.speaker == "postfix/smtpd"
            encrypted = f", {self._tls[message.line]}" if message.line in self._tls else ""
            text = f"{match[1]} [{match[2]}], by {entry.speaker}{encrypted}"
            text += f", logged in as {message.user}" if message.user else ""
        message.steps.append(Step(entry.time, Stage.CONNECTION, text))
        message.steps += self._rules.pop(message.line, [])
        _keep(self._on_line, message.line, message)

    def _rule(self, entry: Entry, match: re.Match[str]) -> None:
        line = (match[3], match[4])
        step = Step(entry.time, Stage.ACCESS, f"rule {match[1]}: {match[2]}", match[6])
        message = self._on_line.get(line)
        if message and not message.read and (message.id or match[6] in message.fates):
            message.steps.append(step)
        else:
            self._rules.setdefault(line, []).append(step)
            _trim(self._rules)

    def _refused(self, entry: Entry, number: str, match: re.Match[str]) -> None:
        """By Postfix to one recipient, or by the filter to all of them."""
        phase, name, address, port, told = match[1], match[2], match[3], match[4] or "", match[5]
        sender, to = match[6] or match[8] or "", match[7] or ""
        if number == "NOQUEUE" and not to and address == "127.0.0.1":
            return  # the box looks whether its services are well
        if number == "NOQUEUE":
            message = Message("", entry.time, line=(address, port), ruled=bool(to) and entry.speaker == "postfix/smtpd")
            _keep(self._on_line, message.line, message)
            tls = self._tls.get(message.line)
            text = f"{name} [{address}], by {entry.speaker}{f', {tls}' if tls else ''}"
            message.steps.append(Step(entry.time, Stage.CONNECTION, text))
            waiting = self._rules.get(message.line, [])
            mine = [step for step in waiting if step.to == to]
            message.steps += mine
            waiting[:] = [one for one in waiting if one not in mine]
        else:
            message = self._known(number, entry)
        message.client, message.sender = f"{name}[{address}]", sender
        disposition = Disposition.DELAYED if re.match(r"4\d\d |4\.", told) else Disposition.REJECTED
        whole = phase == "END-OF-MESSAGE" and message.verdict is not None and message.verdict.recipients
        for recipient in whole or (to,):
            message.steps.append(Step(entry.time, Stage.REFUSAL, told, recipient))
            self._settle(message, Fate(entry.time, recipient, disposition, classify(told), told))
        if number == "NOQUEUE":
            self._done(message)

    def _delivered(self, entry: Entry, message: Message, match: re.Match[str]) -> None:
        to, relay, status, said = match.groups()
        if status not in _FATES:
            message.probe = True  # deliverable, undeliverable
            return
        disposition = Disposition.DISCARDED if entry.speaker == "postfix/discard" else _FATES[status]
        if entry.speaker == "postfix/agent/lmtp" and status == "sent":
            way = _BY_AGENT.get(said.removeprefix("250 2.0.0 "))
            if way:  # what the agent handed on comes in once more, under another number
                self._settle(message, Fate(entry.time, to, way, _class_of(message, to), ""))
            return
        before = self._messages.get(message.origin)
        held = before.fates.get(to) if before else None
        if disposition is Disposition.DELIVERED and held and held.disposition is Disposition.QUARANTINED:
            disposition = Disposition.RELEASED
        where = "" if relay == "none" else f" to {relay}"
        message.steps.append(Step(entry.time, Stage.DELIVERY, f"{disposition}{where}: {said}", to))
        self._settle(message, Fate(entry.time, to, disposition, _class_of(message, to), said))

    def _agent(self, entry: Entry, match: re.Match[str]) -> None:
        number, _, way, kind, owner, to, said = match.groups()
        message = self._messages.get(number)
        if message is None:
            return
        kept = f"kept for {'the administrator' if owner.startswith('system@') else owner} as {kind}"
        text = kept if way == "keep" else _HANDED_ON.get(way, way)
        message.kinds[to] = kind if way == "keep" else ""
        message.steps.append(
            Step(entry.time, Stage.QUARANTINE, text if said.startswith("250") else f"{text}: {said}", to)
        )

    def _verdict(self, entry: Entry, text: str) -> None:
        facts = _object(text)
        if not facts.get("id"):
            return
        verdict = verdict_of(facts)
        message = self._known(str(facts["id"]), entry)
        message.verdict = verdict
        message.message_id = message.message_id or str(facts.get("message_id", ""))
        message.steps.append(Step(entry.time, Stage.VERDICT, str(verdict)))

    def _proxy(self, entry: Entry, match: re.Match[str]) -> None:
        session, direction, client, server, number, text = match.groups()
        if direction:
            _keep(self._wires, session, (direction, client, server))
        if not number:
            return
        facts = _object(text)
        direction, client, server = self._wires.get(session, ("", "", ""))
        message = self._known(number, entry)
        message.client, message.sender = f"[{client}]", str(facts.get("from", ""))
        message.message_id = str(facts.get("message_id", "")).strip("<>")
        message.subject = str(facts.get("subject", ""))
        if message.message_id:
            _keep(self._by_message_id, message.message_id, message)
        text = f"[{client}], read along to [{server}] ({direction})"
        message.steps.insert(0, Step(message.begun, Stage.CONNECTION, text))
        fate, answer = str(facts.get("fate", "")), str(facts.get("answer", ""))
        stage = Stage.QUARANTINE if fate == "quarantine" else Stage.DELIVERY if fate == "deliver" else Stage.REFUSAL
        disposition = _by_proxy(fate, answer)
        for to in facts.get("to", ()):
            message.steps.append(Step(entry.time, stage, f"{disposition}: {answer}", to))
            classifier = message.verdict.classifier if message.verdict else classify(answer)
            self._settle(message, Fate(entry.time, to, disposition, classifier, answer))
        self._finish(message)

    def _known(self, number: str, entry: Entry) -> Message:
        message = self._messages.get(number)
        if message is None:
            message = self._messages[number] = Message(number, entry.time)
            while len(self._messages) > _MOST:
                gone, _ = self._messages.popitem(last=False)
                self._finished.discard(gone)
        return message

    def _settle(self, message: Message, fate: Fate) -> None:
        message.fates[fate.to] = fate
        if not message.probe:
            self._told(message, fate)

    def _finish(self, message: Message) -> None:
        self._finished.add(message.id)
        if not message.probe:
            self._done(message)


def verdict_of(facts: dict[str, Any]) -> Verdict:
    """What the filter says, from its line in the journal."""
    symbols = facts.get("symbols")
    return Verdict(
        word=str(facts.get("verdict", "")),
        score=str(facts.get("score", "")),
        action=str(facts.get("action", "")),
        told=str(facts.get("told", "")),
        symbols=symbols if isinstance(symbols, dict) else {},  # an empty table is a list to Lua
        recipients=tuple(map(str, facts.get("to", ()))),
    )


def verdict_facts(entry: Entry) -> dict[str, Any]:
    """The facts in a line of the filter; empty when it is no verdict."""
    match = _VERDICT.fullmatch(entry.text) if entry.unit == "rspamd" else None
    return _object(match[1]) if match else {}


def joined(messages: Iterable[Message]) -> list[Message]:
    """Messages with the steps of those that they became when the quarantine handed them on; in their order in time."""
    found = sorted(messages, key=lambda one: one.begun)
    by_id = {one.id: one for one in found if one.id}
    whole = []
    for one in found:
        first = by_id.get(one.origin) if one.origin else None
        if first is None:
            whole.append(one)
            continue
        first.steps += [step for step in one.steps if step.to]
        first.fates |= one.fates
    return whole


def _class_of(message: Message, to: str) -> str:
    if message.kinds.get(to):
        return message.kinds[to]
    return message.verdict.classifier if message.verdict else "none"


def _by_proxy(fate: str, answer: str) -> Disposition:
    if fate == "quarantine":
        return Disposition.QUARANTINED
    if fate == "discard":
        return Disposition.DISCARDED
    if answer.startswith("2"):
        return Disposition.DELIVERED
    return Disposition.DELAYED if answer.startswith("4") else Disposition.REJECTED


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(re.sub(r"\\x([0-9A-Fa-f]{2})", r"\\u00\1", text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _keep(table: OrderedDict[Any, _T], name: object, value: _T) -> None:
    table[name] = value
    table.move_to_end(name)
    _trim(table)


def _trim(table: OrderedDict[Any, Any]) -> None:
    while len(table) > _MOST:
        table.popitem(last=False)
