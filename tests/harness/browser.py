"""Chromium, driven through Playwright: the system's, with nothing downloaded and nothing asked of anybody but the gateway."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

_QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-dev-shm-usage")
LACKING = "chromium is not installed (Debian: apt-get install chromium)"


@contextmanager
def open_browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip(LACKING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One page in a profile of its own. `complaints`: what the browser's console said, and scripts that failed; `strays`: requests to
    anybody but the gateway, none of which is made."""

    context: BrowserContext
    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, key: str, path: str = "/console") -> None:
        self.go(path)
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(self.url + path)

    def widest(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Visit]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    visiting = Visit(context, page, url)
    page.on("console", lambda message: visiting.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: visiting.complaints.append(str(error)))

    def stray(route: Route) -> None:
        visiting.strays.append(route.request.url)
        route.abort()

    context.route(lambda asked: not asked.startswith((url, "data:", "blob:")), stray)
    try:
        yield visiting
    finally:
        context.close()
