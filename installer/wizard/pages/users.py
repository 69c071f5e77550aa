"""The users of server mode: who is to have a mailbox from the first moment on."""

from __future__ import annotations

from hardware.host.errors import Problem
from hardware.profile import HardwareProfile
from installer.wizard.asking import DONE, edit, fill, sentence, spaced
from installer.wizard.draft import Draft, User
from installer.wizard.strength import remark
from installer.wizard.ui import Field, Head, Ui, Way
from overlays.users.settings import SHORTEST_PASSWORD, read_password

HELP = f"""Each user has a mailbox of that address, in one of the protected domains. Aliases are other addresses of \
the same person; several people may share one, and each gets its mail. Quota is the room for the mail in MiB. A \
password has at least {SHORTEST_PASSWORD} characters; without one nobody can log in yet. Users that are here already \
stay: `postern users` lists, adds, changes and removes them at any time, and takes a whole list from a file."""


def ask(ui: Ui, draft: Draft, profile: HardwareProfile) -> tuple[Draft, Way]:
    """Ask for the list. What was typed for a user who was not added in the end is kept for the next try."""
    typed, passwords = draft.new_user, dict(draft.user_passwords)

    def ask_one(users: tuple[User, ...], index: int) -> tuple[User, ...]:
        nonlocal typed
        new = index == len(users)
        user, way = _ask_one(ui, draft, profile, users, index, typed if new else users[index])
        if way is Way.NEXT:
            way = _password(ui, user, passwords)
        if new:
            typed = user if way is Way.BACK else User()
        return (*users[:index], user, *users[index + 1 :]) if way is Way.NEXT else users

    def check(users: tuple[User, ...]) -> list[str]:
        return [sentence(problem) for problem in draft.but(users=users).problems(profile, "users")]

    answer = edit(
        ui,
        Head("Users", "Who gets a mailbox on this box now.", HELP),
        draft.users,
        noun="user",
        name=lambda user: user.address,
        label=lambda user: user.name or "no name",
        ask=ask_one,
        check=check,
        start=DONE,
    )
    listed = {user.address for user in answer.value}
    kept = {address: password for address, password in passwords.items() if address in listed}
    return draft.but(users=answer.value, new_user=typed, user_passwords=kept), answer.way


def _ask_one(
    ui: Ui, draft: Draft, profile: HardwareProfile, others: tuple[User, ...], index: int, user: User
) -> tuple[User, Way]:
    def entered(values: tuple[str, ...]) -> User:
        address, name, aliases, quota = values
        listed = spaced(aliases.lower())
        return User(address=address.lower(), name=name, aliases=listed, quota_mib=quota)

    def check(values: tuple[str, ...]) -> list[Problem]:
        users = (*others[:index], entered(values), *others[index + 1 :])
        return draft.but(users=users).problems(profile, "users")

    path = f"users.{index}"
    fields = [
        Field(f"{path}.address", "Address", user.address, "ann@example.com"),
        Field(f"{path}.name", "Name", user.name, "optional"),
        Field(f"{path}.aliases", "Aliases", user.aliases, "optional"),
        Field(f"{path}.quota_mib", "Quota", user.quota_mib, "MiB, optional"),
    ]
    answer = fill(ui, Head("User", "Somebody with a mailbox here.", HELP), fields, check)
    return entered(answer.value), answer.way


def _password(ui: Ui, user: User, passwords: dict[str, str]) -> Way:
    """Ask for the password and put it down; an empty one keeps what was typed before."""
    problems: tuple[str, ...] = ()
    while True:
        answer = ui.secret(Head(f"Password of {user.address}", "Empty: not now.", HELP, problems), "Password", remark)
        if answer.way is Way.BACK or not answer.value:
            return answer.way
        try:
            passwords[user.address] = read_password(answer.value)
        except ValueError as error:
            problems = (f"{error}.".capitalize(),)
            continue
        return Way.NEXT
