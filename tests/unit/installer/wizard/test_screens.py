"""Every page in both forms against recorded ones, one file a form and mode, and how many bytes it takes to draw it.

`POSTERN_GOLDEN=write` records anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hardware import profile as profiles
from installer.apply.places import Places
from installer.wizard.draft import User, draft_of, keep
from installer.wizard.typed import Link
from overlays.settings import parse_answers
from tests.unit.installer.wizard.terminal import NEEDS_DIALOG, Screen, make_root, start

ANSWERS = Path(__file__).parents[3] / "answers"
RECORDED = Path(__file__).parent / "screens"
MODES = {"gateway": "ttyS0", "server": "tty1", "transparent": "ttyS0"}  # and the console: a screen has one page more
PASSWORD = "correct horse 7"
ENTER, F1 = "\r", "\x1bOP"
# What is in each list: its first letter leads to it.
LISTS = {"More links": "port2.20", "Protected domains": "example", "Access rules": "1", "Users": "ann"}
# 9600 baud carry 960 bytes a second; a page is there in less than two seconds.
MOST_BYTES = 1900
MOST_PAGES, MOST_PROMPTS = 90, 150
BUTTONS = r"< +(Next|OK|More) +>"
TITLE = re.compile(r"\+-+([^-+][^+]*?)-+\+")


def make_box(folder: Path, mode: str) -> Path:
    """A box on which the setup of an example was interrupted on its first page."""
    root = make_root(folder)
    profile = profiles.load("fortimail-100")
    settings = parse_answers((ANSWERS / f"{mode}.yaml").read_text(encoding="utf-8"), mode)
    links = (Link(name="port2.20", addresses="172.31.0.1/30", allow="ping ssh"),) if mode == "gateway" else ()
    users = (User(address="ann@example.com", name="Ann Lee", aliases="sales@example.com"),)
    draft = draft_of(settings, None, profile.port_names).but(before=None, screen="mode", users=users, links=links)
    keep(draft, Places(root).wizard_draft)
    return root


def compare(name: str, text: str) -> None:
    file = RECORDED / name
    if os.environ.get("POSTERN_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@NEEDS_DIALOG
@pytest.mark.parametrize("mode", MODES)
def test_the_full_screen_form(mode: str, tmp_path: Path) -> None:
    child = start(make_box(tmp_path, mode), MODES[mode])
    screen = Screen(child)
    screen.wait("Press Enter")
    text = screen.turn(ENTER, BUTTONS)
    shown: dict[str, str] = {}
    costs: dict[str, int] = {}
    opened: set[str] = set()
    while len(shown) < MOST_PAGES:
        if text not in shown:
            name = f"{len(shown)} {TITLE.findall(text)[0]}"
            shown[text], costs[text] = name, screen.received
        title = TITLE.findall(text)[0]
        if "Put these settings in force" in text:
            break
        if "Help >" in text and mode == "gateway" and title not in opened:
            opened.add(title)
            keys = F1
        elif "nothing is shown" in text or "The same again" in text:
            keys = PASSWORD + ENTER
        elif title in LISTS and LISTS[title] in text and f"into {title}" not in opened:
            opened.add(f"into {title}")
            keys = LISTS[title][0] + ENTER
        else:
            keys = ENTER
        text = screen.turn(keys, BUTTONS)
    child.close(force=True)
    lines = [line.strip() for text in shown for line in text.splitlines() if line.strip()]
    compare(f"{mode}.full.txt", "\n".join(lines) + "\n")
    assert {shown[text]: cost for text, cost in costs.items() if cost > MOST_BYTES} == {}
    assert PASSWORD not in screen.log


@pytest.mark.parametrize("mode", MODES)
def test_the_plain_form(mode: str, tmp_path: Path) -> None:
    child = start(make_box(tmp_path, mode), MODES[mode], TERM="dumb")
    child.expect("Press Enter")
    child.expect(r"full-screen form\.\r\n")
    said, opened = "", set[str]()
    child.sendline("plain")
    for _ in range(MOST_PROMPTS):
        child.expect(r"(\]|shown\)|to go on): $")
        said += f"{child.before}{child.after}"
        title = re.findall("== (.*) ==", said)[-1]
        if "Put these settings in force" in said:
            break
        if said.endswith("(not shown): "):
            child.sendline(PASSWORD)
        elif title in LISTS and title not in opened and f"1. {LISTS[title]}" in said.rpartition(title)[2]:
            opened.add(title)
            child.sendline("1")
        else:
            child.sendline("")
    child.close(force=True)
    compare(f"{mode}.plain.txt", said.replace("\r\n", "\n") + "\n")
    assert PASSWORD not in said
