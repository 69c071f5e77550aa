"""Questions made of questions: a form asked until it is right, and a list that can be edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from hardware.host.errors import Problem
from installer.wizard.ui import Answer, Choice, Field, Head, Ui, Way

Item = TypeVar("Item")
ADD, DONE, CHANGE, REMOVE, UP = "add", "done", "change", "remove", "up"


def within(path: str, setting: str) -> bool:
    """Whether a problem's path lies in a setting: `network.dns.0` lies in `network.dns`."""
    return path == setting or path.startswith(f"{setting}.")


def sentence(problem: Problem, subject: str = "") -> str:
    """A problem as a person reads it on the page; the file and the path are what the page itself shows."""
    return str(replace(problem, where="", path=subject))


def spaced(text: str) -> str:
    """A list as typed, with commas or spaces, separated by single spaces."""
    return " ".join(text.replace(",", " ").split())


def fill(
    ui: Ui, head: Head, fields: Sequence[Field], check: Callable[[tuple[str, ...]], Sequence[Problem]]
) -> Answer[tuple[str, ...]]:
    """A form, asked again with everything typed still in it until `check` finds nothing or the person goes back."""
    while True:
        answer = ui.form(head, fields)
        problems = () if answer.way is Way.BACK else check(answer.value)
        if not problems:
            return answer
        fields = [
            replace(field, value=value, problem=_about(field, problems))
            for field, value in zip(fields, answer.value, strict=True)
        ]
        paths = [field.path for field in fields]
        rest = [problem for problem in problems if not any(within(problem.path, path) for path in paths)]
        head = replace(head, problems=tuple(sentence(problem, problem.path) for problem in rest))


def _about(field: Field, problems: Sequence[Problem]) -> str:
    return "; ".join(sentence(problem) for problem in problems if within(problem.path, field.path))


def edit(
    ui: Ui,
    head: Head,
    items: tuple[Item, ...],
    *,
    noun: str,
    name: Callable[[Item], str] | None = None,
    label: Callable[[Item], str],
    ask: Callable[[tuple[Item, ...], int], tuple[Item, ...]],
    check: Callable[[tuple[Item, ...]], Sequence[str]],
    start: str = ADD,
) -> Answer[tuple[Item, ...]]:
    """A list, shown with what can be done to it, until the person is done and `check` has no sentence against it.

    `ask` shows the form of the item at an index (the length of the list for a new one) and returns the new list.
    Without `name` the order matters: items have numbers, and can be moved. `start` is what an empty list offers first.
    """
    while True:
        rows = [Choice(name(item) if name else str(place), label(item)) for place, item in enumerate(items, start=1)]
        verbs = [Choice(ADD, f"Add a {noun}"), Choice(DONE, "Go on")]
        answer = ui.menu(head, rows + verbs, DONE if items else start)
        if answer.way is Way.BACK:
            return Answer(Way.BACK, items)
        head = replace(head, problems=())
        if answer.value == ADD:
            items = ask(items, len(items))
        elif answer.value == DONE:
            head = replace(head, problems=tuple(check(items)))
            if not head.problems:
                return Answer(Way.NEXT, items)
        else:
            index = [row.name for row in rows].index(answer.value)
            items = _alter(ui, items, index, rows[index], ask, movable=name is None and index > 0)


def _alter(
    ui: Ui,
    items: tuple[Item, ...],
    index: int,
    row: Choice,
    ask: Callable[[tuple[Item, ...], int], tuple[Item, ...]],
    *,
    movable: bool,
) -> tuple[Item, ...]:
    head = Head(row.name, row.label, "Change opens the form again; remove takes the entry off the list.")
    verbs = [Choice(CHANGE, "Change it"), Choice(REMOVE, "Remove it")]
    answer = ui.menu(head, verbs + [Choice(UP, "Move it up")] * movable, CHANGE)
    if answer.way is Way.BACK:
        return items
    if answer.value == UP:
        return (*items[: index - 1], items[index], items[index - 1], *items[index + 1 :])
    return items[:index] + items[index + 1 :] if answer.value == REMOVE else ask(items, index)
