"""An installation that somebody at a console leads: the disks, a typed word, write, what was done."""

from __future__ import annotations

from hardware.host.errors import Refused
from installer.flash import order
from installer.flash.order import Shown
from installer.medium import work
from installer.medium.rules import Finish
from installer.medium.work import Disk, Medium, Say
from installer.wizard.ui import Choice, Field, Head, Ui, Way

_HELP = (
    "A disk that is refused cannot be chosen; its line says why. What is on the chosen one is overwritten. "
    "Nothing is written before you have typed the last characters of its serial number, which stands on its label too."
)
_KEEP_HELP = (
    "What is kept lies on the disk's data partition, which is not written. The box starts with its settings, its mail "
    "in queue and quarantine, its logs and its keys, as after an update. Settings that the new firmware cannot use are "
    "asked for anew; the mail is there all the same. An installation that is interrupted loses none of it: start it "
    "again, and keep it then."
)
_KEEP, _OVERWRITE = "keep", "overwrite"
_AGAIN, _OFF, _REBOOT = "again", "power-off", "reboot"


def install(ui: Ui, medium: Medium) -> None:
    """Ask, write, tell, and start the box again; back leads out of every question. Raises `Refused`."""
    ui.say("Reading the medium ...")
    found = medium.image.manifest
    problem = ""
    while True:
        disks = medium.disks()
        way, name = _which(ui, f"Install Postern {found.version} for {found.profile}", disks, problem)
        if way is Way.BACK:
            return
        if name in (_OFF, _REBOOT):
            work.finish(Finish(name))
            return
        chosen = next((one for one in disks if one.target.path.name == name), None)
        problem = ""
        keep = _keep(ui, chosen.row) if chosen else None
        if chosen and keep is not None and _confirmed(ui, chosen, keep=keep):
            try:
                receipt = medium.install(chosen.target, ui.say, keep=keep)
            except Refused as refused:
                problem = str(refused)
                continue
            _finished(ui, work.lines(receipt), ui.say)
            return


def _which(ui: Ui, title: str, disks: list[Disk], problem: str) -> tuple[Way, str]:
    """The list of disks, and what to do."""
    text = "\n".join(line for one in disks for line in order.lines(one.row)) or "This box has no disk."
    free = [one for one in disks if not one.row.problems]
    choices = [Choice(one.target.path.name, f"install on {one.row.path} (serial {one.target.serial})") for one in free]
    choices += [Choice(_AGAIN, "look at the disks again"), Choice(_REBOOT, "start the box again")]
    choices += [Choice(_OFF, "switch the box off")]
    # What is chosen unless another one is picked never overwrites anything.
    answer = ui.menu(Head(title, text, _HELP, (problem,) if problem else ()), choices, chosen=_AGAIN)
    return answer.way, answer.value


def _keep(ui: Ui, row: Shown) -> bool | None:
    """Whether the data on the disk stays; None leads back to the list. Where there is none, nobody is asked."""
    found = row.earlier
    if not found or found.problem:
        return False
    text = f"{row.path} has {found.told}."
    choices = [
        Choice(_KEEP, "keep settings, mail, logs and keys, and write the firmware anew"),
        Choice(_OVERWRITE, "begin anew: all of that will be lost"),
    ]
    answer = ui.menu(Head("Keep what this box has?", text, _KEEP_HELP), choices, chosen=_KEEP)
    return None if answer.way is Way.BACK else answer.value == _KEEP


def _confirmed(ui: Ui, disk: Disk, *, keep: bool) -> bool:
    """The typed word. Another one asks again; back leads to the list."""
    target, problem = disk.target, ""
    lost = [order.warning(disk.row, keep=keep)]
    if disk.row.earlier and disk.row.earlier.problem:
        lost += [f"Its data cannot be kept: {disk.row.earlier.problem}."]
    text = "\n".join((*order.lines(disk.row), *lost))
    while True:
        label = f"The last {len(target.word)} characters of its serial number, {target.serial}"
        answer = ui.form(Head("Overwrite this disk?", text, _HELP), [Field("serial", label, problem=problem)])
        if answer.way is Way.BACK:
            return False
        if answer.value[0] == target.word:
            return True
        problem = f"{answer.value[0] or 'nothing'} was typed, and {target.word} is asked for; nothing was written."


def _finished(ui: Ui, told: list[str], say: Say) -> None:
    choices = [Choice(_REBOOT, "start the box from its disk"), Choice(_OFF, "switch the box off")]
    text = "\n".join(
        (*told, "", "The medium may stay in: the box starts from its disk unless somebody chooses otherwise.")
    )
    answer = ui.menu(Head("Installed", text, "The disk is complete, and the box starts from it now."), choices)
    say("Starting again ..." if answer.value == _REBOOT else "Switching off ...")
    work.finish(Finish(answer.value))
