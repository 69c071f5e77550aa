"""The agent: Postfix hands it, by LMTP, every message that could be spam for one of its recipients, and it answers for
each recipient on its own: delivered on, marked, kept for its recipient or for the administrator. What is addressed to
the quarantine itself it does.

It keeps nothing itself. A recipient has its 250 when the next hop has said 250. All else is an answer of 451, and
Postfix, in whose queue the message still is, asks again for that recipient alone.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import socket
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from hardware.host import notify
from overlays.quarantine import carry, commands, message, policy
from overlays.quarantine.begun import Begun
from overlays.quarantine.carry import Letter, NotTaken
from overlays.quarantine.filing import ROOM, Filing
from overlays.quarantine.keys import link_key
from overlays.quarantine.policy import SYSTEM, Decision, Personal, Policy, Way
from overlays.quarantine.records import Records
from overlays.quarantine.store import Mailbox

log = logging.getLogger("agent")

_LISTENING, _FILING = 3, 4  # the descriptors that systemd hands over
_LONGEST_LINE = 1 << 30  # Postfix has limited the whole message; its lines are as long as its sender made them
_LONGEST = 3600.0  # Postfix waits as long (master.cf): a session that one side gave up would be done twice


class Server(LMTP):
    """aiosmtpd's LMTP, for a client that has checked the addresses already."""

    line_length_limit = _LONGEST_LINE

    async def push(self, status: str | bytes) -> None:
        """With the code that ENHANCEDSTATUSCODES promises; the answers to a connection and to LHLO have none."""
        text = status if isinstance(status, str) else status.decode()
        await super().push(re.sub(r"^(?!220)([245])(\d\d) (?!\d\.\d|HELP$)", r"\1\2 \1.0.0 ", text))

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """Any address between angle brackets, as Postfix took it: a refusal here would lose its mail."""
        match = re.fullmatch(r"\s*<(.*)>\s*([^>]*)", arg)
        return (match[1] or "<>", match[2]) if match else (None, None)


