"""What the programs say, put together to the way of each message. The lines are those of a real box."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from overlays.header import plain
from overlays.logs.journal import Entry
from overlays.logs.message import Disposition, Fate, Message, Stage
from overlays.logs.trail import Trail, joined

FIRST, SECOND = "4jZ1jB4YZqz1jZf", "4jZ1jC5MS5z1jbx"
CLIENT = "client.example.net[192.0.2.77]"
ENVELOPE = "from=<eve@example.net> to=<ann@example.com> proto=ESMTP helo=<client.example.net>"
START = datetime(2026, 11, 25, 1, 6, tzinfo=UTC)


class Journal:
    """Says lines one after the other, a tenth of a second apart."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, Disposition, str]] = []
        self.done: list[Message] = []
        self.trail = Trail(self._tell, self.done.append)
        self._number = 0

    def says(self, unit: str, *texts: str, speaker: str = "") -> None:
        for text in texts:
            self._number += 1
            time = START + timedelta(seconds=self._number / 10)
            self.trail.take(Entry(self._number, time, unit, speaker or unit, 6, text))

    def _tell(self, message: Message, fate: Fate) -> None:
        self.told.append((message.id, fate.to, fate.disposition, fate.classifier))


def verdict(
    number: str, word: str = "clean", told: str = "", action: str = "no action", to: str = "ann@example.com"
) -> str:
    facts = {
        "id": number,
        "verdict": word,
        "score": "10.01",
        "told": told,
        "action": action,
        "to": [to],
        "symbols": {"A": 9},
    }
    return f"(rspamd_proxy) <2a4c89>; lua; decide.lua:197: verdict {json.dumps(facts)}"


def came(journal: Journal, number: str = FIRST, port: int = 40573, subject: str = "spam") -> None:
    journal.says("postfix", f"{number}: client={CLIENT}:{port}", speaker="postfix/smtpd")
    journal.says(
        "postfix",
        f"{number}: info: header Subject: {subject} from {CLIENT}:{port}; {ENVELOPE}",
        f"{number}: message-id=<one@example.net>",
        speaker="postfix/cleanup",
    )


def test_a_message_from_connection_to_delivery() -> None:
    journal = Journal()
    journal.says(
        "postfix",
        f"Anonymous TLS connection established from {CLIENT}:40573: TLSv1.3 with cipher X",
        f"connect from {CLIENT}",
    )
    came(journal)
    journal.says("rspamd", verdict(FIRST))
    journal.says(
        "postfix", f"{FIRST}: from=<eve@example.net>, size=602, nrcpt=1 (queue active)", speaker="postfix/qmgr"
    )
    sent = "relay=10.0.0.25[10.0.0.25]:25, delay=1.2, delays=1.2/0/0/0, dsn=2.0.0, status=sent (250 OK (stored))"
    journal.says(
        "postfix", f"{FIRST}: to=<ann@example.com>, orig_to=<ceo@example.com>, {sent}", speaker="postfix/relay/smtp"
    )
    journal.says("postfix", f"{FIRST}: removed", speaker="postfix/qmgr")
    (message,) = journal.done
    assert [step.stage for step in message.steps] == [Stage.CONNECTION, Stage.VERDICT, Stage.QUEUE, Stage.DELIVERY]
    assert "TLSv1.3" in message.steps[0].text
    assert (message.sender, message.subject, message.message_id) == ("eve@example.net", "spam", "one@example.net")
    assert journal.told == [(FIRST, "ann@example.com", Disposition.DELIVERED, "clean")]
    assert list(journal.trail.unfinished()) == []
    for word in ("<one@example.net>", "ANN@example.com", FIRST, "eve@example.net"):
        assert message.has(word)
    assert not message.has("bob@example.com")


