"""The words of `postern`: each command with its options and its help. What they do is `cli.py`'s."""

from __future__ import annotations

import argparse
from pathlib import Path

MODES = ("gateway", "transparent", "server")
PAGES = ("keyboard", "administrator", "network", "clock", "mail host", "domains")
PARTS, TYPES = ("all", "mail", "system"), ("history", "event", "antispam", "antivirus")

EPILOG = """exit status: 0 done; 1 a fault of ours, with a traceback; 2 refused, a line a reason; 130 interrupted.
NO_COLOR is respected."""


def parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    top = argparse.ArgumentParser(prog="postern", description="Look after this mail appliance.", epilog=EPILOG)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    menu = commands.add_parser(
        "menu", help="all of this by choosing from lists; `postern` alone on a terminal leads here"
    )
    menu.add_argument("--plain", action="store_true", help="plain lines instead of the full-screen form")

    status = commands.add_parser("status", help="mode, hardware, version, ports, services, queue, disk")
    status.add_argument("--json", action="store_true", help="the same for a program")

    setup = commands.add_parser("setup", help="run the setup wizard on this terminal, or take an answer file")
    _answer_file(setup, "--answers", required=False)
    _confirm_within(setup)
    setup.add_argument("--plain", action="store_true", help="plain lines instead of the full-screen form")
    text = "on a box that is set up: change this page alone"
    setup.add_argument("--page", choices=PAGES, default="", help=text)

    apply = commands.add_parser("apply", help="put the settings in force again, or those of an answer file")
    _answer_file(apply, "answers", required=False)
    apply.add_argument("--reason", default="", help="why, for the history")
    _confirm_within(apply)
    commands.add_parser("confirm", help="keep settings that are on trial, for they could have locked you out")

    settings = commands.add_parser("settings", help="show, edit, save the settings; go back to earlier ones")
    verbs = settings.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="the settings in force, as an answer file without secrets")
    show.add_argument("number", nargs="?", type=int, help="those of an earlier generation")
    edit = verbs.add_parser("edit", help="change the settings in an editor, then apply them")
    edit.add_argument("--editor", help="the editor (default: $EDITOR, or what the box has)")
    edit.add_argument("--reason", default="", help="why, for the history")
    _confirm_within(edit)
    history = verbs.add_parser("history", help="the generations that are kept, newest first")
    history.add_argument("--json", action="store_true", help="the same for a program")
    back = verbs.add_parser("rollback", help="apply the settings of an earlier generation")
    back.add_argument("number", nargs="?", type=int, help="which (default: the one before that was in service)")
    _confirm_within(back)
    save = verbs.add_parser("save", help="write the settings in force as an answer file")
    save.add_argument("file", nargs="?", type=Path, help="the file to write (default: this terminal)")
    save.add_argument("--secrets", type=Path, help="write the secrets file too, readable by its owner only")
    text = "encrypt the secrets file to this one (age1..., or an SSH key); may be repeated"
    save.add_argument("--recipient", action="append", default=[], metavar="KEY", help=text)
    verbs.add_parser("recipient", help="whom to encrypt a secrets file to (age) that this box alone is to read")

    mode = commands.add_parser("mode", help="another operation mode; says what it drops, and asks")
    mode.add_argument("mode", choices=MODES)
    text = "the mail server of a protected domain, where nothing says which it was; may be repeated"
    mode.add_argument("--server", action="append", default=[], metavar="DOMAIN=HOST", help=text)
    mode.add_argument("--check", action="store_true", help="only say what would be dropped, change nothing")
    mode.add_argument("--yes", action="store_true", help="do not ask")
    mode.add_argument("--json", action="store_true", help="with --check: the same for a program")
    _confirm_within(mode)

    certificate = commands.add_parser("certificate", help="the certificate that web and mail server show")
    verbs = certificate.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("show", help="whose it is, for which names and until when")
    take = verbs.add_parser("import", help="show this one from now on")
    take.add_argument("certificate", type=Path, metavar="FILE", help="in PEM, with those that lead to its root")
    take.add_argument("key", type=Path, metavar="KEY", help="its private key in PEM, without a passphrase")
    take.add_argument("--reason", default="", help="why, for the history")
    remove = verbs.add_parser("remove", help="show the one that the box made itself")
    remove.add_argument("--reason", default="", help="why, for the history")
    verbs.add_parser("renew", help="let the box make itself another key and certificate")
    users = commands.add_parser("users", help="who has a mailbox here (server mode)")
    verbs = users.add_subparsers(dest="verb", required=True, metavar="VERB")
    listed = verbs.add_parser("list", help="everyone, with room and aliases")
    listed.add_argument("--json", action="store_true", help="the same for a program")
    add = verbs.add_parser("add", help="a new user; the password is asked for, or the first line of a pipe")
    add.add_argument("address", help="such as ann@example.com")
    add.add_argument("--name", default="", help="the person's name")
    add.add_argument("--quota-mib", type=int, metavar="MIB", help="room for this user's mail (0: no limit)")
    add.add_argument("--alias", action="append", default=[], metavar="ADDRESS", help="another address; may be repeated")
    gone = verbs.add_parser("remove", help="take a user away")
    gone.add_argument("address", help="such as ann@example.com")
    mail = gone.add_mutually_exclusive_group(required=True)
    mail.add_argument("--keep-mail", action="store_true", help="whoever gets this address next has the mail")
    mail.add_argument("--wipe-mail", action="store_true", help="the mail goes too")
    password = verbs.add_parser("password", help="a new password, asked for, or the first line of a pipe")
    password.add_argument("address", help="such as ann@example.com")
    taken = verbs.add_parser("import", help="add and change users from a CSV file")
    taken.add_argument("file", type=Path, help="first line: address,name,quota_mib,aliases,password (or password_hash)")
    given = verbs.add_parser("export", help="all users as CSV")
    given.add_argument(
        "file", nargs="?", type=Path, help="with the passwords' hashes (default: this terminal, without)"
    )

    quarantine = commands.add_parser("quarantine", help="what is kept as spam or a virus, and for whom")
    verbs = quarantine.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text in (("list", "everything, or what is kept for one"), ("show", "a message as it came")):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("owner", nargs="?" if name == "list" else None, help="an address, or `system`")
        if name == "show":
            verb.add_argument("name", metavar="MESSAGE", help="as the list names it")
        verb.add_argument("--json", action="store_true", help="the same for a program")
    for name, text in (("release", "bring messages to their recipient"), ("delete", "take messages away")):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("owner", help="an address, or `system`")
        verb.add_argument("names", nargs="+", metavar="MESSAGE", help="as the list names it")
    senders = verbs.add_parser("senders", help="whom one welcomes, and whom one blocks")
    senders.add_argument("owner", help="an address")
    change = senders.add_mutually_exclusive_group()
    for word, text in (("welcome", "mail of this sender is not kept"), ("block", "all mail of this sender is kept")):
        change.add_argument(f"--{word}", metavar="ADDRESS", help=text)
    change.add_argument("--forget", metavar="ADDRESS", help="take this sender off the list")
    senders.add_argument("--json", action="store_true", help="the same for a program")
    now = verbs.add_parser("report", help="tell everybody now what no report has told yet")
    now.add_argument("--json", action="store_true", help="the same for a program")

    definitions = commands.add_parser("definitions", help="the virus definitions: which, how old; take them from files")
    definitions.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="take this one: main.cvd, daily.cvd, bytecode.cvd"
    )
    definitions.add_argument("--unsigned", action="store_true", help="take one's own, which nobody signed, as well")
    definitions.add_argument("--remove", nargs="+", default=[], metavar="NAME", help="take one's own away again")
    definitions.add_argument("--json", action="store_true", help="what there is, for a program")

    dkim = commands.add_parser("dkim", help="the DKIM record that each domain's owner publishes")
    dkim.add_argument("--json", action="store_true", help="the same for a program")

    reputation = commands.add_parser("reputation", help="how strangers stand who have sent mail")
    reputation.add_argument("--json", action="store_true", help="the same for a program")

    log = commands.add_parser("log", help="what the box has to say")
    log.add_argument("part", nargs="?", choices=(*PARTS, *TYPES), default="all", help="whose lines (default: all)")
    log.add_argument("-f", "--follow", action="store_true", help="go on as new lines come")
    log.add_argument("--since", metavar="TIME", help="such as today, '1 hour ago', '2026-01-31 12:00'")
    log.add_argument(
        "-n", "--lines", type=int, default=200, metavar="N", help="at most the last N lines (default: 200)"
    )
    log.add_argument("--json", action="store_true", help="the same for a program, a line each (history and the others)")

    trace = commands.add_parser("trace", help="the way of a message through the box, from connection to delivery")
    trace.add_argument("word", metavar="MESSAGE", help="a message-id, an address, or a number that the queue gave it")
    trace.add_argument("--since", metavar="TIME", help="such as today, '1 hour ago' (default: 7 days ago)")
    trace.add_argument("--json", action="store_true", help="the same for a program")

    preflight = commands.add_parser("preflight", help="what would keep mail from flowing: wires, names, servers, clock")
    preflight.add_argument("--answers", type=Path, metavar="FILE", help="settings to come, before the box is set up")
    preflight.add_argument("--secrets", type=Path, help=argparse.SUPPRESS)
    text = "whose mail servers stand for the world's (default: %(default)s)"
    preflight.add_argument("--outward", default="debian.org", metavar="DOMAIN", help=text)
    preflight.add_argument("--json", action="store_true", help="the same for a program")
    preflight.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # where the ports of the box to be are

    selftest = commands.add_parser("selftest", help="does mail go as the settings say: a clean message, spam, a virus")
    selftest.add_argument("--json", action="store_true", help="the same for a program")

    backup = commands.add_parser("backup", help="settings, secrets, users and keys into one file, under a passphrase")
    text = "the file to write (default: on the volume labelled POSTERN, or else /var/lib/postern/saved)"
    backup.add_argument("file", nargs="?", type=Path, metavar="FILE", help=text)
    restore = commands.add_parser("restore", help="apply what a backup holds, as an answer file is applied")
    text = "the backup (default: the newest where `postern backup` writes)"
    restore.add_argument("file", nargs="?", type=Path, metavar="FILE", help=text)
    restore.add_argument("--check", action="store_true", help="only tell what it holds and its problems")
    restore.add_argument("--yes", action="store_true", help="do not ask; the passphrase is the first line of a pipe")
    _confirm_within(restore)

    reset = commands.add_parser("factory-reset", help="back to the state before set-up")
    mail = reset.add_mutually_exclusive_group()
    mail.add_argument("--keep-mail", action="store_true", help="forget settings and keys; queue and logs stay")
    mail.add_argument("--wipe-mail", action="store_true", help="make the whole data partition anew")
    reset.add_argument("--yes", action="store_true", help="do not ask")

    loader = commands.add_parser("loader-password", help="a password for the boot loader's menu on the console")
    loader.add_argument("--remove", action="store_true", help="let whoever is at the console use the menu")

    # What units and consoles run; not for people, so without help.
    commands.add_parser("answers")
    commands.add_parser("take-back").add_argument("number", type=int)
    commands.add_parser("take-certificate")
    commands.add_parser("publish-users").set_defaults(verb="publish")
    commands.add_parser("console").add_argument("terminal", nargs="?", default="console")
    return top


def _answer_file(command: argparse.ArgumentParser, name: str, *, required: bool) -> None:
    given = {"metavar": "FILE", "type": Path, "help": "the answer file"}
    if name.startswith("-"):
        command.add_argument(name, required=required, **given)  # type: ignore[arg-type]  # argparse takes them all
    else:
        command.add_argument(name, nargs="?", **given)  # type: ignore[arg-type]  # the same
    command.add_argument(
        "--secrets",
        type=Path,
        metavar="FILE",
        help="the secrets file, encrypted by age or not (default: those in force)",
    )
    command.add_argument("--check", action="store_true", help="only list the problems, change nothing")


def _confirm_within(command: argparse.ArgumentParser) -> None:
    text = "take a change of mode, network or administrators back unless confirmed by then (default: 120; 0: never)"
    command.add_argument("--confirm-within", type=_seconds, default=120, metavar="SECONDS", help=text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) > 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return int(text)