class Agent:
    """aiosmtpd's handler: one answer a recipient."""

    def __init__(self, policy_file: Path, records: Records, key: bytes) -> None:
        self._policy_file = policy_file
        self._records = records
        self._key = key

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, session: Session, _envelope: Envelope, host_name: str, offered: list[str]
    ) -> list[str]:
        """The answer to LHLO, with what RFC 2033 wants of every LMTP server."""
        session.host_name = host_name
        return [*offered[:-1], "250-PIPELINING", "250-ENHANCEDSTATUSCODES", offered[-1]]

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        letter = Letter((envelope.mail_from or "").removeprefix("<>"), envelope.original_content or b"")
        try:
            answers = await asyncio.to_thread(self.answers, letter, envelope.rcpt_tos)
        except Exception as failure:  # nothing was done yet: the message stays in the queue, the journal says why
            log.exception("no answer")
            answers = [_again(str(failure))] * len(envelope.rcpt_tos)
        return "\r\n".join(answers)

    def answers(self, letter: Letter, recipients: Sequence[str]) -> list[str]:
        """What is said of each recipient, in their order, after it was done."""
        now = policy.load(self._policy_file)
        judged = message.judgement(letter.raw)
        origin = message.origin(letter.raw, letter.sender)
        groups: defaultdict[Decision, list[str]] = defaultdict(list)
        for recipient in dict.fromkeys(recipients):
            owner = now.owner_of(recipient)
            personal = Personal(self._records.welcomed(owner), self._records.blocked(owner))
            groups[policy.decide(now, judged, origin, recipient, personal)].append(recipient)
        said: dict[str, str] = {}
        for decision, group in groups.items():
            failures = self._done(now, letter, decision, group)
            said |= {one: _again(failures[one]) if one in failures else f"250 2.0.0 {decision.way}" for one in group}
        facts = f"id={message.queue_id(letter.raw)} score={judged.score:.2f}"
        for decision, group in groups.items():
            done = f"way={decision.way.name.lower()} kind={decision.kind} owner=<{decision.owner}>"
            for recipient in group:
                log.info("%s %s to=<%s> said=%s", facts, done, recipient, said[recipient])
        return [said[recipient] for recipient in recipients]

    def _done(self, now: Policy, letter: Letter, decision: Decision, recipients: Sequence[str]) -> dict[str, str]:
        """Do what was decided. Returns what kept it from being done, for each recipient for whom it was not.

        Nothing is raised here: what was done for others stands, and must not be done again.
        """
        if decision.way is Way.DROP:
            return {}
        if decision.way not in (Way.KEEP, Way.COMMAND):
            return carry.onward(_as_decided(now, letter, decision), recipients)
        failures = {}
        for recipient in recipients:
            try:
                if decision.way is Way.COMMAND:
                    commands.obey(now, self._key, letter, recipient)
                else:
                    self._keep(now, letter, decision, recipient)
            except NotTaken as failure:
                failures[recipient] = str(failure)
            except Exception as failure:
                log.exception("not done for %s", recipient)
                failures[recipient] = str(failure)
        return failures

    def _keep(self, now: Policy, letter: Letter, decision: Decision, recipient: str) -> None:
        """Into its mailbox; where the store will never have such a mailbox, into the administrator's.

        The store can die between filing and answering, and so can we: a message that comes again is looked for first.
        """
        owner, mark = decision.owner, carry.mark(letter, recipient)
        ago = self._records.begin(owner, mark)
        if ago is not None:
            if Mailbox(now, owner).holds(mark):
                return
            if ago < carry.UNDER_WAY:
                raise NotTaken("it may be under way")
            self._records.begin_again(owner, mark)
        try:
            carry.into_store(letter, owner, recipient, decision.kind)
        except NotTaken as failure:
            if not failure.unheard:
                self._records.settle(owner, mark)
            if not failure.final or owner == SYSTEM:
                raise
            self._keep(now, letter, Decision(Way.KEEP, SYSTEM, decision.kind), recipient)


def _as_decided(now: Policy, letter: Letter, decision: Decision) -> Letter:
    if decision.way is Way.MARK_SUBJECT:
        return Letter(letter.sender, message.marked(letter.raw, now.subject_mark))
    if decision.way is Way.MARK_HEADER:
        return Letter(letter.sender, message.with_fields(letter.raw, [(message.MARK, "Yes")]))
    return letter


def _again(why: str) -> str:
    return f"451 4.3.0 {' '.join(why.split())[:300]}"


def session(handler: object, loop: asyncio.AbstractEventLoop) -> Server:
    """The protocol of one connection."""
    return Server(
        handler, data_size_limit=None, enable_SMTPUTF8=True, hostname="localhost", timeout=_LONGEST, loop=loop
    )


async def serve(agent: Agent, filing: Filing, listening: socket.socket, storing: socket.socket) -> None:
    """Answer until the process is asked to end; what the agent does is done to its end."""
    loop = asyncio.get_running_loop()
    servers = (
        await loop.create_unix_server(lambda: session(agent, loop), sock=listening),
        await asyncio.start_unix_server(filing.connection, sock=storing, limit=ROOM),
    )
    await notify.serving()
    for server in servers:
        server.close()


def main() -> None:
    """What postern-quarantine.service runs, with the socket from systemd."""
    parser = argparse.ArgumentParser(prog="postern-quarantine-agent", description=__doc__)
    parser.add_argument("policy", type=Path, help="the rendered policy")
    parser.add_argument("--check", action="store_true", help="only read the policy")
    arguments = parser.parse_args()
    policy.load(arguments.policy)
    if not arguments.check:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd's own, a line for each command
        agent = Agent(arguments.policy, Records(), link_key())
        filing = Filing(arguments.policy, Begun())
        asyncio.run(serve(agent, filing, socket.socket(fileno=_LISTENING), socket.socket(fileno=_FILING)))
