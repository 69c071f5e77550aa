"""An installation that somebody at a console leads: the disks, a typed word, write, what was done."""

from __future__ import annotations

from hardware.host.errors import Refused
from installer.flash import order
from installer.medium import work
from installer.medium.rules import Finish
from installer.medium.work import Disk, Medium, Say
from installer.wizard.ui import Choice, Field, Head, Ui, Way

_HELP = (
    "A disk that is refused cannot be chosen; its line says why. What is on the chosen one is overwritten. "
    "Nothing is written before you have typed the last characters of its serial number, which stands on its label too."
)
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
        if chosen and _confirmed(ui, chosen):
            try:
                receipt = medium.install(chosen.target, ui.say)
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


def _confirmed(ui: Ui, disk: Disk) -> bool:
    """The typed word. Another one asks again; back leads to the list."""
    target, problem = disk.target, ""
    text = "\n".join((*order.lines(disk.row), f"Everything on {target.path} will be lost."))
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
    answer = ui.menu(Head("Installed", text, "The disk is complete. The box sets itself up when it starts."), choices)
    say("Starting again ..." if answer.value == _REBOOT else "Switching off ...")
    work.finish(Finish(answer.value))
