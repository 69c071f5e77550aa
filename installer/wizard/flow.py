"""The order of the pages: forward and back, the draft kept after each one, and the review at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hardware.host.cards import HERE, Cards
from hardware.host.errors import Problem, Refused
from hardware.profile import HardwareProfile
from installer.wizard.asking import sentence
from installer.wizard.draft import Draft
from installer.wizard.pages import (
    access,
    admin,
    clock,
    domains,
    filtering,
    keyboard,
    logs,
    mailhost,
    mode,
    network,
    review,
    smarthost,
    transparent,
    users,
    web,
)
from installer.wizard.pages.review import Action
from installer.wizard.ui import Ui, Way
from overlays.settings import Secrets, Settings

Ask = Callable[[Ui, Draft, HardwareProfile], tuple[Draft, Way]]
Keep = Callable[[Draft], None]
REVIEW = "review"


@dataclass(frozen=True)
class Finished:
    """What the person decided, and what is to be done with it: apply or save."""

    draft: Draft
    settings: Settings
    secrets: Secrets = field(repr=False)
    action: Action


def screens(draft: Draft, cards: Cards, *, screen: bool = False) -> dict[str, Ask]:
    """The pages in their order, by name; with `screen` those of the box's screen, which has a keyboard."""
    return {
        "mode": mode.ask,
        **({"keyboard": keyboard.ask} if screen else {}),
        "administrator": admin.ask,
        **dict(network.screens(draft, cards)),
        "clock": clock.ask,
        "mail host": mailhost.ask,
        "domains": domains.ask,
        **(dict(transparent.screens(draft)) if draft.bridges else {}),
        **({"users": users.ask} if draft.keeps_mailboxes else {}),
        **dict(filtering.screens()),
        "access rules": access.ask,
        "smart host": smarthost.ask,
        "certificate": web.ask,
        "log server": logs.ask,
    }


def run(
    ui: Ui,
    profile: HardwareProfile,
    draft: Draft,
    keep: Keep,
    problems: Sequence[Problem] = (),
    cards: Cards = HERE,
    *,
    screen: bool = False,
) -> Finished | None:
    """Ask from the draft's screen on until the review says what to do; None when the person goes back past the start.

    `problems` are what the last attempt to apply came back with: the review shows them first. `cards` are the ports of
    the machine that is asked on, `screen` whether it is asked on the box's own.
    """
    names = [*screens(draft, cards, screen=screen), REVIEW]
    here = names.index(draft.screen) if draft.screen in names else 0
    while here >= 0:
        asks = screens(draft, cards, screen=screen)  # the mode decides which there are
        names = [*asks, REVIEW]
        draft = draft.but(screen=names[here])
        keep(draft)
        if names[here] == REVIEW:
            outcome = _review(ui, profile, draft, keep, asks, problems)
            if isinstance(outcome, Finished):
                return outcome
            draft, way, problems = outcome, Way.BACK, ()
        else:
            draft, way = asks[names[here]](ui, draft, profile)
            keep(draft)
        here += 1 if way is Way.NEXT else -1
    return None


def first(
    ui: Ui,
    profile: HardwareProfile,
    draft: Draft,
    keep: Keep,
    page: str,
    cards: Cards = HERE,
    *,
    screen: bool = False,
) -> Draft | None:
    """The screens of one page, and then the review; None when the person goes back past the first.

    The keyboard is asked for on any terminal, if it is that page.
    """
    asks = screens(draft, cards, screen=screen or page == "keyboard")
    names = [name for name in asks if name == page or name.startswith(f"{page} ")]
    here = 0
    while here < len(names):
        draft, way = asks[names[here]](ui, draft, profile)
        here += 1 if way is Way.NEXT else -1
        if here < 0:
            return None
    keep(draft := draft.but(screen=REVIEW))
    return draft


def _review(
    ui: Ui, profile: HardwareProfile, draft: Draft, keep: Keep, asks: dict[str, Ask], problems: Sequence[Problem]
) -> Finished | Draft:
    """The review and the corrections made from it; a draft means back."""
    shown = [str(problem) for problem in problems]  # with what said so: a parser, a service
    while True:
        against = objections(draft, profile)
        answer = review.ask(ui, draft, [*against, *shown], ready=not against)
        if answer.way is Way.BACK:
            return draft
        action = Action(answer.value)
        if action is not Action.CHANGE:
            return Finished(draft, draft.settings(), draft.finished_secrets(), action)
        page = review.choose_page(ui, list(asks))
        if page.way is Way.NEXT:
            draft, _ = asks[page.value](ui, draft, profile)
            keep(draft)
            shown = []


def objections(draft: Draft, profile: HardwareProfile) -> list[str]:
    """Why the draft cannot be applied, in sentences that name the setting."""
    found = draft.problems(profile)
    try:
        draft.finished_secrets()
    except Refused as refused:
        unset = Problem("", "administrator", "the password has to be typed again", "it is never stored with a draft")
        found = [*found, *(refused.problems if draft.password else [unset])]
    if draft.smarthost.host and draft.smarthost.user and not draft.has_smarthost_password():
        found = [*found, Problem("", "smart host", "the password has to be typed", "it is never stored with a draft")]
    return [sentence(problem, problem.path) for problem in found]
