"""The access rules: who may send to everywhere, who may not send at all, in the order in which they are asked."""

from __future__ import annotations

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import DONE, edit, fill, sentence, spaced, within
from installer.wizard.draft import Draft
from installer.wizard.typed import Rule
from installer.wizard.ui import Field, Head, Ui, Way

HELP = """Without a rule, mail to protected domains is taken from anyone, and only who logs in may send to everywhere. \
The first rule that matches decides; everything that it says must be true, and an empty field is any. Choose a rule to \
change it, move it up or remove it."""
RULE_HELP = """Sender and recipient: * is any text and ? any character, /.../ is a regular expression; <> is the null \
sender. Clients are networks or addresses, separated by spaces. Client name: its reverse DNS, confirmed; unknown is \
who has none. Action: relay lets send to everywhere, bypass spares the spam filter too, reject refuses, discard \
takes and forgets. Open relay: yes only if a rule is meant to relay for everyone."""


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
    path = f"access.{index}"

    def entered(values: tuple[str, ...]) -> Rule:
        sender, recipient, client, reverse_dns, *choices = values
        authentication, tls, action, open_relay = map(str.lower, choices)
        return Rule(
            sender=sender,
            recipient=recipient,
            client=spaced(client),
            reverse_dns=reverse_dns,
            authentication=authentication,
            tls=tls,
            action=action,
            open_relay=open_relay,
        )

    def check(values: tuple[str, ...]) -> list[Problem]:
        rules = (*others[:index], entered(values), *others[index + 1 :])
        found = draft.but(rules=rules).problems(profile, "access")
        return [problem for problem in found if within(problem.path, path)]

    fields = [
        Field(f"{path}.sender", "Sender", rule.sender, "*@example.com"),
        Field(f"{path}.recipient", "Recipient", rule.recipient),
        Field(f"{path}.client", "Clients", rule.client, "10.0.0.0/24"),
        Field(f"{path}.reverse_dns", "Client name", rule.reverse_dns, "*.example.com"),
        Field(f"{path}.authentication", "Login", rule.authentication, "any, authenticated or not"),
        Field(f"{path}.tls", "Encrypted", rule.tls, "any, yes or no"),
        Field(f"{path}.action", "Action", rule.action, "relay, bypass, reject or discard"),
        Field(f"{path}.open_relay", "Open relay", rule.open_relay, "yes or no"),
    ]
    answer = fill(
        ui, Head(f"Access rule {index + 1}", "What must be true, and what happens then.", RULE_HELP), fields, check
    )
    return entered(answer.value), answer.way


def _subject(problem: Problem) -> str:
    """The rule that a problem is about, by its number in the list."""
    _, number, *_ = [*problem.path.split("."), ""]
    return f"rule {int(number) + 1}" if number.isdecimal() else ""
