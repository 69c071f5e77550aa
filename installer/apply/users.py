"""The users of an answer file: into the box's table when it is applied. A generation knows nothing of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hardware.host import files, log
from hardware.host.errors import Problem
from installer.apply.places import Places
from overlays.settings import Secrets, Settings
from overlays.users import table


def problems(places: Places, settings: Settings, source: str) -> list[Problem]:
    """What keeps an answer file's users from having their place beside those that the box has already."""
    if not settings.users:
        return []
    domains = [domain.name for domain in settings.domains]
    new = tuple(table.Row(user) for user in settings.users)
    reasons = table.objections(table.read(places.root), new, domains)
    return [Problem(source, "users", reason.message, reason.hint) for reason in reasons]


@contextmanager
def taken_in(places: Places, settings: Settings, secrets: Secrets) -> Iterator[None]:
    """The answer file's users in the table, before a service asks for them; as it was when the block fails."""
    if not settings.users:
        yield
        return
    with files.locked(places.users_lock):
        before = table.read(places.root)
        table.write(places.root, table.joined(before, table.of_answers(settings.users, secrets.users, hidden)))
        try:
            yield
        except BaseException:
            table.write(places.root, before)
            raise


def hidden(password: str) -> str:
    """The hash of a password that no log will show."""
    log.redact(password)
    return table.hash_password(password)
