"""Release and delete by mail: the subject carries the word that a report gave, the sender is its owner."""

from __future__ import annotations

import logging
import re

from overlays.quarantine import links, message
from overlays.quarantine.carry import Letter, NotTaken
from overlays.quarantine.links import Act
from overlays.quarantine.policy import Policy
from overlays.quarantine.store import Away, Mailbox

log = logging.getLogger("agent")


def obey(policy: Policy, key: bytes, letter: Letter, recipient: str) -> None:
    """Do what a message to a control address asks for, if it may. Raises `NotTaken` when it should be asked again.

    What may not be done is dropped with a line in the journal: an answer would go to whoever was named as its sender.
    """
    acts = {policy.release: Act.RELEASE, policy.delete: Act.DELETE}
    act = acts.get(recipient.rpartition("@")[0].lower())
    words = re.findall(r"[A-Za-z0-9_-]{40,}", message.first(letter.raw, "Subject"))
    link = next((link for word in words if (link := links.opened(key, word))), None)
    senders = {policy.owner_of(letter.sender), policy.owner_of(message.author(letter.raw))}
    if link is None or link.act is not act or senders != {link.owner}:
        log.info("control message from=<%s> to=<%s> has no right to what it asks for", letter.sender, recipient)
        return
    mailbox = Mailbox(policy, link.owner)
    try:
        done = mailbox.release(link.message) if act is Act.RELEASE else mailbox.delete([link.message])
    except Away as failure:
        raise NotTaken(f"the quarantine does not answer: {failure}") from failure
    log.info("%s by mail owner=<%s> message=%s %s", act, link.owner, link.message, "done" if done else "was gone")
