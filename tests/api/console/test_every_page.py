"""Every page of the console in a real browser, on desktop and phone, light and dark: accessible, whole, without errors,
with all controls in reach of the keyboard, and for each role and tenant what it may see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from fastapi.routing import APIRoute
from jinja2 import Environment

from headrace.api.console.router import GUARDED, PUBLIC
from headrace.api.requests.auth import READ
from tests.api.conftest import Facade, emptied
from tests.api.console.browser import MODES, Mode, Watched, needs_a_browser, opened, screen
from tests.api.console.people import key_of
from tests.api.console.views import VIEWS, Site, View, site_of
from tests.network_postgres import NetworkPostgres, network_postgres

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["network_postgres"]

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900), needs_a_browser]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def site(
    running_facade: Facade, tmp_path_factory: pytest.TempPathFactory, network_postgres: NetworkPostgres
) -> Iterator[Site]:
    with site_of(emptied(running_facade), tmp_path_factory.mktemp("files"), network_postgres) as found:
        yield found


def press(watched: Watched, step: str) -> None:
    """Does a step by keyboard: fills a field, chooses an option, or presses Enter on a control."""
    place, _, what = step.partition(" >> ")
    control = watched.page.locator(place if what.startswith(("fill:", "option:")) else step)
    control.wait_for()
    control.focus()
    if what.startswith("fill:"):
        control.fill(what.removeprefix("fill:"))
    elif what.startswith("option:"):
        watched.page.keyboard.type(what.removeprefix("option:"))
        watched.page.keyboard.press("Enter")
    else:
        watched.page.keyboard.press("Enter")


def visit(watched: Watched, site: Site, view: View) -> list[str]:
    """Opens a page, does what the view says, and waits for what it says; returns what was in vain."""
    from playwright.sync_api import Error

    try:
        watched.page.goto(watched.base + site.path(view))
        for step in view.do:
            press(watched, step)
        watched.page.locator(view.seen).first.wait_for()
        watched.page.locator(".htmx-request").first.wait_for(state="detached")
        if view.polls:
            watched.page.wait_for_event("requestfinished")
    except Error as error:
        return [str(error)]
    return []


_OURS = {"exclude": [["#documentation"]]}
"""What axe looks at: all but Swagger's own."""

_LAYOUT = """() => {
    const found = [], wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (wide > 0) found.push(`${wide} pixels wider than the screen`);
    for (const cell of document.querySelectorAll('.stack td[data-head]')) {
        const parts = [...cell.childNodes].filter((each) => each.nodeType === 1 || each.textContent.trim());
        if (parts.length > 1) found.push(`a phone pulls it apart: ${cell.outerHTML.slice(0, 160)}`);
    }
    for (const cell of document.querySelectorAll('main td, main th, main button, main .button')) {
        const box = cell.getBoundingClientRect();
        const text = cell.innerText.trim();
        if (text.length > 3 && box.width > 0 && box.height > 40 * 18 && !cell.querySelector('pre, details, dl'))
            found.push(`letters below each other: ${text.slice(0, 60)}`);
    }
    return found;
}"""
"""What is wrong with how a page is laid out."""

_CONTROLS = """() => {
    const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')];
    const groups = new Set();
    window.controls = all.filter((each) => {
        if (each.disabled || each.type === 'hidden') return false;
        if (!each.checkVisibility({ visibilityProperty: true })) return false;
        if (each.type !== 'radio') return true;
        const first = !groups.has(each.name);
        groups.add(each.name);
        return first;
    });
    window.reached = new Set();
    document.activeElement?.blur?.();
    return window.controls.length + 3 * document.querySelectorAll('[type=date]').length;
}"""

_REACHED = """() => {
    const at = document.activeElement;
    if (!at || at === document.body) return '';
    const same = (each) => each === at || (at.type === 'radio' && each.type === 'radio' && each.name === at.name);
    window.reached.add((window.controls.find(same) ?? at).outerHTML);
    if (at.type === 'date') return '';
    const style = getComputedStyle(at), inner = at.querySelector?.('rect');
    const shown = style.outlineStyle !== 'none' || (inner && getComputedStyle(inner).strokeWidth !== '0px');
    return shown ? '' : at.outerHTML.slice(0, 160);
}"""

