"""Webmail in a real browser: what is clicked works, what strangers send does nothing, everybody can use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.container.box import Box, box, until
from tests.container.browser import Watched, browser, page_of, picture, serious_faults
from tests.container.network import Segment, segments
from tests.container.test_webmail import (
    ADDRESS,
    ANN,
    ANSWERS,
    BOB,
    HOSTILE,
    NAME,
    PASSWORD,
    READER,
    SECRETS,
    SENDER,
    deliver,
)
from tests.peers import Peers

MAIL = f"https://{NAME}/webmail/"


@pytest.fixture(scope="module")
def net() -> Iterator[Segment]:
    with segments(1, "br") as nets:
        yield nets[0]


@pytest.fixture(scope="module")
def server(root: Path, net: Segment) -> Iterator[Box]:
    """A server with two users."""
    with box(root, [net]) as made:
        made.start({"postern.answers": ANSWERS, "postern.secrets": SECRETS})
        net.host(f"{READER}/24", f"{SENDER}/24")
        until(lambda: net.answers(ADDRESS, 443), "the web server", made.tail)
        until(lambda: net.answers(ADDRESS, 25), "mail service", made.tail)
        yield made
        made.require_well(PASSWORD)


@pytest.fixture(scope="module")
def window(server: Box, net: Segment, chromium: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(chromium, net, NAME, ADDRESS, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def visitor(window: Browser) -> Iterator[Page]:
    with page_of(window, MAIL) as page:
        yield page


@pytest.fixture
def ann(visitor: Page) -> Page:
    log_in(visitor, PASSWORD)
    expect(visitor.locator("#messagelist")).to_be_attached()
    # Roundcube's answers write the whole session: one that is late takes back what the next page put there.
    visitor.wait_for_load_state("networkidle")
    return visitor


def log_in(page: Page, password: str) -> None:
    page.goto(MAIL)
    page.fill("#rcmloginuser", ANN)
    page.fill("#rcmloginpwd", password)
    page.click("#rcmloginsubmit")


def held(server: Box, user: str, subject: str, mailbox: str = "INBOX") -> int:
    words = ("doveadm", "search", "-u", user, "mailbox", mailbox, "subject", subject)
    return len(server.run(*words).stdout.splitlines())


def open_message(page: Page, server: Box, subject: str) -> None:
    """A message of that subject in the whole window."""
    until(lambda: held(server, ANN, subject), subject, server.tail)
    page.goto(f"{MAIL}?_task=mail&_mbox=INBOX")
    expect(page.locator("#messagelist .subject a", has_text=subject)).to_be_visible()
    picture(page, "webmail-inbox")
    assert serious_faults(page) == []
    page.locator("#messagelist .subject a", has_text=subject).first.dblclick()
    page.wait_for_url(re.compile("_action=show"))


def test_the_way_in_is_for_everybody(visitor: Page) -> None:
    visitor.goto(MAIL)
    picture(visitor, "webmail-login")
    assert serious_faults(visitor) == []


def test_mail_is_read_and_deleted(server: Box, net: Segment, ann: Page) -> None:
    deliver(net, "Read-me-now")
    open_message(ann, server, "Read-me-now")
    expect(ann.locator("#messagebody")).to_contain_text("Plain words")
    picture(ann, "webmail-message")
    assert serious_faults(ann) == []
    ann.click("#toolbar-menu a.delete")
    until(lambda: not held(server, ANN, "Read-me-now"), "the message to go", server.tail)


def test_mail_is_written(server: Box, ann: Page) -> None:
    ann.goto(f"{MAIL}?_task=mail&_action=compose&_to={BOB}")
    ann.fill("#compose-subject", "By-browser")
    ann.fill("#composebody", "Written by hand")
    picture(ann, "webmail-compose")
    assert serious_faults(ann) == []
    ann.click("#toolbar-menu a.send, button.send >> visible=true")
    until(lambda: held(server, BOB, "By-browser"), "the message in bob's mailbox", server.tail)


def test_a_rule_made_on_the_page_files_mail(server: Box, net: Segment, ann: Page) -> None:
    server.run("doveadm", "mailbox", "create", "-u", ANN, "-s", "Bücher")
    ann.goto(f"{MAIL}?_task=settings&_action=plugin.managesieve")
    ann.click("a.create >> visible=true")
    form = ann.frame_locator("#filter-box")
    form.locator("[name=_name]").fill("Books")
    form.locator("#rulerow0 .multi-input input >> visible=true").fill("a book of birds")
    form.locator("#action_type0").select_option("fileinto")
    form.locator("#action_mailbox0").select_option(label="Bücher")
    picture(ann, "webmail-rule")
    assert serious_faults(ann) == []
    form.locator("button.submit").click()
    expect(ann.locator("#filterslist")).to_contain_text("Books")
    deliver(net, "a book of birds")
    until(lambda: held(server, ANN, "a book of birds", "Bücher"), "the message in its folder", server.tail)
    assert not held(server, ANN, "a book of birds")


def test_who_is_away_lets_the_box_answer_and_send_on(server: Box, net: Segment, ann: Page) -> None:
    ann.goto(f"{MAIL}?_task=settings&_action=plugin.managesieve-vacation")
    ann.fill("#vacation_subject", "Back in June")
    ann.fill("#vacation_reason", "I look at birds until then.")
    ann.select_option("#vacation_status", "on")
    picture(ann, "webmail-vacation")
    assert serious_faults(ann) == []
    ann.click("button.submit >> visible=true")
    expect(ann.locator("#messagestack")).to_contain_text("saved")
    ann.goto(f"{MAIL}?_task=settings&_action=plugin.managesieve-forward")
    ann.select_option("#forward_action", "copy")
    ann.fill("#action_target", BOB)
    ann.select_option("#forward_status", "on")
    picture(ann, "webmail-forwarding")
    assert serious_faults(ann) == []
    ann.click("button.submit >> visible=true")
    expect(ann.locator("#messagestack")).to_contain_text("saved")
    deliver(net, "Are you there?", sender=BOB)
    for whose, subject in ((BOB, "Back in June"), (BOB, "Are you there?"), (ANN, "Are you there?")):
        until(lambda: held(server, whose, subject), f"{subject} for {whose}", server.tail)  # noqa: B023 - called here


def test_a_hostile_message_does_nothing(server: Box, net: Segment, ann: Page) -> None:
    watched = Watched(ann, f"https://{NAME}/")
    deliver(net, "Hostile-page", HOSTILE)
    open_message(ann, server, "Hostile-page")
    expect(ann.locator("#messagebody")).to_contain_text("Harmless words")
    for link in ann.locator("#messagebody a", has_text="a link").all():
        link.click(no_wait_after=True)
    watched.require_nothing()


def test_guesses_are_refused_and_then_limited(visitor: Page) -> None:
    """The last of these tests: for a minute nobody logs in from here."""
    log_in(visitor, "a guess")
    expect(visitor.locator("#messagestack")).to_contain_text("Login failed")
    answers: list[int] = []
    visitor.on("response", lambda answer: answers.append(answer.status))
    for _ in range(10):
        log_in(visitor, "a guess")
        visitor.wait_for_load_state()
        if 429 in answers:
            break
    assert 429 in answers
