"""Users: who has a mailbox in server mode."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field, model_validator

from hardware.host.documents import Frozen
from overlays import selftest
from overlays.values import Line, Mailbox, OneOrMore, Reason, Secret, one_line

SHORTEST_PASSWORD = 8
# As Dovecot and argon2(1) write it; the digits are memory, rounds and threads.
_HASH = re.compile(r"\$argon2id\$v=19\$m=\d{4,7},t=\d{1,3},p=\d{1,3}\$[A-Za-z0-9+/]{16,88}\$[A-Za-z0-9+/]{32,88}")


class User(Frozen):
    """Somebody who has a mailbox. The password is in the secrets."""

    address: Mailbox
    name: Line = Field("", description="the person's name")
    quota_mib: int | None = Field(None, ge=0, le=1024 * 1024, description="room for this user's mail; 0: no limit")
    aliases: Annotated[tuple[Mailbox, ...], OneOrMore] = Field(
        (), description="other addresses of this user; several users may share one, and each gets its mail"
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Everything that mail may be sent to, and from."""
        return (self.address, *self.aliases)


class UserSecrets(Frozen):
    """A user's password: as written by a person, or already hashed. Only the hash is kept on a box."""

    password: Secret | None = Field(None, description="the password itself; it is hashed when it is read")
    password_hash: Secret | None = Field(None, description="its hash, as `doveadm pw -s ARGON2ID` prints it")

    @model_validator(mode="after")
    def _one_good_password(self) -> UserSecrets:
        if (self.password is None) == (self.password_hash is None):
            raise ValueError("either password or password_hash is right, not both and not none")
        if self.password is not None:
            read_password(self.password.get_secret_value())
        if self.password_hash is not None:
            read_hash(self.password_hash.get_secret_value())
        return self


def read_password(text: str) -> str:
    """A password that may be taken. Raises `ValueError` without repeating it."""
    one_line(text)
    if len(text) < SHORTEST_PASSWORD:
        raise ValueError(f"the password is shorter than {SHORTEST_PASSWORD} characters")
    return text


def read_hash(text: str) -> str:
    """An argon2id hash, without the name of its scheme."""
    bare = text.strip().removeprefix("{ARGON2ID}")
    if not _HASH.fullmatch(bare):
        raise ValueError("password_hash is not an argon2id hash: `doveadm pw -s ARGON2ID` prints one")
    return bare


def problems(users: tuple[User, ...], domains: Collection[str], where: str = "users") -> Iterator[Reason]:
    """Why these users cannot all have their mailboxes, on a box that protects these domains."""
    taken: set[str] = set()
    everyone = {user.address for user in users}
    for index, user in enumerate(users):
        if user.address in taken:
            yield Reason(f"{where}.{index}.address", f"{user.address} stands here twice", "a user has one mailbox")
        taken.add(user.address)
        for path, address in _placed(user):
            domain = address.rpartition("@")[2]
            if domain not in domains:
                known = ", ".join(sorted(domains)) or "none"
                yield Reason(
                    f"{where}.{index}.{path}", f"{domain} is not a protected domain", f"the protected domains: {known}"
                )
            if selftest.is_meant_by(address):
                yield Reason(f"{where}.{index}.{path}", f"{address} is for the box's self-test", "choose another name")
            if path != "address" and address in everyone:
                yield Reason(f"{where}.{index}.{path}", f"{address} is a user itself", "an alias has no mailbox")


def _placed(user: User) -> Iterator[tuple[str, str]]:
    yield "address", user.address
    for index, alias in enumerate(user.aliases):
        yield f"aliases.{index}", alias
