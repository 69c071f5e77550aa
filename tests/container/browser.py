"""A real browser at an address of a network: Chromium, driven by Playwright, that finds nothing but the box."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Error, Page, Request, sync_playwright

from tests.container.network import Segment
from tests.peers import Peers

SCREENS = Path(__file__).parents[2] / "out/screens"
WIDTHS = {"phone": (360, 740), "desk": (1280, 800)}
_PROGRAM = "/usr/lib/chromium/chromium"
_QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update", "--disable-sync")


@contextmanager
def browser(chromium: Peers, segment: Segment, name: str, address: str, folder: Path) -> Iterator[Browser]:
    """Chromium in the network `segment`, where every name is unknown but the box's."""
    # Playwright starts one program, and speaks with it by two pipes that stay open through all that ours becomes.
    starter = folder / "chromium"
    starter.write_text(f'#!/bin/sh\nexec {shlex.join(chromium.command(_PROGRAM, namespace=segment.namespace))} "$@"\n')
    starter.chmod(0o755)
    rules = f"--host-resolver-rules=MAP {name} {address}, MAP * ~NOTFOUND, EXCLUDE {address}"
    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=starter,
            args=[*_QUIET, rules],
            chromium_sandbox=False,  # root's, who runs the tests
            env={**os.environ, "HOME": "/tmp"},
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def page_of(browser: Browser, start: str) -> Iterator[Page]:
    """A new visitor's page. The box's certificate is self-made: test_tls looks at it."""
    context = browser.new_context(base_url=start, ignore_https_errors=True, locale="en-GB")
    context.set_default_timeout(30_000)
    try:
        yield context.new_page()
    finally:
        context.close()


def picture(page: Page, name: str) -> None:
    """Screenshots at the width of a phone and of a desk, and that nothing is wider than the window."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    for form, (width, height) in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)  # what moves when the width changes has come to rest
        page.screenshot(path=SCREENS / f"{name}-{form}.png")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} px wide in a window of {width}"
    if before:
        page.set_viewport_size(before)


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds that shuts people out, each with the first place."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


class Watched:
    """What a page asks of anybody but the box, and what its scripts say: of a stranger's message, nothing."""

    def __init__(self, page: Page, start: str) -> None:
        self.page, self.start = page, start
        self.elsewhere: list[str] = []
        self.said: list[str] = []
        page.context.on("request", self._note)
        page.on("dialog", self._close)

    def require_nothing(self) -> None:
        """Nothing was asked or said, and no script of the message ran: theirs set `hit`."""
        self.page.wait_for_load_state("networkidle")
        assert (self.elsewhere, self.said) == ([], [])
        for frame in self.page.frames:
            with suppress(Error):  # a frame in which no script runs at all
                assert frame.evaluate("typeof window.hit") == "undefined"

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self.start, "data:", "blob:")):
            self.elsewhere.append(request.url)

    def _close(self, dialog: Dialog) -> None:
        self.said.append(dialog.message)
        dialog.dismiss()
