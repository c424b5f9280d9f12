"""The log of a run over REST: pages, the newest lines, filters; only of the own tenant."""

from __future__ import annotations

import pytest

from tests.api.conftest import Facade, error_of
from tests.api.runs.reports import begin, path

pytestmark = pytest.mark.postgres


@pytest.fixture
def pipeline(facade: Facade) -> str:
    return str(facade.pipeline()["id"])


def test_pages_follow_each_other_and_end_with_the_run(facade: Facade, pipeline: str) -> None:
    run_id = begin(facade, pipeline)
    for number in range(5):
        facade.store.log(run_id, "load", f"line {number}")
    seen, after = [], 0
    while True:
        page = facade.viewer.get(path(pipeline, "runs", run_id, f"log?limit=2&after={after}")).json()
        seen += [each["message"] for each in page["lines"]]
        after = page["last"]
        if not page["more"]:
            break
    assert (seen, page["ended"], page["waiting"]) == ([f"line {number}" for number in range(5)], False, None)
    facade.store.log(run_id, "run", "the disk is full", level="error")
    facade.store.finished(run_id, status="failed", failure_reason="the disk is full")
    page = facade.viewer.get(path(pipeline, "runs", run_id, f"log?after={after}")).json()
    assert ([each["message"] for each in page["lines"]], page["ended"]) == (["the disk is full"], True)
    page = facade.viewer.get(path(pipeline, "runs", run_id, f"log?after={page['last']}")).json()
    assert (page["lines"], page["more"], page["last"] > after) == ([], False, True)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tail=2", ["c", "B%"]),
        ("level=warning", ["b", "c"]),
        ("level=error&tail=9", ["c"]),
        ("q=b", ["b", "B%"]),
        ("q=%25", ["B%"]),
        ("stage=load", ["b"]),
    ],
)
def test_lines_are_those_that_are_asked_for(facade: Facade, pipeline: str, query: str, found: list[str]) -> None:
    run_id = begin(facade, pipeline)
    facade.store.log(run_id, "extract", "a")
    facade.store.log(run_id, "load", "b", level="warning")
    facade.store.log(run_id, "run", "c", level="error")
    facade.store.log(run_id, "run", "B%")
    page = facade.viewer.get(path(pipeline, "runs", run_id, f"log?{query}")).json()
    assert ([each["message"] for each in page["lines"]], page["more"]) == (found, False)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=-1", "tail=0", "level=loud", "stage=queue", "q=%00"])
def test_a_page_that_is_none_is_400(facade: Facade, pipeline: str, query: str) -> None:
    run_id = begin(facade, pipeline)
    error_of(facade.viewer.get(path(pipeline, "runs", run_id, f"log?{query}")), 400)


def test_the_log_of_a_foreign_run_is_404(facade: Facade, pipeline: str) -> None:
    run_id = begin(facade, pipeline)
    error_of(facade.foreign.get(path(pipeline, "runs", run_id, "log")), 404)
