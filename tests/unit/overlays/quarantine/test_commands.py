"""What mail to the control addresses may do: nothing without the word of a report, and only from its owner."""

from __future__ import annotations

import pytest

from overlays.quarantine import commands
from overlays.quarantine.carry import Letter
from overlays.quarantine.links import Act, Link, seal
from overlays.quarantine.policy import COMMANDS, Policy
from tests.unit.overlays.quarantine.test_policy import POLICY

KEY = b"k" * 32
OWNER = "ann@example.com"
NAME = f"{'a' * 32}.17"


class Shelf:
    """The store's side of it: what was done to whose message."""

    done: list[tuple[str, ...]]

    def __init__(self, _policy: Policy, owner: str) -> None:
        self.owner = owner

    def release(self, name: str) -> bool:
        self.done.append(("release", self.owner, name))
        return True

    def delete(self, names: list[str]) -> int:
        self.done.append(("delete", self.owner, *names))
        return 1


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The real store is Dovecot's, in the container lane; here it only must not be asked."""
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(Shelf, "done", made, raising=False)
    monkeypatch.setattr(commands, "Mailbox", Shelf)
    return made


def ask(to: str, word: str, sender: str = OWNER, author: str = OWNER) -> None:
    letter = Letter(sender, f"From: Ann <{author}>\r\nSubject: Re: {word}\r\n\r\n".encode())
    commands.obey(POLICY, KEY, letter, f"{to}@{COMMANDS}")


def word(act: Act = Act.RELEASE, owner: str = OWNER, expires: int = 4_000_000_000, key: bytes = KEY) -> str:
    return seal(key, Link(owner, NAME, act, expires))


def test_its_owner_releases_and_deletes(done: list[tuple[str, ...]]) -> None:
    ask("release-ctrl", word())
    ask("delete-ctrl", word(Act.DELETE), sender="Ann@Example.com")
    assert done == [("release", OWNER, NAME), ("delete", OWNER, NAME)]


def test_nothing_else_does_anything(done: list[tuple[str, ...]]) -> None:
    ask("delete-ctrl", word())
    ask("system", word())
    ask("release-ctrl", word(expires=1))
    ask("release-ctrl", word(key=b"j" * 32))
    ask("release-ctrl", "x" * 60)
    ask("release-ctrl", "")
    ask("release-ctrl", word(), sender="")
    ask("release-ctrl", word(), sender="eve@example.com")
    ask("release-ctrl", word(), author="eve@example.com")
    ask("release-ctrl", word(owner="bob@example.com"))
    assert done == []
