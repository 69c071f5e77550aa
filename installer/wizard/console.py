"""What each console of the box runs in place of a login prompt: `python3 -m installer.wizard.console ttyS0`.

Until the box is set up it shows a welcome and, once somebody presses Enter, the wizard; afterwards it becomes login(1).
It never leads to a shell: signals from the keyboard are ignored, and when it ends, getty starts it again.

What the wizard needs is imported when it is used: on a slow processor the welcome must not wait for it.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from hardware.host import run
from installer.apply.places import Places, Stage
from installer.wizard import FACTORY_ADDRESS
from installer.wizard.turn import LOCK, holder, turn

if TYPE_CHECKING:
    from hardware.profile import HardwareProfile
    from installer.wizard.session import Apply
    from installer.wizard.ui import Ui
    from overlays.settings import Secrets, Settings

LOOK_SECONDS = 1.0
RESTORE = "restore"
# To PID 1, by systemd(1): status messages on the console on and off.
_SHOW_STATUS, _HIDE_STATUS = signal.SIGRTMIN + 20, signal.SIGRTMIN + 21


class State(Enum):
    """What the box has for whoever comes to its console."""

    WELCOME = auto()
    REFUSED = auto()
    IN_SERVICE = auto()


Found = tuple[State, str, str]
"""State, the console that sets the box up or nothing, and what is wrong with the answer file or nothing."""


@dataclass
class Console:
    """One console: terminal in and out, and the box behind it."""

    tty: str
    places: Places

    def serve(self) -> None:
        """Stay until the box is in service or the line hangs up."""
        self.quiet()
        while (found := self.found())[0] is not State.IN_SERVICE:
            if found[0] is State.REFUSED:
                self.say(f"\n{_text(self.places.refused)}\nThis box cannot be set up with this image.")
                self.wait(found)
                continue
            self.say(self.welcome())
            word = self.wait(found)
            if word == "answers":
                self.take_answers()
            elif word == RESTORE:
                self.restore()
            elif word is not None:
                self.set_up(word)
        self.loud()

    def state(self) -> State:
        stage = self.places.stage()
        if stage is Stage.REFUSED or self.places.refused.exists():
            return State.REFUSED
        applied = stage is Stage.IN_SERVICE or (stage is None and (self.places.state / "current").is_symlink())
        # What another console is applying may yet be taken back.
        return State.IN_SERVICE if applied and not holder(self.lock) else State.WELCOME

    @property
    def lock(self) -> Path:
        return self.places.run / LOCK

    def welcome(self) -> str:
        version = self.places.release.get("IMAGE_VERSION", "")
        profile = (
            self.places.kernel_words.get("postern.profile") or self.places.credential("postern.profile") or "unknown"
        )
        dmi = self.places.root / "sys/class/dmi/id"
        model = " ".join(filter(None, (_text(dmi / "sys_vendor"), _text(dmi / "product_name")))) or "unknown model"
        lines = [
            "",
            f"Postern {version} on {model}",
            f"Hardware profile: {profile.strip()}",
            f"port1: {FACTORY_ADDRESS}",
        ]
        recipient = _text(self.places.age_recipient)
        lines += [f"Secrets key: {recipient}", ""] if recipient else [""]
        problems = _text(self.places.answers_problems)
        if problems:
            lines += ["The answer file was not used:", problems, "Type answers and Enter to try it again.", ""]
        other = holder(self.lock)
        if other:
            lines += [f"This box is being set up on {other}. This one waits."]
        else:
            lines += ["This box is not set up yet. Press Enter to set it up here (console " + self.tty + ")."]
            lines += ["Type plain and Enter for plain lines, full and Enter for the full-screen form."]
            lines += [f"Type {RESTORE} and Enter to take a backup from a volume labelled POSTERN instead."]
        return "\n".join(lines)

    def found(self) -> Found:
        """What the welcome depends on."""
        return self.state(), holder(self.lock), _text(self.places.answers_problems)

    def wait(self, before: Found) -> str | None:
        """The next line typed; None as soon as it is not as `before` the welcome was said."""
        while not select.select([sys.stdin.fileno()], [], [], LOOK_SECONDS)[0]:
            if self.found() != before:
                return None
        # The terminal hands over one line at a time; nothing that comes after it is swallowed here.
        line = os.read(sys.stdin.fileno(), 4096)
        if not line:
            raise SystemExit(0)
        return line.decode("ascii", "replace").strip().lower()

    def set_up(self, word: str) -> None:
        """Run the wizard on this console, if no other one does."""
        self.say("Starting the setup ...")
        from hardware import detect
        from hardware.host.errors import Refused
        from hardware.host.keyboard import Keyboard, is_screen
        from installer.wizard.session import Session
        from installer.wizard.ui import HungUp

        try:
            profile = detect.check_box(self.places.root)
            session = Session(
                choose(word),
                profile,
                self.places,
                self.put_in_force(profile),
                who=f"console {self.tty}",
                keyboard=Keyboard() if is_screen(self.tty) else None,
            )
            if session.run():
                self.say("\nThe box is set up and in service. Log in as admin.")
        except Refused as refused:
            self.say(str(refused))
        except HungUp:
            raise SystemExit(0) from None

    def take_answers(self) -> None:
        """The answer file that waits for this box once more; a passphrase of its secrets is asked for here."""
        self.say("Reading the answer file ...")
        from hardware import detect
        from hardware.host.errors import Refused
        from installer.apply import boot, pipeline

        with turn(self.lock, f"console {self.tty}") as ours:
            if not ours:
                return
            try:
                box = pipeline.Box(self.places, detect.check_box(self.places.root))
                if boot.take_answers(box, self.say, ask=True) is Stage.IN_SERVICE:
                    self.places.enter(Stage.IN_SERVICE)
                elif not self.places.answers_problems.exists():
                    self.say("No answer file waits for this box.")
            except Refused as refused:
                self.say(str(refused))

    def restore(self) -> None:
        """Settings and keys of a backup in place of a setup, if no other console does one."""
        from hardware.host.errors import Refused
        from installer.box import backup
        from installer.box.change import open_box

        with turn(self.lock, f"console {self.tty}") as mine:
            if not mine:
                return
            try:
                backup.restore(open_box(self.places))
            except Refused as refused:
                self.say(str(refused))
            except EOFError:
                raise SystemExit(0) from None

    def put_in_force(self, profile: HardwareProfile) -> Apply:
        """How settings made on this console come into force, with the steps as plain lines."""

        def put(settings: Settings, secrets: Secrets, say: Callable[[str], None]) -> None:
            from hardware.host.log import Steps
            from installer.apply import boot, pipeline

            say("Applying the settings:")
            box, steps = pipeline.Box(self.places, profile), Steps(6, Lines(say))
            pipeline.apply(box, settings, secrets, f"setup on console {self.tty}", steps)
            boot.mark_slot(self.places, say)

        return put

    def say(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def quiet(self) -> None:
        """Keep the kernel and systemd from writing over the wizard; what the kernel did before is remembered."""
        printk, before = self.places.root / "proc/sys/kernel/printk", self.places.run / "printk"
        with suppress(OSError):
            if not before.exists():
                before.parent.mkdir(parents=True, exist_ok=True)
                before.write_text(printk.read_text())
            printk.write_text("1\n")
        self._tell_systemd(_HIDE_STATUS)

    def loud(self) -> None:
        """Undo `quiet`."""
        with suppress(OSError):
            (self.places.root / "proc/sys/kernel/printk").write_text((self.places.run / "printk").read_text())
        self._tell_systemd(_SHOW_STATUS)

    def _tell_systemd(self, number: int) -> None:
        if self.places.root == Path("/"):
            with suppress(OSError):
                os.kill(1, number)


def choose(word: str) -> Ui:
    """The form that was asked for, or the one that suits the terminal."""
    from installer.wizard.dialog import DialogUi
    from installer.wizard.plain import PlainUi

    full = word == "full" or (word != "plain" and draws())
    return DialogUi() if full else PlainUi()


def draws() -> bool:
    """Whether the terminal is one that terminfo knows how to draw on."""
    import curses

    try:
        curses.setupterm()
    except curses.error:
        return False
    return bool(curses.tigetstr("cup"))


class Lines(io.StringIO):
    """A stream that says what is written to it, line by line; being no terminal, it gets no cursor control."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._say(line)
        return len(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def prepare() -> None:
    """Have the keyboard end nothing, and a line that hangs up everything, whatever was made of it before."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def main(arguments: list[str] | None = None, root: Path = Path("/")) -> None:
    """The program: one argument, the name of the terminal."""
    words = sys.argv[1:] if arguments is None else arguments
    prepare()
    Console(words[0] if words else "console", Places(root)).serve()
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_DFL)
    run.replace(["login"])


if __name__ == "__main__":
    main()
