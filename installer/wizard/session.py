"""One setup from its first question to the box in service: the flow, and what its end asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hardware.host.cards import Cards
from hardware.host.errors import Problem, Refused, refuse
from hardware.host.keyboard import Keyboard
from hardware.host.run import Failed
from hardware.profile import HardwareProfile
from installer.apply.places import Places
from installer.wizard import flow, saving
from installer.wizard.dialog import Unusable
from installer.wizard.draft import Draft, draft_of, factory, keep, kept
from installer.wizard.pages import keyboard as keyboard_page
from installer.wizard.pages.review import Action
from installer.wizard.plain import PlainUi
from installer.wizard.turn import LOCK, holder, turn
from installer.wizard.ui import Choice, Head, HungUp, Ui, Way
from overlays.keyboard.settings import LAYOUTS
from overlays.settings import Secrets, Settings

Apply = Callable[[Settings, Secrets, Callable[[str], None]], None]
GO_ON_HELP = """After a power cut or on another console, what was typed is still there, right or wrong, and every page \
can be gone back to. Passwords are never stored with it: the review asks for those that it needs, and users \
who got one have to be given it again."""
LOOK_HELP = """Bad keeps mail from flowing: mend it first. Look may be meant so: a name that is not published yet, a \
router that translates addresses. Nothing was changed by asking."""
TEST_HELP = """What becomes of each message says whether antispam and antivirus do what the settings want. Mend what \
is bad before mail is led to the box; look may be meant so. `postern selftest` says it again at any time."""
SAVE_HELP = """The answer file holds every decision but the secrets. The secrets file holds the hash of the password: \
who has it can try passwords against it, so keep it apart. On another box, both go into the root of a volume labelled \
POSTERN."""


@dataclass
class Session:
    """A setup under way. The draft lives here, which outlives a change of the form, and without its secrets in a file,
    which outlives a power cut.

    `apply` puts settings in force, says its progress line by line, and raises `Refused` when nothing changed.
    """

    ui: Ui
    profile: HardwareProfile
    places: Places
    apply: Apply
    settings: Settings | None = None
    secrets: Secrets | None = field(default=None, repr=False)
    who: str = "another terminal"
    keyboard: Keyboard | None = None  # the screen's, if that is where the person sits
    page: str = ""  # the one that was asked for; without it the first, or where an earlier session was left

    def __post_init__(self) -> None:
        self.path = self.places.wizard_draft
        self.draft = Draft()
        self.cards = Cards(self.places.root)

    def run(self) -> bool:
        """Ask until settings are in force (True) or the person goes back past the first page (False).

        Raises `Refused` when the box is being set up elsewhere.
        """
        lock = self.places.run / LOCK
        with turn(lock, self.who) as mine:
            if not mine:
                raise refuse(f"the box is being set up on {holder(lock)}", "wait for its end, or go on there")
            ports = present_ports(self.places, self.profile)
            start = draft_of(self.settings, self.secrets, ports) if self.settings else factory(ports)
            self.draft = start if self.page else kept(self.path, start)
            done = False
            try:
                done = self._ask(start)
            finally:
                if not done:  # nothing was changed, and the keys mean what they did
                    self._use_keyboard(start)
            return done

    def _ask(self, start: Draft) -> bool:
        problems: Sequence[Problem] = ()
        screen = self.keyboard is not None
        interrupted = not self.page and self.draft.but(screen=start.screen) != start
        while True:
            try:
                if interrupted and not self._go_on(start):
                    return False
                interrupted = False
                if self.page:
                    asked = flow.first(
                        self.ui, self.profile, self.draft, self._keep, self.page, self.cards, screen=screen
                    )
                    if asked is None:
                        return False
                    self.draft, self.page = asked, ""
                finished = flow.run(self.ui, self.profile, self.draft, self._keep, problems, self.cards, screen=screen)
                if finished is None:
                    return False
                problems = ()
                secrets = self._hash_once(finished)
                if finished.action is Action.LOOK:
                    self._look(finished.settings)
                    continue
                if finished.action is Action.SAVE:
                    self._save(finished.settings, secrets)
                    continue
                self.apply(finished.settings, secrets, self.ui.say)
            except Refused as refused:
                problems = refused.problems
            except Unusable as reason:
                self.ui = PlainUi()
                self.ui.say(f"The full-screen form does not work here ({reason}); plain lines do.")
            else:
                self.path.unlink(missing_ok=True)
                self._offer_test(finished.settings)
                return True

    def _go_on(self, start: Draft) -> bool:
        """Offer the setup that was interrupted. False when the person goes back."""
        text = f"A setup was begun here and not finished, at the page: {self.draft.screen}."
        choices = [Choice("continue", "Go on there"), Choice("anew", "Begin anew; what was typed is forgotten")]
        answer = self.ui.menu(Head("Unfinished setup", text, GO_ON_HELP), choices)
        if answer.way is Way.NEXT and answer.value == "anew":
            self._keep(start)
        return answer.way is Way.NEXT

    def _keep(self, draft: Draft) -> None:
        self.draft = draft
        keep(draft, self.path)
        self._use_keyboard(draft)

    def _use_keyboard(self, draft: Draft) -> None:
        """What was chosen counts at once: the password is typed on one of the next pages, and nobody sees it."""
        trouble = self.keyboard.use(LAYOUTS[draft.keyboard].keymap) if self.keyboard else ""
        if trouble:
            self.ui.notice(Head("Keyboard", f"Its layout is what it was: {trouble}", keyboard_page.HELP))

    def _hash_once(self, finished: flow.Finished) -> Secrets:
        """The hashed secrets, the same for whatever is done with them: saved and applied hashes are equal."""
        from installer.apply import plan  # with what renders: late, for the first page must not wait for it

        secrets = plan.hashed(finished.secrets)
        self.draft = finished.draft.but(secrets=secrets, password="")
        return secrets

    def _look(self, settings: Settings) -> None:
        """Preflight. A box in service is asked about what is in force: two boxes of one address cannot be."""
        if self.settings:
            text = "This box is in service. Apply; while it waits to be confirmed, `postern preflight` looks around."
            self.ui.notice(Head("Preflight", text, LOOK_HELP))
            return
        from installer.preflight import OUTWARD, place

        self.ui.say("Looking around, as if these settings were in force (half a minute) ...")
        try:
            found = place.rehearsed(settings, self.profile.port_names, self.places.run, OUTWARD)
        except Failed as failure:
            raise refuse(f"nobody could look around: {failure}") from failure
        other = [one.lines(coloured=False) for one in found if not one.well]
        text = "\n".join([*other, f"{len(found) - len(other)} of {len(found)} are well."])
        self.ui.notice(Head("Preflight", text, LOOK_HELP))

    def _offer_test(self, settings: Settings) -> None:
        """The self-test, as often as wanted: its verdicts are to be seen before mail is led to the box."""
        text = "The settings are in force. Try the box before mail is led to it."
        choices = [
            Choice("finish", "Finish"),
            Choice("test", "Send the box a clean message, spam and a virus, which reach nobody"),
        ]
        with suppress(Unusable, HungUp):  # in force they are all the same
            while self.ui.menu(Head("In force", text, TEST_HELP), choices).value == "test":
                from installer import selftest

                self.ui.say("Trying (half a minute) ...")
                try:
                    found = [one.lines(coloured=False) for one in selftest.checks(self.places, settings)]
                except Refused as refused:
                    found = [str(refused)]
                self.ui.notice(Head("Self-test", "\n".join(found), TEST_HELP))

    def _save(self, settings: Settings, secrets: Secrets) -> None:
        text = "The answer file repeats this setup on another box."
        choices = [
            Choice("answers", "The settings alone"),
            Choice("both", "The settings, and the password's hash apart"),
        ]
        answer = self.ui.menu(Head("Save as answer file", text, SAVE_HELP), choices)
        if answer.way is Way.BACK:
            return
        with saving.destination(self.places) as (folder, name):
            written = saving.save(settings, secrets, folder, with_secrets=answer.value == "both")
        listed = " and ".join(path.name for path in written)
        self.ui.notice(Head("Saved", f"{listed} written to {name}.", SAVE_HELP))


def present_ports(places: Places, profile: HardwareProfile) -> tuple[str, ...]:
    """The profile's ports that this unit has; models such as virtual machines may have fewer than the profile names."""
    found = tuple(name for name in profile.port_names if (places.root / "sys/class/net" / name).exists())
    return found or profile.port_names
