"""What people do at the console, from the first page to the rows in the table, on a whole stack with Prefect and by
keyboard alone: Tab, Enter, the arrows and typing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.api.console.browser import MODES, Watched, needs_a_browser, opened, screen
from tests.conftest import RunningStack
from tests.rest import Api

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.stack, pytest.mark.slow, needs_a_browser]

_MOST_TABS = 300
_PATIENCE_MS = 120_000

_AT = """() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const label = at.labels?.[0]?.innerText ?? at.getAttribute('aria-label') ?? '';
    return { words: [at.innerText ?? '', label].map((each) => each.replace(/\\s+/g, ' ').trim()), name: at.name ?? '' };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


@pytest.fixture
def person(browser: Browser, stack: RunningStack) -> Iterator[Person]:
    with screen(browser, stack.api_url.removesuffix("/api/v1"), MODES[0]) as watched:
        watched.page.set_default_timeout(_PATIENCE_MS)
        watched.page.on("dialog", lambda dialog: dialog.accept())  # as Enter does
        watched.log_in(stack.api_key)
        yield Person(watched)
        assert watched.problems == []


class Person:
    """Somebody without a mouse."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    @property
    def page(self) -> Page:
        return self._watched.page

    def go(self, path: str) -> None:
        self._watched.go(path)

    def tab_to(self, wanted: str) -> None:
        """Presses Tab until the focus is on what has this text, label or name."""
        seen = []
        for _ in range(_MOST_TABS):
            self.page.keyboard.press("Tab")
            at: dict[str, Any] | None = self.page.evaluate(_AT)
            if at is not None and wanted in (*at["words"], at["name"]):
                return
            seen.append(at)
        raise AssertionError(f"Tab does not reach {wanted!r}, but {[each for each in seen if each][:40]}")

    def press(self, wanted: str) -> None:
        self.tab_to(wanted)
        self.page.keyboard.press("Enter")

    def type_into(self, wanted: str, text: str) -> None:
        """Instead of what is there."""
        self.tab_to(wanted)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def typed(self, wanted: str) -> str:
        """What is in a field."""
        self.tab_to(wanted)
        return str(self.page.evaluate("document.activeElement.value"))

    def sees(self, text: str) -> None:
        self.page.wait_for_selector(f"main >> text={text}")

    def arrives(self, place: str) -> str:
        """Waits for a page; returns the last part of its path."""
        self.page.wait_for_url(place)
        self.page.locator(".htmx-request").first.wait_for(state="detached")
        return self.page.url.partition("?")[0].rpartition("/")[2]

    def runs(self, pipeline: str) -> str:
        """Starts a run on the page of a pipeline."""
        self.go(f"/pipelines/{pipeline}")
        self.press("Run")
        return self.arrives("**/runs/run_*")

    def saves(self, pipeline: str, before: str, after: str) -> None:
        """Changes the document in the editor, and publishes it."""
        self.go(f"/pipelines/{pipeline}/edit")
        text = self.typed("text")
        assert before in text
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text.replace(before, after))
        self.page.wait_for_selector("#problems >> text=It can be saved")
        self.press("Save and publish")
        self.arrives("**/edit?saved=*")


@pytest.fixture
def api(stack: RunningStack) -> Iterator[Api]:
    check = {"id": "check", "kind": "validate", "quarantine": {"table": f"dlq.q_{uuid4().hex[:8]}"}}
    rules = [{"id": "large", "field": "amount", "rule": "gte:10", "onFail": "quarantine"}]
    api = Api(stack, "amount,note\n1,a\n20,b\n30,c\n4,d\n", nodes=[check | {"rowLevel": rules}])
    api.create()
    yield api
    api.close()


def test_a_file_becomes_a_table(person: Person, stack: RunningStack) -> None:
    name, rows = f"sales_{uuid4().hex[:8]}", 3_000
    (stack.files_root / f"{name}.csv").write_text("id,amount\n" + "".join(f"{n},{n}.25\n" for n in range(rows)))
    with closing(Api(stack, None)) as api:
        person.go("/")
        person.press("New pipeline")
        person.arrives("**/pipelines/new")
        person.press(api.name)
        person.arrives("**/pipelines/new?connector=*")
        person.page.wait_for_selector(f"a:text-is('{name}.csv')")
        person.press(f"{name}.csv")
        person.arrives("**/pipelines/new?*stream=*")
        person.page.wait_for_selector("#table")
        person.type_into("table", name)
        person.type_into("name", name)
        person.press("Write the document")
        person.arrives("**/pipelines/pipe_*/edit")
        pipeline = person.page.url.split("/")[-2]
        person.page.wait_for_selector("#problems >> text=It can be saved")
        person.press("Save and publish")
        person.arrives("**/edit?saved=1")
        run_id = person.runs(pipeline)
        person.sees(f"All {rows:,} rows that were read are loaded.")
        assert person.page.locator(".legend strong").first.inner_text() == f"{rows:,}"
        api.pipeline = pipeline
        done = api.finished(run_id)
        assert (done["status"], done["rowsIn"], done["rowsOut"], done["failedRows"]) == ("completed", rows, rows, 0)
        [found] = [each for each in api.get("/schemas?limit=100").json()["data"] if each["name"] == name]
        api.table = f"public.{found['tableName']}"
        total = sum(range(rows)) + rows // 4
        assert api.rows("SELECT count(*), sum(amount)::bigint FROM {table}") == [(rows, total)]


def test_rows_that_failed_are_tried_first_and_then_loaded(person: Person, api: Api) -> None:
    run_id = person.runs(api.pipeline)
    person.sees("2 of 4 rows failed")
    person.press("Errors")
    person.arrives("**/errors")
    person.press("Whole row 1")
    person.page.wait_for_selector(".whole-row dd:has-text('a')")
    person.saves(api.pipeline, "gte:10", "gte:4")
    person.go(f"/runs/{run_id}/quarantine")
    assert person.page.locator(".preview tbody tr").count() == 2
    person.press("Try first")
    person.sees("1 of 2 rows would pass under version 2")
    assert api.rows("SELECT amount FROM {table} ORDER BY amount") == [(20,), (30,)]
    person.saves(api.pipeline, "gte:4", "gte:1")
    person.go(f"/runs/{run_id}/quarantine")
    person.press("Run them again under version 3")
    person.page.wait_for_url(lambda url: "/runs/run_" in url and run_id not in url)
    person.sees("All 2 rows that were read are loaded.")
    assert api.rows("SELECT amount FROM {table} ORDER BY amount") == [(1,), (4,), (20,), (30,)]
    person.go(f"/runs/{run_id}/quarantine")
    person.sees("There are none")


def test_a_version_is_compared_and_rolled_back(person: Person, api: Api) -> None:
    person.saves(api.pipeline, "gte:10", "gte:25")
    person.runs(api.pipeline)
    person.sees("3 of 4 rows failed")
    person.go(f"/pipelines/{api.pipeline}/versions")
    person.press("Compare the two chosen")
    person.arrives("**/versions?*from=1*")
    person.sees("large.rule: gte:10 → gte:25")
    person.press("Roll back to this version 1")
    person.page.wait_for_selector("tr:has(th:has-text('1')) .tag.good")
    run_id = person.runs(api.pipeline)
    person.sees("2 of 4 rows failed")
    assert api.finished(run_id)["failedRows"] == 2
    assert api.detail(run_id)["irVersion"] == 1
