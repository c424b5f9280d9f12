"""The console in a real browser: journeys by hand and by keyboard alone; `test_every_page.py` looks at all pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, emptied
from tests.api.console.browser import MODES, Watched, needs_a_browser, opened, screen
from tests.api.console.people import key_of
from tests.api.console.worlds import World, new_world
from tests.security.served import Served, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.postgres, pytest.mark.slow, needs_a_browser]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


@pytest.fixture(scope="module")
def facade(running_facade: Facade) -> Facade:
    return emptied(running_facade)


@pytest.fixture(scope="module")
def api(facade: Facade) -> Iterator[Served]:
    with served(facade, rate_limit=0) as found:
        yield found


@pytest.fixture(scope="module")
def world(facade: Facade) -> World:
    return new_world(facade, "Orders <b>of the shop</b>")


@pytest.fixture
def watched(browser: Browser, api: Served, facade: Facade) -> Iterator[Watched]:
    with screen(browser, f"http://127.0.0.1:{api.port}", MODES[0]) as found:
        found.log_in(key_of(facade.editor))
        yield found
        assert found.problems == []


_PLACE = """(() => {
    const reached = document.activeElement;
    return String(reached.href?.baseVal ?? reached.href ?? reached.innerText ?? reached.name);
})()"""
"""Where the focused element leads to, or what it says."""


def test_the_documentation_is_shown_without_the_internet(watched: Watched) -> None:
    watched.go("/docs")
    watched.page.wait_for_selector(".opblock-tag-section")
    watched.page.click("text=Pipelines and the versions of their IR")
    watched.page.wait_for_selector(".opblock-summary-path:has-text('/api/v1/pipelines/{pipeline_id}')")


def test_the_graph_is_drawn_and_its_nodes_lead_to_their_errors(watched: Watched, world: World) -> None:
    watched.go(f"/runs/{world.run_id}")
    assert watched.page.locator(".graph .node").count() == 3
    assert "20 failed" in watched.page.locator(".graph").inner_text()
    watched.page.locator(".graph a").first.click()
    watched.page.wait_for_url("**/errors?node=check")
    assert watched.page.locator("text=node: check").count() == 1


def test_everything_can_be_reached_and_done_by_keyboard(watched: Watched, facade: Facade, world: World) -> None:
    page = watched.page
    watched.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    page.keyboard.type("shop")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=shop**")
    watched.go(f"/pipelines/{world.pipeline_id}")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(_PLACE))
        outlined = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert page.evaluate("document.activeElement === document.body") or outlined != "none"
    clickable = page.eval_on_selector_all("main a, main button, header a, header button", "all => all.length")
    assert len(set(reached)) >= 15
    assert clickable >= 15
    assert any(str(each).endswith(f"/runs/{world.run_id}") for each in reached)  # a bar of the strip too
    page.locator("button:has-text('Run')").last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/run_*")
    assert "Waiting" in page.locator(".head").inner_text()


def test_counts_move_while_a_run_goes_on_and_the_page_says_how_it_ended(
    watched: Watched, facade: Facade, world: World
) -> None:
    page = watched.page
    path = f"{BASE_PATH}/pipelines/{world.pipeline_id}"
    run_id = facade.editor.post(f"{path}/run", json={}).json()["id"]
    watched.go(f"/runs/{run_id}")
    assert "Waiting" in page.locator(".head").inner_text()
    facade.store.started(run_id, total_rows=1000, fingerprint={}, plan={}, partitions=[(0, 0, 1000)])
    for rows in (250, 750):
        nodes = {"src": {"rowsIn": rows, "rowsOut": rows}}
        counts = {"rows_in": rows, "rows_out": rows, "failed": 0, "skipped": 0}
        facade.store.counts.report(run_id, 0, 0, status="running", nodes=nodes, **counts)
        page.wait_for_selector(f".legend strong:text-is('{rows}')")
        page.wait_for_selector(f".graph text:text-is('{rows} rows out')")
    page.fill("input[type=search]", "kept")
    facade.store.log(run_id, "load", "this line is kept")
    facade.store.log(run_id, "load", "this one is not")
    facade.store.counts.report(
        run_id, 0, 0, status="completed", rows_in=1000, rows_out=1000, failed=0, skipped=0, nodes={}
    )
    facade.store.finished(run_id, status="completed", failure_reason=None)
    page.wait_for_selector(".banner.good")
    assert "All 1,000 rows that were read are loaded." in page.locator(".banner").inner_text()
    assert page.locator("#cancel").count() == 0
    page.wait_for_selector("#log-body td:has-text('this line is kept')")
    page.wait_for_selector("#log-body td:has-text('this one is not')", state="detached")


def test_the_log_is_searched_and_shows_only_what_matters(watched: Watched, facade: Facade, world: World) -> None:
    facade.store.log(world.failed_id, "load", "rows were kept out", level="warning")
    facade.store.log(world.failed_id, "extract", "nothing new")
    watched.go(f"/runs/{world.failed_id}")
    lines = watched.page.locator("#log-body tr")
    assert lines.count() == 2
    watched.page.select_option("select[name=level]", "warning")
    watched.page.wait_for_selector("#log-body td:has-text('nothing new')", state="detached")
    assert "rows were kept out" in lines.inner_text()
    watched.page.fill("input[name=q]", "no such line")
    watched.page.wait_for_selector("#log-body td:has-text('No line matches')")


def test_a_part_that_cannot_be_shown_says_why(watched: Watched, world: World) -> None:
    watched.go(f"/pipelines/{world.pipeline_id}/plan")
    watched.page.wait_for_selector("[role=alert] strong:has-text('Not possible')")
    assert "does not exist" in watched.page.locator("[role=alert]").inner_text()
    watched.problems[:] = [each for each in watched.problems if "422" not in each]


def test_a_link_signs_in_once_and_leads_to_its_page(browser: Browser, api: Served, facade: Facade) -> None:
    base = f"http://127.0.0.1:{api.port}"
    token = facade.viewer.post("/login/links").json()["token"]
    with screen(browser, base, MODES[0]) as watched:
        watched.page.goto(f"{base}/login?next=/?q=a#{token}")
        watched.page.wait_for_url(f"{base}/?q=a")
        assert "viewer" in watched.page.locator(".who").inner_text()
    with screen(browser, base, MODES[0]) as watched:
        watched.page.goto(f"{base}/login#{token}")
        watched.page.wait_for_selector("text=This link has been used")


def test_a_link_of_another_site_finds_the_session(browser: Browser, api: Served, facade: Facade, world: World) -> None:
    """The cookie is not sent along with it: the page asks for itself once more."""
    base = f"http://127.0.0.1:{api.port}"
    with screen(browser, base, MODES[0]) as watched:
        watched.log_in(key_of(facade.viewer))
        watched.page.route("http://elsewhere.example/", lambda route: route.fulfill(
            content_type="text/html", body=f"<a href='{base}/runs/{world.run_id}'>the run</a>"
        ))  # fmt: skip
        watched.page.goto("http://elsewhere.example/")
        watched.page.click("text=the run")
        watched.page.wait_for_selector("text=Where the rows went")


def test_lineage_is_drawn_and_a_column_shows_its_way_by_keyboard(watched: Watched, facade: Facade) -> None:
    source, target = IR["nodes"]
    fields = [{"name": name, "dataType": "integer"} for name in ("price", "count")]
    ops = [{"type": "expression", "field": "amount", "expression": "price * count"}]
    nodes = [
        {**source, "fields": fields},
        {"id": "total", "kind": "transform", "input": "src", "ops": ops},
        {**target, "input": "total", "schema": "public.ds_drawn"},
    ]
    made = facade.pipeline("drawn", ir={**IR, "nodes": nodes})
    watched.go(f"/pipelines/{made['id']}/lineage")
    page = watched.page
    page.wait_for_selector(".lineage [role=listbox]")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "option":
            break
    said = page.locator("[data-said]")
    assert said.inner_text() == "src.price goes into amount of public.ds_drawn."
    page.keyboard.press("ArrowDown")
    assert said.inner_text() == "src.count goes into amount of public.ds_drawn."
    assert page.locator(".lineage .link.on").count() == 1
    page.keyboard.press("Tab")
    assert "amount comes from src.price, src.count, through total: amount = price * count." in said.inner_text()
    assert page.locator(".lineage .link.on").count() == 2
    page.keyboard.press("Escape")
    assert page.locator(".lineage .on").count() == 0