def test_spam_for_two_goes_two_ways() -> None:
    journal = Journal()
    came(journal)
    journal.says("rspamd", verdict(FIRST, "spam"))
    agent = f"id={FIRST} score=10.01 way="
    journal.says(
        "dovecot", "lmtp(ann@example.com)<355><Sk7oLZ40>: sieve: msgid=<one@example.net>: fileinto action: stored"
    )
    onward = f"{SECOND}: client=localhost[127.0.0.1]:60236, orig_queue_id={FIRST}"
    journal.says("postfix", onward, speaker="postfix/onward/smtpd")
    journal.says("postfix", f"{SECOND}: message-id=<one@example.net>")
    journal.says(
        "postern-quarantine",
        f"{agent}keep kind=spam owner=<ann@example.com> to=<ann@example.com> said=250 2.0.0 keep",
        f"{agent}deliver kind=spam owner=<> to=<cid@example.net> said=250 2.0.0 deliver",
    )
    by_agent = "relay=mx[/run/agent.sock], delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (250 2.0.0"
    journal.says(
        "postfix",
        f"{FIRST}: to=<ann@example.com>, {by_agent} keep)",
        f"{FIRST}: to=<cid@example.net>, {by_agent} deliver)",
        f"{FIRST}: removed",
        speaker="postfix/agent/lmtp",
    )
    refused = (
        "relay=none, delay=1, delays=1/0/0/0, dsn=4.4.1, status=deferred (connect to 10.0.0.26: Connection refused)"
    )
    journal.says("postfix", f"{SECOND}: to=<cid@example.net>, {refused}", speaker="postfix/relay/smtp")
    journal.says(
        "postfix", f"{SECOND}: from=<eve@example.net>, status=expired, returned to sender", f"{SECOND}: removed"
    )
    assert journal.told == [
        (FIRST, "ann@example.com", Disposition.QUARANTINED, "spam"),
        (SECOND, "cid@example.net", Disposition.DEFERRED, "spam"),
        (SECOND, "cid@example.net", Disposition.BOUNCED, "spam"),
    ]
    (whole,) = joined(journal.done)
    assert {to: fate.disposition for to, fate in whole.fates.items()} == {
        "ann@example.com": Disposition.QUARANTINED,
        "cid@example.net": Disposition.BOUNCED,
    }
    texts = [step.text for step in whole.steps if step.to == "ann@example.com"]
    assert texts == ["fileinto action: stored", "kept for ann@example.com as spam"]


def test_what_the_quarantine_releases_is_released() -> None:
    journal = Journal()
    came(journal)
    by_agent = "relay=mx[/run/agent.sock], delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 keep)"
    journal.says(
        "postfix", f"{FIRST}: to=<ann@example.com>, {by_agent}", f"{FIRST}: removed", speaker="postfix/agent/lmtp"
    )
    journal.says("postfix", f"{SECOND}: client=localhost[127.0.0.1]:60236, orig_queue_id={FIRST}")
    sent = "relay=10.0.0.25[10.0.0.25]:25, delay=1, delays=1/0/0/0, dsn=2.0.0, status=sent (250 OK)"
    journal.says(
        "postfix", f"{SECOND}: to=<ann@example.com>, {sent}", f"{SECOND}: removed", speaker="postfix/relay/smtp"
    )
    assert [fate[2] for fate in journal.told] == [Disposition.QUARANTINED, Disposition.RELEASED]


def test_a_refusal_by_the_filter_is_one_for_each_recipient() -> None:
    journal = Journal()
    came(journal)
    facts = verdict(FIRST, "spam", "virus found: Eicar", "reject").replace(
        '["ann@example.com"]', '["ann@example.com", "bob@example.com"]'
    )
    journal.says("rspamd", facts)
    journal.says(
        "postfix", f"{FIRST}: milter-reject: END-OF-MESSAGE from {CLIENT}: 5.7.1 virus found: Eicar; {ENVELOPE}"
    )
    journal.says("postfix", f"{FIRST}: removed (canceled)")
    assert journal.told == [(FIRST, to, Disposition.REJECTED, "virus") for to in ("ann@example.com", "bob@example.com")]


