"""A `Ui` that follows a script: what a person would type, and what was shown meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from installer.wizard.ui import Answer, Choice, Field, Head, Remark, Way, no_remark


@dataclass(frozen=True)
class Back:
    """Go back, having typed this."""

    values: tuple[str, ...] = ()


@dataclass
class Script:
    """Answers in order: a name for a menu, a tuple for a form (None keeps a field), a text for a secret, or `Back`."""

    answers: list[object]
    shown: list[str] = field(default_factory=list)
    forms: list[tuple[Field, ...]] = field(default_factory=list)
    menus: list[tuple[Choice, ...]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def _next(self, head: Head) -> object:
        self.shown += [head.title, head.text, *head.problems]
        assert head.help or head.title == "Change one page", f"{head.title} has no help"
        assert self.answers, f"the script ends before {head.title}: {head.problems}"
        return self.answers.pop(0)

    def notice(self, head: Head) -> None:
        self.shown += [head.title, head.text]

    def menu(self, head: Head, choices: Sequence[Choice], chosen: str = "") -> Answer[str]:
        self.menus.append(tuple(choices))
        if head.title == "In force" and not self.answers:  # a script that ends with apply wants no self-test
            return Answer(Way.NEXT, choices[0].name)
        answer = self._next(head)
        if isinstance(answer, Back):
            return Answer(Way.BACK, chosen)
        picked = str(answer) or chosen or choices[0].name
        assert picked in [choice.name for choice in choices], f"{picked} is not offered in {head.title}: {choices}"
        return Answer(Way.NEXT, picked)

    def form(self, head: Head, fields: Sequence[Field]) -> Answer[tuple[str, ...]]:
        self.forms.append(tuple(fields))
        self.shown += [f"{one.label}: {one.problem}" for one in fields if one.problem]
        answer = self._next(head)
        typed = answer.values if isinstance(answer, Back) else answer
        assert isinstance(typed, tuple), f"{head.title} is a form, and the script says {answer!r}"
        kept = [one.value for one in fields]
        values = tuple(old if new is None else new for old, new in zip(kept, typed or kept, strict=True))
        return Answer(Way.BACK if isinstance(answer, Back) else Way.NEXT, values)

    def secret(self, head: Head, label: str, remark: Remark = no_remark) -> Answer[str]:
        answer = self._next(head)
        self.shown += [label, remark(str(answer))]
        return Answer(Way.BACK, "") if isinstance(answer, Back) else Answer(Way.NEXT, str(answer))

    def say(self, line: str) -> None:
        self.said.append(line)

    @property
    def text(self) -> str:
        """Everything that was shown."""
        return "\n".join(self.shown + self.said)
