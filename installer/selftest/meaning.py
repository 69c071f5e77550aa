"""What right looks like for the settings in force, and what a message that went another way says of the box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from installer.preflight.finding import Finding, bad, good, look
from installer.selftest import state
from installer.selftest.letters import Kind
from installer.selftest.way import Sent
from overlays import selftest
from overlays.access.settings import Action
from overlays.filtering.settings import Antispam, SpamAction
from overlays.logs.message import Disposition
from overlays.settings import Settings

_KEPT = {
    SpamAction.QUARANTINE: "kept in the quarantine",
    SpamAction.SUBJECT: "marked in its subject",
    SpamAction.HEADER: "marked in its header",
}
# By words of an answer, what to do.
_HINTS = {
    "virus scanner does not answer": "does clamav-daemon run, and has it definitions? `postern status` says it",
    "Service unavailable": "does rspamd run? `postern status` says it, `postern log mail` may say why",
    "Cannot be checked now": "does rspamd run? `postern status` says it, `postern log mail` may say why",
    "nsufficient system storage": "the queue is full: `postern status` shows what waits",
    "Queue file write error": "the queue is full: `postern status` shows what waits",
    "no answer": "does Postfix run? `postern log mail` may say why",
    "access rule": "the rule above is about everybody",
    "Service closing": "does Postfix run? `postern log mail` may say why",
}
_ANEW = "`postern apply` writes the configuration anew and starts what does not run"


@dataclass(frozen=True)
class Wish:
    """What some protected domains want alike: how many they are, and the first."""

    domain: str
    others: int
    filters: bool  # anything looks at messages at all
    antispam: bool
    refuses: bool  # spam beyond doubt
    spam: SpamAction
    antivirus: bool

    @property
    def recipient(self) -> str:
        return selftest.address(self.domain)

    @property
    def about(self) -> str:
        return f"{self.domain} and {self.others} more" if self.others else self.domain


def wishes(settings: Settings) -> Iterator[Wish]:
    """One for all domains that want the same; domains with lists of their own are asked by themselves."""
    rule = state.deciding(settings)
    passed = rule is not None and rule[1].action in (Action.BYPASS, Action.DISCARD)
    rows = {row.name: row for row in settings.filtering_rows}
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for domain in settings.domains:
        alike[rows[domain.name].json].append(domain.name)
    for first, *others in alike.values():
        chosen = rows[first].chosen
        yield Wish(
            domain=first,
            others=len(others),
            filters=settings.filters,
            antispam=chosen.antispam is not Antispam.OFF and not passed,
            refuses=chosen.reject,
            spam=chosen.spam,
            antivirus=chosen.antivirus,
        )


def finding(kind: Kind, wish: Wish, sent: Sent) -> Finding:
    """What one message says of the box."""
    if not sent.taken and sent.code < 500:
        said = f"put off: {sent.answer}" if sent.code else sent.answer
        return bad(kind, wish.about, said, _hint(sent.answer))
    if sent.taken and (stopped := _stopped(kind, wish, sent)):
        return stopped
    return {Kind.CLEAN: _clean, Kind.SPAM: _spam, Kind.VIRUS: _virus}[kind](wish, sent)


def _stopped(kind: Kind, wish: Wish, sent: Sent) -> Finding | None:
    """A message that was taken, and did not come to its end, or that nobody has looked at."""
    if wish.filters and (sent.seen is None or sent.seen.verdict is None):
        return bad(kind, wish.about, "taken, and nobody has looked at it", f"mail passes UNFILTERED: {_ANEW}")
    if not sent.fates or Disposition.DEFERRED in sent.fates:
        why = "; ".join(fate.detail for fate in sent.seen.fates.values() if fate.detail) if sent.seen else ""
        return bad(kind, wish.about, f"taken, and waits in the queue{f': {why}' if why else ''}", _ANEW)
    if Disposition.DELIVERED in sent.fates and not sent.arrived:
        return bad(kind, wish.about, "taken, and did not come out whole", "`postern log mail` may say why")
    return None


def _clean(wish: Wish, sent: Sent) -> Finding:
    if not sent.taken:
        return bad(Kind.CLEAN, wish.about, f"refused: {sent.answer}", _hint(sent.answer))
    if not wish.filters:
        return look(Kind.CLEAN, wish.about, "taken; the settings filter nothing", "filtering.incoming says what")
    if _word(sent) != "clean":
        said = f"taken for {_word(sent)}: {_verdict(sent)}"
        return bad(Kind.CLEAN, wish.about, said, "real mail may be too: `postern log antispam`")
    return good(Kind.CLEAN, wish.about, f"taken, found clean, score {_score(sent)}")


def _spam(wish: Wish, sent: Sent) -> Finding:
    if not wish.antispam:
        if sent.taken:
            said, hint = "taken: nobody judges spam here, by the settings", "filtering.incoming.antispam: medium would"
            return look(Kind.SPAM, wish.about, said, hint)
        return bad(Kind.SPAM, wish.about, f"refused, though nobody is to judge spam: {sent.answer}", _ANEW)
    if not sent.taken:
        return good(Kind.SPAM, wish.about, f"refused: {sent.answer}")
    if _word(sent) != "spam":
        return bad(Kind.SPAM, wish.about, f"taken as {_word(sent)}, score {_score(sent)}", _ANEW)
    if wish.refuses:
        hint = "does a welcome list hold for everybody?"
        return bad(Kind.SPAM, wish.about, "taken as spam, where the settings refuse it", hint)
    return good(Kind.SPAM, wish.about, f"found to be spam, which the settings want {_KEPT[wish.spam]}")


def _virus(wish: Wish, sent: Sent) -> Finding:
    if wish.antivirus and not sent.taken:
        return good(Kind.VIRUS, wish.about, f"refused: {sent.answer}")
    if wish.antivirus:
        hint = "the scanner does not know EICAR: its definitions are missing; `postern definitions`"
        return bad(Kind.VIRUS, wish.about, "taken: viruses come through", hint)
    if sent.taken:
        said, hint = "taken: nobody looks for viruses here, by the settings", "filtering.incoming.antivirus: true would"
        return look(Kind.VIRUS, wish.about, said, hint)
    return bad(Kind.VIRUS, wish.about, f"refused, though nobody is to look for viruses: {sent.answer}", _ANEW)


def _word(sent: Sent) -> str:
    return sent.seen.verdict.word if sent.seen and sent.seen.verdict else "nothing"


def _score(sent: Sent) -> str:
    return sent.seen.verdict.score if sent.seen and sent.seen.verdict else "unknown"


def _verdict(sent: Sent) -> str:
    return str(sent.seen.verdict) if sent.seen and sent.seen.verdict else "no verdict"


def _hint(answer: str) -> str:
    return next((hint for words, hint in _HINTS.items() if words in answer), "`postern log mail` may say why")
