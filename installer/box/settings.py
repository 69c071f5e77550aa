"""`postern settings`: show, edit, history, rollback, save."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from hardware.host import age, files, run
from hardware.host.errors import Problem, Refused, refuse
from installer.apply import answers, pipeline
from installer.apply.pipeline import Box
from installer.apply.places import Places
from installer.apply.store import Generation, Store, Verdict
from installer.box import caller
from installer.box.change import InForce, in_force, open_box, put_in_force
from overlays.settings import Secrets, Settings, dump_answers, dump_secrets, parse_answers
from overlays.users import table
from overlays.users.settings import UserSecrets

EDITORS = ("editor", "nano", "vi")
MARK = "# postern: "  # begins the lines that we add to an edited file, and take out again


def main(places: Places, arguments: argparse.Namespace) -> None:
    """The verbs of `postern settings`. Raises `Refused`."""
    if arguments.verb == "recipient":
        print(answers.recipient(places))
        return
    if arguments.verb == "history":
        print(history(Store(places), as_json=arguments.json))
        return
    box = open_box(places)
    if arguments.verb == "show":
        print(dump_answers(in_force(box, arguments.number).settings), end="")
    elif arguments.verb == "edit":
        edit(box, arguments.editor or os.environ.get("EDITOR") or "", arguments.reason, arguments.confirm_within)
    elif arguments.verb == "rollback":
        rollback(box, arguments.number, arguments.confirm_within)
    else:
        now = with_users(in_force(box), table.read(places.root))
        save(now, arguments.file, arguments.secrets, arguments.recipient)


def history(store: Store, *, as_json: bool = False) -> str:
    """The generations that are kept, newest first."""
    current = store.current()
    kept = list(reversed(store.history()))
    if as_json:
        return json.dumps([_record(one, current) for one in kept], indent=1)
    if not kept:
        return "Nothing was stored yet."
    return "\n".join(_row(one, current) for one in kept)


def edit(box: Box, editor: str, reason: str, confirm_within: float) -> None:
    """A copy in the editor until it has no problems, then apply. What was written is offered again, never lost."""
    if not sys.stdin.isatty():
        raise refuse("an editor needs a terminal", "`postern apply FILE` needs none")
    now = in_force(box)
    before = dump_answers(now.settings)
    text = before
    with _copy() as path:
        while True:
            _place(path, text)
            _run_editor(editor, path)
            with caller.rights():
                text = without_marks(path.read_text(encoding="utf-8", errors="replace"))
            if text.strip() in ("", before.strip()):
                raise refuse("nothing was changed")
            found = _problems(box, text, now.secrets)
            if isinstance(found, Settings):
                break
            print("\n".join(map(str, found)), file=sys.stderr)
            if not _again():
                raise Refused([*found, Problem("", "", "nothing was changed")])
            text = with_marks(text, found)
    put_in_force(box, found, now.secrets, reason or "edited", confirm_within=confirm_within)


def rollback(box: Box, number: int | None, confirm_within: float) -> None:
    """Apply an earlier generation's settings, as a generation of their own; what is on trial is taken back."""
    now = in_force(box)
    if number is None and now.generation.about.verdict is Verdict.TRIAL:
        said = pipeline.take_back(box, now.generation.number)
        print(said or f"generation {now.generation.number} is not on trial any more")
        return
    goal = box.store.get(number) if number is not None else box.store.before(now.generation)
    if goal is None:
        raise refuse("no generation before this one was in service", "`postern settings history` lists them")
    if goal.number == now.generation.number:
        raise refuse(f"generation {goal.number} is in force already")
    settings, secrets = box.store.load(goal)
    reason = f"back to generation {goal.number}"
    put_in_force(box, settings, secrets, reason, confirm_within=confirm_within)


def save(now: InForce, file: Path | None, secrets: Path | None, recipients: Sequence[str] = ()) -> None:
    """Write the answer file, and the secrets file if one is named, with the caller's rights.

    With recipients only these can read the secrets.
    """
    if recipients and secrets is None:
        raise refuse("--recipient goes with a secrets file", "name it with --secrets FILE")
    hidden = dump_secrets(now.secrets)
    if recipients:
        hidden = age.seal(hidden, recipients)
    if file is None and secrets is None:
        print(dump_answers(now.settings), end="")
        return
    with caller.rights():
        try:
            if file:
                files.write(file, dump_answers(now.settings))
            if secrets:
                files.write(secrets, hidden, mode=0o600)
        except OSError as error:
            raise refuse(f"cannot be written: {error.strerror}", where=str(error.filename or file)) from error


def with_users(now: InForce, rows: Iterable[table.Row]) -> InForce:
    """What is in force with the users of the box, as an answer file carries them to another one."""
    if not now.settings.keeps_mailboxes:
        return now
    people = tuple(rows)
    hashes = {row.user.address: {"password_hash": row.password_hash} for row in people if row.password_hash}
    secrets = {name: UserSecrets.model_validate(secret) for name, secret in hashes.items()}
    return replace(
        now,
        settings=now.settings.model_copy(update={"users": tuple(row.user for row in people)}),
        secrets=now.secrets.model_copy(update={"users": secrets}),
    )


def with_marks(text: str, problems: list[Problem]) -> str:
    """The text with the problems above it, for the next round in the editor."""
    lines = [f"{MARK}{line}" for problem in problems for line in str(problem).splitlines()]
    return "\n".join([*lines, f"{MARK}mend these and save; a file left as it is changes nothing", text])


def without_marks(text: str) -> str:
    """The text as the person means it."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(MARK))


def _problems(box: Box, text: str, secrets: Secrets) -> Settings | list[Problem]:
    try:
        settings = parse_answers(text, "settings")
    except Refused as refused:
        return list(refused.problems)
    return pipeline.find_problems(box, settings, secrets) or settings


def _again() -> bool:
    answer = input("Edit again? [Y/n] ").strip().lower()
    return answer in ("", "y", "yes")


@contextmanager
def _copy() -> Iterator[Path]:
    """A file of the caller's own: an editor can start other programs, and they are to have no more than its rights."""
    folder = Path(tempfile.mkdtemp(prefix="postern-"))
    try:
        user = caller.name()
        if user:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        yield folder / "settings.yaml"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(path: Path, text: str) -> None:
    with caller.rights():
        path.write_text(text, encoding="utf-8")


def _run_editor(editor: str, path: Path) -> None:
    found = next((name for name in (editor, *EDITORS) if name and shutil.which(name.split()[0])), None)
    if found is None:
        raise refuse("this box has no editor", "`postern settings save`, edit elsewhere, `postern apply FILE`")
    user = caller.name()
    become = ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups"] if user else []
    done = run.attach([*become, *found.split(), path])
    if done.status:
        raise refuse(f"{found} ended with status {done.status}, and nothing was changed")


def _row(one: Generation, current: Generation | None) -> str:
    mark = "*" if one == current else " "
    return f"{mark} {one.number:4}  {one.about.time:25}  {_verdict(one, current):10}  {one.about.reason}"


def _verdict(one: Generation, current: Generation | None) -> str:
    if one == current:
        return "on trial" if one.about.verdict is Verdict.TRIAL else "in force"
    words = {Verdict.GOOD: "was good", Verdict.FAILED: "taken back"}
    return words.get(one.about.verdict, "not used")


def _record(one: Generation, current: Generation | None) -> dict[str, object]:
    about = asdict(one.about) | {"verdict": one.about.verdict.value}
    return {"number": one.number, "current": one == current, **about}