def test_a_refusal_before_there_is_a_message_has_its_rule() -> None:
    journal = Journal()
    rule = "rule=1 action=reject client_address=<192.0.2.77> client_port=<41029> sender=<eve@example.net> recipient="
    journal.says("postern-access", f"{rule}<ann@example.com> answer=REJECT")
    refused = (
        f"NOQUEUE: reject: RCPT from {CLIENT}:41029: 554 5.7.1 <ann@example.com>: refused by access rule; {ENVELOPE}"
    )
    journal.says("postfix", refused, speaker="postfix/smtpd")
    journal.says(
        "postfix",
        f"NOQUEUE: reject: RCPT from {CLIENT}:41029: 450 4.1.1 <x@example.com>: unverified address; {ENVELOPE}",
    )
    first, second = journal.done
    assert [step.text for step in first.steps if step.stage is Stage.ACCESS] == ["rule 1: reject"]
    assert (first.client, first.sender, first.recipients) == (CLIENT, "eve@example.net", ["ann@example.com"])
    assert [fate[2:] for fate in journal.told] == [
        (Disposition.REJECTED, "access rule"),
        (Disposition.DELAYED, "unverified recipient"),
    ]
    assert not any(step.stage is Stage.ACCESS for step in second.steps)


def test_a_rule_that_is_heard_late_comes_to_its_message() -> None:
    journal = Journal()
    came(journal)
    rule = "rule=2 action=relay client_address=<192.0.2.77> client_port=<40573> sender=<eve@example.net>"
    journal.says("postern-access", f"{rule} recipient=<ann@example.com> answer=access_relay")
    (message,) = journal.trail.unfinished()
    assert "rule 2: relay" in [step.text for step in message.steps]


def test_postfix_own_questions_are_no_messages() -> None:
    journal = Journal()
    journal.says("postfix", f"{FIRST}: message-id=<{FIRST}@mx>", f"{FIRST}: from=<>, size=223, nrcpt=1 (queue active)")
    asked = "relay=10.0.0.25[10.0.0.25]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=deliverable (250 OK)"
    journal.says("postfix", f"{FIRST}: to=<ann@example.com>, {asked}", f"{FIRST}: removed")
    journal.says(
        "postfix", "NOQUEUE: milter-reject: CONNECT from localhost[127.0.0.1]:5: 451 4.7.1 Service; proto=SMTP"
    )
    journal.says("postfix", "warning: connect to Milter service inet:127.0.0.1:11332: Connection refused")
    assert (journal.told, journal.done, list(journal.trail.unfinished())) == ([], [], [])


def test_what_a_stranger_writes_cannot_pose_as_the_rest() -> None:
    journal = Journal()
    forged = "x from evil[1.2.3.4]:1; from=<ceo@example.com> to=<a@b.example> proto=ESMTP helo=<x>"
    came(journal, subject=forged)
    journal.says("postfix", f"{FIRST}: message-id=<x>, orig_queue_id={SECOND}>")
    (message,) = journal.trail.unfinished()
    assert (message.client, message.origin, message.subject) == (CLIENT, "", forged)


@pytest.mark.parametrize("told_before", ["", "; reputation is not known: no answer", "; 0123456789.0: {}"])
def test_what_the_proxy_read_along(told_before: str) -> None:
    """How a session began stands in the first line of it, with a message or with whatever else there was to tell."""
    journal = Journal()
    number, begun = "0123456789.1", "0123456789: incoming from 192.0.2.77 to 192.0.2.25"
    journal.says("rspamd", verdict(number, "spam"))
    facts = {
        "from": "eve@example.net",
        "to": ["ann@example.com"],
        "message_id": "<p@x>",
        "subject": "s",
        "fate": "quarantine",
    }
    told = f"{number}: {json.dumps(facts | {'answer': '250 2.0.0 OK'})}"
    if told_before:
        journal.says("postern-proxy", begun + told_before)
        journal.says("postern-proxy", f"0123456789: {told}")
    else:
        journal.says("postern-proxy", f"{begun}; {told}")
    assert journal.told == [(number, "ann@example.com", Disposition.QUARANTINED, "spam")]
    assert "[192.0.2.77], read along to [192.0.2.25] (incoming)" in journal.done[-1].steps[0].text


def test_nothing_grows_without_end() -> None:
    journal = Journal()
    for number in range(6000):
        journal.says("postfix", f"4jZ1jB4YZq{number:05}: client={CLIENT}:{number}".replace("a", "b"))
    assert sum(1 for _ in journal.trail.unfinished()) == 5000


def test_subjects_are_plain() -> None:
    assert plain("=?x-none?q?=ff?=") == "=?x-none?q?=ff?="
    assert plain("=?utf-8?q?Gr=C3=BC=C3=9Fe_aus?= Bonn") == "Grüße aus Bonn"
    assert plain("a\x1b[31mb") == "a [31mb"