_MISSED = """() => {
    const missed = window.controls.filter((each) => !window.reached.has(each.outerHTML));
    return missed.map((each) => each.outerHTML.slice(0, 160));
}"""


def unreached(watched: Watched) -> list[str]:
    """Controls that Tab does not reach, and those that do not show that they have the focus."""
    page = watched.page
    count = page.evaluate(_CONTROLS)
    unseen = []
    for _ in range(count + 4):
        page.keyboard.press("Tab")
        if found := page.evaluate(_REACHED):
            unseen.append(f"shows no focus: {found}")
    return unseen + [f"is not reached: {each}" for each in page.evaluate(_MISSED)]


def routes() -> list[APIRoute]:
    """All routes of the console."""
    return [each for router in (*PUBLIC, *GUARDED) for each in router.routes if isinstance(each, APIRoute)]


def routes_of(requests: Sequence[tuple[str, str]]) -> set[str]:
    """The names of the routes that answered requests: each time the first that matches."""
    found = set[str]()
    for method, path in requests:
        found |= set([each.name for each in routes() if method in each.methods and each.path_regex.match(path)][:1])
    return found


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_page_is_whole_accessible_and_loads_nothing_from_elsewhere(
    browser: Browser, site: Site, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    rendered: set[str] = set()
    load = Environment.get_template

    def recorded(self: Environment, name: Any, *more: Any, **options: Any) -> Any:
        rendered.add(str(name))
        return load(self, name, *more, **options)

    monkeypatch.setattr(Environment, "get_template", recorded)
    axe, found = Axe(), list[str]()
    with screen(browser, site.base, mode) as watched:
        watched.page.set_default_timeout(120_000)  # the first answer of /openapi.json is made, on a busy machine
        requests: list[tuple[str, str]] = []
        watched.page.on("request", lambda each: requests.append((each.method, urlsplit(each.url).path)))
        watched.page.on("dialog", lambda dialog: dialog.accept())
        for logged_in in (False, True):
            if logged_in:
                watched.log_in(key_of(site.facade.admin))
            for name, view in VIEWS.items():
                if view.logged_in is not logged_in:
                    continue
                requests.clear()
                rendered.clear()
                watched.problems.clear()
                said = visit(watched, site, view)
                for each in axe.run(watched.page, context=_OURS).response["violations"]:
                    if view.path != "/docs" or "landmark" not in each["id"]:  # Swagger has a main of its own
                        said.append(f"{each['id']}: {each['nodes'][0]['html'][:200]}")
                said += watched.page.evaluate(_LAYOUT)
                said += [each for each in watched.problems if not re.search(rf"(status of|Code) {view.status}\b", each)]
                said += [f"{each} was not asked for" for each in set(view.routes) - routes_of(requests)]
                said += [f"{each} was not seen" for each in set(view.templates) - rendered]
                if mode is MODES[0] and view.status == 200 and view.path != "/docs":
                    said += unreached(watched)
                found += [f"{name}: {each}" for each in said]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("who", ["editor", "viewer", "foreign"])
def test_other_people_see_what_is_theirs_and_are_told_what_is_not(browser: Browser, site: Site, who: str) -> None:
    role = "admin" if who == "foreign" else who
    found = list[str]()
    with screen(browser, site.base, MODES[2]) as watched:
        watched.log_in(key_of(getattr(site.facade, who)))
        for name, view in VIEWS.items():
            if not view.logged_in:
                continue
            watched.problems.clear()
            path = site.path(view)
            answer = watched.page.goto(site.base + path)
            assert answer is not None
            watched.page.locator(".htmx-request").first.wait_for(state="detached")
            wanted = 200
            if view.status == 404 or (who == "foreign" and "{" in view.path):
                wanted = 404
            elif role not in roles_for(urlsplit(path).path):
                wanted = 403
            if answer.status != wanted:
                found.append(f"{name}: {answer.status} instead of {wanted}")
            if who == "foreign" and "of the shop" in watched.page.inner_text("main"):
                found.append(f"{name} shows what another tenant has")
            found += [f"{name}: {each}" for each in watched.problems if not re.search(r"(status of|Code) 4", each)]
    assert not found, "\n".join(found)


def roles_for(path: str) -> list[str]:
    """The roles that may see a page."""
    [name] = routes_of([("GET", path)])
    return next(list((each.openapi_extra or {}).get("x-roles", READ)) for each in routes() if each.name == name)
