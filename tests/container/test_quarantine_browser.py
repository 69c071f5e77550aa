"""The quarantine in a real browser: read, release, delete, welcome; guesses stay out, a hostile mail does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.container.box import until
from tests.container.browser import Watched, browser, page_of, picture, serious_faults
from tests.container.lab import INSIDE_BOX, PASSWORD
from tests.container.test_quarantine import arrived, hand_over
from tests.container.test_quarantine_pages import ANN, NAME, WORDS, Post
from tests.container.test_quarantine_pages import post as post
from tests.container.test_webmail import HOSTILE
from tests.peers import Peers

START = f"https://{NAME}/quarantine/"


@pytest.fixture(scope="module")
def window(post: Post, chromium: Peers) -> Iterator[Browser]:
    with browser(chromium, post.lab.inside, NAME, INSIDE_BOX, post.lab.folder) as opened:
        yield opened


@pytest.fixture
def visitor(window: Browser) -> Iterator[Page]:
    with page_of(window, START) as page:
        yield page


def log_in(page: Page, user: str, password: str) -> None:
    page.goto(START)
    page.get_by_label("E-mail address").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def shown(page: Page, name: str) -> None:
    """It can be looked at on a phone and on a desk, and by those who see little."""
    picture(page, f"quarantine-{name}")
    assert serious_faults(page) == []


def test_a_guess_does_not_get_in(visitor: Page) -> None:
    visitor.goto(START)
    shown(visitor, "login")
    log_in(visitor, ANN, "a guess")
    expect(visitor.get_by_role("alert")).to_be_visible()
    shown(visitor, "guess")


def test_a_message_is_read_and_released(post: Post, visitor: Page) -> None:
    name = post.keep(ANN, "Read-me-now")
    log_in(visitor, ANN, WORDS[ANN])
    shown(visitor, "list")
    visitor.get_by_role("link", name="Read-me-now").click()
    expect(visitor.locator("pre")).to_contain_text("hello")
    shown(visitor, "message")
    visitor.get_by_role("button", name="Release", exact=True).click()
    expect(visitor.get_by_role("status")).to_be_visible()
    assert name not in post.names(ANN)
    until(lambda: arrived(post.lab, "Read-me-now") == [ANN], "the message")


def test_several_are_deleted_at_once(post: Post, visitor: Page) -> None:
    names = {post.keep(ANN, subject) for subject in ("Away-one", "Away-two")}
    log_in(visitor, ANN, WORDS[ANN])
    for subject in ("Away-one", "Away-two"):
        visitor.get_by_role("checkbox", name=subject).check()
    visitor.get_by_role("button", name="Delete").click()
    expect(visitor.get_by_role("status")).to_be_visible()
    assert not names & set(post.names(ANN))


def test_a_sender_is_welcomed(post: Post, visitor: Page) -> None:
    post.keep(ANN, "From-a-friend", sender="friend@outside.example")
    log_in(visitor, ANN, WORDS[ANN])
    visitor.get_by_role("link", name="From-a-friend").click()
    visitor.get_by_role("button", name="welcome the sender").click()
    until(lambda: arrived(post.lab, "From-a-friend") == [ANN], "the message")
    visitor.get_by_role("link", name="Welcomed and blocked senders").click()
    expect(visitor.locator("main")).to_contain_text("friend@outside.example")
    shown(visitor, "senders")


def test_a_hostile_message_does_nothing(post: Post, visitor: Page) -> None:
    hostile = EmailMessage()
    hostile["From"], hostile["Subject"], hostile["X-Postern-Score"] = "eve@outside.example", "Hostile-page", "7"
    hostile.set_content(HOSTILE, subtype="html")
    assert hand_over(post.lab, "", 7, ANN, raw=hostile.as_bytes(policy=policy.SMTP)) == ["250"]
    watched = Watched(visitor, START.removesuffix("quarantine/"))
    log_in(visitor, ANN, WORDS[ANN])
    visitor.get_by_role("link", name="Hostile-page").click()
    expect(visitor.frame_locator("iframe").locator("body")).to_contain_text("Harmless words")
    watched.require_nothing()
    shown(visitor, "hostile")


def test_the_administrator_sees_every_quarantine(post: Post, visitor: Page) -> None:
    post.keep(ANN)
    log_in(visitor, "admin", PASSWORD)
    shown(visitor, "all")
    visitor.get_by_role("link", name="System quarantine").click()
    shown(visitor, "system")
