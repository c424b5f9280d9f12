"""A real browser for the tests of the console: the machine's Chromium; none is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


def chromium() -> str | None:
    """The path of the browser (HEADRACE_TEST_CHROMIUM, else the first on the path); None without one."""
    return os.environ.get("HEADRACE_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


needs_a_browser = pytest.mark.skipif(
    chromium() is None or find_spec("playwright") is None,
    reason="no Chromium or no playwright here: install Debian's package chromium (or set HEADRACE_TEST_CHROMIUM), and "
    "the extra dev",
)


@dataclass(frozen=True)
class Mode:
    """A kind of screen."""

    name: str
    width: int
    height: int
    scheme: str


MODES = [
    Mode(f"{size} {scheme}", width, height, scheme)
    for size, width, height in (("desktop", 1280, 900), ("phone", 390, 844))
    for scheme in ("light", "dark")
]


@dataclass
class Watched:
    """A page, and what went wrong on it."""

    page: Page
    base: str
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Notes errors of scripts and of the content policy, failed requests, and requests to other hosts."""
        self.page.on("console", lambda said: self._note("console", said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self._note("script", str(error)))
        self.page.on(
            "response", lambda got: self._note("status", f"{got.status} {got.url}") if got.status >= 500 else None
        )
        self.page.on("request", self._requested)

    def go(self, path: str) -> None:
        """Opens a page, and waits for what it loads by itself."""
        self.page.goto(self.base + path)
        self.page.locator(".htmx-request").first.wait_for(state="detached")

    def log_in(self, key: str) -> None:
        """Logs in by the form."""
        self.go("/login")
        self.page.fill("#key", key)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(self.base + "/")

    def _requested(self, request: Any) -> None:
        place = urlsplit(request.url)
        if place.scheme != "data" and f"{place.scheme}://{place.netloc}" != self.base:
            self._note("elsewhere", request.url)

    def _note(self, kind: str, text: str) -> None:
        self.problems.append(f"{kind}: {text}")


@contextmanager
def opened() -> Iterator[Browser]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def screen(browser: Browser, base: str, mode: Mode) -> Iterator[Watched]:
    """A page on a new screen, without cookies."""
    size: Any = {"width": mode.width, "height": mode.height}
    scheme: Any = mode.scheme
    context = browser.new_context(viewport=size, color_scheme=scheme)
    try:
        watched = Watched(context.new_page(), base)
        watched.watch()
        yield watched
    finally:
        context.close()
