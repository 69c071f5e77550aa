"""The command line of `postern`: words into calls, refusals into lines and exit statuses. No logic."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hardware.host import run
from hardware.host.errors import Refused
from hardware.host.log import act, clean
from installer.apply.places import Places
from installer.box import caller, words

COMMAND = "/usr/bin/postern"
_ACTS = (
    *("setup", "apply", "confirm", "mode", "settings", "certificate"),
    *("users", "quarantine", "backup", "restore", "factory-reset", "loader-password"),
)
_LOOKS = ("show", "list", "history", "save", "export", "recipient")
OK, FAULT_OF_OURS, REFUSED, INTERRUPTED = 0, 1, 2, 130


def main(typed: Sequence[str], root: Path = Path("/")) -> int:
    """Run one command and return its exit status."""
    arguments = words.parser().parse_args(typed or (["menu"] if sys.stdin.isatty() else []))
    if os.geteuid() != 0 and root == Path("/"):
        run.replace(["sudo", "--", COMMAND, *typed, *_editor(arguments)])
    if _changes(arguments) and root == Path("/"):
        act(f"{caller.name() or 'root'} runs: {shlex.join(['postern', *typed])}")
    try:
        return _dispatch(arguments, Places(root))
    except Refused as refused:
        for problem in refused.problems:
            print(clean(str(problem)), file=sys.stderr)
        return REFUSED
    except (KeyboardInterrupt, EOFError):  # EOFError: Ctrl-D at a question
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has left; nothing of it is missed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _changes(arguments: argparse.Namespace) -> bool:
    """Whether the command is an act: what units run, and what only looks, is none. No command line holds a secret."""
    if arguments.command == "definitions":
        return bool(arguments.files or arguments.remove)
    return arguments.command in _ACTS and getattr(arguments, "verb", "") not in _LOOKS


def _editor(arguments: argparse.Namespace) -> list[str]:
    """sudo drops the environment: the caller's editor goes along as an option."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    wanted = arguments.command == "settings" and arguments.verb == "edit" and not arguments.editor
    return ["--editor", editor] if wanted and editor else []


def _dispatch(arguments: argparse.Namespace, places: Places) -> int:
    """Each command imports what it needs, so that none waits for another's."""
    command = arguments.command
    if command == "answers":
        from installer.apply.boot import later_answers, to_journal

        later_answers(places, to_journal)
    elif command == "console":
        from installer.wizard import console

        console.main([arguments.terminal], places.root)
    elif command == "status":
        from installer.box import status

        print(status.report(places, as_json=arguments.json))
    elif command == "definitions":
        from installer.box import intake

        intake.main(places, arguments)
    elif command == "dkim":
        from installer.box import dkim

        print(dkim.report(places, as_json=arguments.json))
    elif command == "reputation":
        from installer.box import reputation

        print(reputation.report(places, as_json=arguments.json))
    elif command in ("setup", "apply", "confirm", "take-back"):
        from installer.box import change

        change.main(places, arguments)
    elif command == "mode":
        from installer.box import mode

        mode.main(places, arguments)
    elif command == "settings":
        from installer.box import settings

        settings.main(places, arguments)
    elif command == "certificate":
        from installer.box import certificate

        certificate.main(places, arguments)
    elif command == "take-certificate":
        from installer.apply import pipeline
        from installer.box.change import open_box

        pipeline.take_certificate(open_box(places))
    elif command in ("users", "publish-users"):
        from installer.box import users

        users.main(places, arguments)
    elif command == "quarantine":
        from installer.box import quarantine

        quarantine.main(places, arguments)
    elif command == "log":
        _log(arguments, places)
    elif command == "trace":
        from installer.box import trace

        trace.main(arguments.word, arguments.since, as_json=arguments.json)
    elif command == "loader-password":
        from installer.box import loader

        loader.main(places, arguments)
    elif command == "preflight":
        from installer.box import preflight

        return preflight.main(places, arguments)
    elif command in ("backup", "restore"):
        from installer.box import backup

        backup.main(places, arguments)
    elif command == "menu":
        from installer.box import menu

        menu.main(places, plain=arguments.plain)
    elif command == "selftest":
        from installer.box import selftest

        return selftest.main(places, arguments)
    else:
        from installer.box import reset

        reset.main(places, arguments)
    return OK


def _log(arguments: argparse.Namespace, places: Places) -> None:
    from installer.box import log
    from overlays.logs.settings import LogType

    follow, since, lines = arguments.follow, arguments.since, arguments.lines
    if arguments.part in words.TYPES:
        log.records(LogType(arguments.part), follow, since, lines, as_json=arguments.json)
    else:
        log.follow(places, arguments.part, follow, since, lines)
