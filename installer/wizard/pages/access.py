"""The access rules: who may send to everywhere, who may not send at all, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import DONE, edit, fill, sentence, spaced, within
from installer.wizard.draft import Draft
from installer.wizard.typed import Rule
from installer.wizard.ui import Field, Head, Ui, Way

HELP = """Without a rule, mail to protected domains is taken from anyone, and only who logs in may send to everywhere. \
The first rule that matches decides; everything that it says must be true, and an empty field is any. Choose a rule to \
change it, move it up or remove it."""
WHOM_HELP = """Sender and recipient: * is any text and ? any character, /.../ is a regular expression; <> is the null \
sender. Clients are networks or addresses, separated by spaces. Client name: its reverse DNS, confirmed; unknown is \
who has none."""
WHAT_HELP = """Login: whether the client has logged in. Encrypted: whether the connection is. Action: relay lets send \
to everywhere, bypass spares the spam filter too, reject refuses, discard takes and forgets. Open relay: yes only if a \
rule is meant to relay for everyone."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the list. What was typed for a rule that was not added in the end is kept for the next try."""
    typed = draft.new_rule

    def ask_one(rules: tuple[Rule, ...], index: int) -> tuple[Rule, ...]:
        nonlocal typed
        new = index == len(rules)
        rule, way = _ask_one(ui, draft, profile, rules, index, typed if new else rules[index])
        if new:
            typed = rule if way is Way.BACK else Rule()
        return (*rules[:index], rule, *rules[index + 1 :]) if way is Way.NEXT else rules

    def check(rules: tuple[Rule, ...]) -> list[str]:
        return [sentence(problem, _subject(problem)) for problem in draft.but(rules=rules).problems(profile, "access")]

    answer = edit(
        ui,
        Head("Access rules", "Who may send by this box, and who may not. The first rule that matches decides.", HELP),
        draft.rules,
        noun="rule",
        label=str,
        ask=ask_one,
        check=check,
        start=DONE,
    )
    return draft.but(rules=answer.value, new_rule=typed), answer.way


def _ask_one(
    ui: Ui, draft: Draft, profile: HardwareProfile, others: tuple[Rule, ...], index: int, rule: Rule
) -> tuple[Rule, Way]:
    """Ask whom the rule is for, then what it does; back from that leads to whom."""

    def problems(rule: Rule) -> list[Problem]:
        return draft.but(rules=(*others[:index], rule, *others[index + 1 :])).problems(profile, "access")

    while True:
        rule, way = _ask_whom(ui, rule, index, problems)
        if way is Way.BACK:
            return rule, way
        rule, way = _ask_what(ui, rule, index, problems)
        if way is Way.NEXT:
            return rule, way


def _ask_whom(ui: Ui, rule: Rule, index: int, problems: Callable[[Rule], list[Problem]]) -> tuple[Rule, Way]:
    path = f"access.{index}"

    def entered(values: tuple[str, ...]) -> Rule:
        sender, recipient, client, name = values
        whom = {"sender": sender, "recipient": recipient, "client": spaced(client), "reverse_dns": name}
        return rule.model_copy(update=whom)

    def check(values: tuple[str, ...]) -> list[Problem]:
        """What is wrong whatever the rule does: a rule that rejects makes no open relay."""
        found = problems(entered(values).model_copy(update={"action": "reject"}))
        return [problem for problem in found if any(within(problem.path, field.path) for field in fields)]

    fields = [
        Field(f"{path}.sender", "Sender", rule.sender, "*@example.com"),
        Field(f"{path}.recipient", "Recipient", rule.recipient),
        Field(f"{path}.client", "Clients", rule.client, "10.0.0.0/24"),
        Field(f"{path}.reverse_dns", "Client name", rule.reverse_dns, "*.example.com"),
    ]
    head = Head(f"Access rule {index + 1}", "Whom it is for. What is empty may be anything.", WHOM_HELP)
    answer = fill(ui, head, fields, check)
    return entered(answer.value), answer.way


def _ask_what(ui: Ui, rule: Rule, index: int, problems: Callable[[Rule], list[Problem]]) -> tuple[Rule, Way]:
    path = f"access.{index}"

    def entered(values: tuple[str, ...]) -> Rule:
        authentication, tls, action, open_relay = map(str.lower, values)
        what = {"authentication": authentication, "tls": tls, "action": action, "open_relay": open_relay}
        return rule.model_copy(update=what)

    def check(values: tuple[str, ...]) -> list[Problem]:
        return [problem for problem in problems(entered(values)) if within(problem.path, path)]

    fields = [
        Field(f"{path}.authentication", "Login", rule.authentication, "any, authenticated or not"),
        Field(f"{path}.tls", "Encrypted", rule.tls, "any, yes or no"),
        Field(f"{path}.action", "Action", rule.action, "relay, bypass, reject or discard"),
        Field(f"{path}.open_relay", "Open relay", rule.open_relay, "yes or no"),
    ]
    head = Head(f"Access rule {index + 1}", "What else must be true, and what happens then.", WHAT_HELP)
    answer = fill(ui, head, fields, check)
    return entered(answer.value), answer.way


def _subject(problem: Problem) -> str:
    """The rule that a problem is about, by its number in the list."""
    _, number, *_ = [*problem.path.split("."), ""]
    return f"rule {int(number) + 1}" if number.isdecimal() else ""
