"""The log of a run over REST: pages, the newest lines, filters; only of the own tenant."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from headrace.catalog.runs.statements import log_line
from tests.api.conftest import Facade, error_of
from tests.api.runs.reports import begin, path, reject

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


def test_who_reads_on_misses_no_line_that_commits_late(facade: Facade, pipeline: str) -> None:
    run_id = begin(facade, pipeline)
    seen, after = list[str](), 0

    def read_on() -> None:
        nonlocal after
        page = facade.viewer.get(path(pipeline, "runs", run_id, f"log?after={after}")).json()
        seen.extend(each["message"] for each in page["lines"])
        after = page["last"]

    with ThreadPoolExecutor(1) as pool:
        with facade.engine.begin() as slow:
            slow.execute(log_line(run_id, "run", "commits late"))
            quick = pool.submit(facade.store.log, run_id, "load", "commits early")
            while not quick.done() and not _waits(facade.engine):
                time.sleep(0.01)
            read_on()
            facade.store.log(begin(facade, pipeline), "run", "lines of other runs do not wait")
            reject(facade, run_id, [(1, "age", "abc", "Expected integer")])  # and neither do errors
        quick.result()
    read_on()
    assert sorted(seen) == ["commits early", "commits late"]


def _waits(engine: Engine) -> bool:
    """Whether a session waits for another one."""
    asked = """
        SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE datname = current_database() AND NOT granted
    """
    with engine.connect() as connection:
        return connection.execute(text(asked)).scalar_one() > 0


def test_who_sees_that_a_run_has_ended_sees_why(facade: Facade, pipeline: str) -> None:
    run_id = begin(facade, pipeline)
    facade.store.finished(run_id, status="failed", failure_reason="it crashed", only_if_unfinished=True, error="why")
    again = facade.store.finished(run_id, status="failed", failure_reason=None, only_if_unfinished=True, error="no")
    page = facade.viewer.get(path(pipeline, "runs", run_id, "log")).json()
    assert ([each["message"] for each in page["lines"]], page["ended"], again) == (["why"], True, False)
    with facade.engine.connect() as connection:  # in one transaction: nobody sees one without the other
        asked = "SELECT l.xmin = r.xmin FROM headrace.run_log l JOIN headrace.pipeline_runs r ON r.id = l.run_id"
        assert connection.execute(text(asked)).scalars().all() == [True]


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
