"""Pages of errors are merged from groups: in the order of rows, and without reading what a filter leaves out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from headrace.catalog.engine import downgrade, upgrade
from headrace.catalog.errors import RunMissing
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.runs import ErrorFilter, position_of
from headrace.catalog.runs.records import UncommittedRows
from headrace.catalog.runs.store import RunStore
from tests.catalog.conftest import add_pipeline
from tests.databases import Roles

pytestmark = pytest.mark.postgres

RUN = "run_1"
MANY = 6_000


@pytest.fixture
def store(engine: Engine, mine: TenantCatalog) -> RunStore:
    store = RunStore(engine)
    facts: dict[str, Any] = {"tenant_id": "default", "pipeline_id": add_pipeline(mine).id, "root_run_id": RUN}
    store.open(RUN, **facts, ir_version=1, retry_of=None, load_strategy="append")
    return store


def add(store: RunStore, rows: range, column: str, rule: str = "type", *, warning: bool = False) -> None:
    cell = {"column": column, "value": "x", "error": "Bad", "rule": rule, "sources": '[{"node": "src", "file": "a"}]'}
    cells = [{"row": row, **cell} for row in rows]
    store.cells.add(RUN, RUN, "check", 0, 0, cells=json.dumps(cells), warning=warning)


def add_of(
    store: RunStore, rows: range, *files: str | None, node: str = "check", column: str = "a", run: str = RUN
) -> None:
    """Errors of rows that were joined from these files; None is a table."""
    sources = json.dumps([{"node": f"n{n}"} | ({"file": file} if file else {}) for n, file in enumerate(files)])
    cell = {"column": column, "value": "x", "error": "Bad", "rule": "type", "sources": sources}
    store.cells.add(RUN, run, node, 0, 0, cells=json.dumps([{"row": row, **cell} for row in rows]))


def read(mine: TenantCatalog, only: ErrorFilter, limit: int = 5) -> list[tuple[int, str, str]]:
    """All pages."""
    run, found, after = mine.runs.get(RUN), [], None
    assert run is not None
    while page := mine.runs.errors(run, only, limit=limit, after=after):
        assert len(page) <= limit
        found += [(each.row, each.column, each.rule) for each in page]
        after = position_of(page[-1])
    return found


def test_pages_of_several_groups_follow_each_other_by_row(store: RunStore, mine: TenantCatalog) -> None:
    add(store, range(1, 20, 2), "b")
    add(store, range(1, 20, 3), "a")
    add(store, range(2, 9), "b", "gt")
    add(store, range(4, 7), "", "unique")
    add(store, range(5, 8), "w", warning=True)
    everything = read(mine, ErrorFilter())
    assert everything == sorted(everything)
    assert len(set(everything)) == len(everything) == 10 + 7 + 7 + 3 + 3
    assert [row for row, column, _ in everything if column == "a"] == list(range(1, 20, 3))
    assert read(mine, ErrorFilter(kind="warned")) == [(row, "w", "type") for row in range(5, 8)]
    assert read(mine, ErrorFilter(column="")) == [(row, "", "unique") for row in range(4, 7)]
    assert read(mine, ErrorFilter(rule="gt", column="b")) == [(row, "b", "gt") for row in range(2, 9)]
    assert read(mine, ErrorFilter(rule="gt", column="a")) == []
    assert len(read(mine, ErrorFilter(kind="failed", file="a"))) == 27
    assert read(mine, ErrorFilter(file="b")) == []


def test_a_cell_that_was_warned_of_may_fail_later(store: RunStore, mine: TenantCatalog) -> None:
    add(store, range(1, 2), "a", warning=True)
    add(store, range(1, 2), "a")
    add(store, range(1, 2), "a")
    assert [len(read(mine, ErrorFilter(kind=kind))) for kind in ("failed", "warned")] == [1, 1]
    assert len(read(mine, ErrorFilter(), limit=1)) == 2  # a page may end between the two


def test_errors_of_a_file_are_those_of_rows_with_any_source_in_it(store: RunStore, mine: TenantCatalog) -> None:
    add_of(store, range(1, 4), "a", "b")
    add_of(store, range(4, 7), "b", "a", "c")
    add_of(store, range(7, 9), None, "a", "a", node="late")  # joined with itself: each is one error
    add_of(store, range(9, 11), "b", "c", "d", "a", "e", column="z")
    add_of(store, range(11, 13), "a", "b", "c", "a", column="z")
    add_of(store, range(13, 15), None)
    add_of(store, range(15, 17))
    run = mine.runs.get(RUN)
    assert run is not None
    of = {"a": [*range(1, 13)], "b": [*range(1, 7), *range(9, 13)], "c": [*range(4, 7), *range(9, 13)]}
    of |= {"d": [9, 10], "e": [9, 10], "": [], "A": [], "none": []}
    for file, rows in of.items():
        only = ErrorFilter(file=file)
        assert [row for row, *_ in read(mine, only)] == rows
        assert mine.runs.error_count(run, only) == len(rows)
        assert sum(each.cells for each in mine.runs.error_groups(run, only, limit=9)) == len(rows)
        assert sum(each.cells for each in mine.runs.error_totals(run, only, limit=9)) == len(rows)
    late = ErrorFilter(file="a", node="late")
    assert ([row for row, *_ in read(mine, late)], mine.runs.error_count(run, late)) == ([7, 8], 2)


def test_errors_of_a_file_are_those_of_the_run_and_the_runs_that_it_continues(
    store: RunStore, mine: TenantCatalog
) -> None:
    first = mine.runs.get(RUN)
    assert first is not None
    facts: dict[str, Any] = {"tenant_id": "default", "pipeline_id": first.pipeline_id, "root_run_id": RUN}
    store.open("run_2", **facts, ir_version=1, retry_of=RUN, load_strategy="append")
    add_of(store, range(1, 4), "a", "b")
    add_of(store, range(4, 6), "a", "b", run="run_2")
    again = mine.runs.get("run_2")
    assert again is not None
    counts = {run.id: mine.runs.error_count(run, ErrorFilter(file="b")) for run in (first, again)}
    assert counts == {RUN: 3, "run_2": 5}
    assert len(mine.runs.errors(first, ErrorFilter(file="b"), limit=9)) == 3
    mine.session.delete(again)
    mine.session.commit()
    assert [row for row, *_ in read(mine, ErrorFilter(file="a"))] == [1, 2, 3]
    store.cells.forget(RUN)
    assert read(mine, ErrorFilter(file="a")) == []
    with pytest.raises(RunMissing):
        add_of(store, range(4, 6), "a", run="run_2")


def test_deleting_a_pipeline_deletes_the_errors_of_its_runs_alone(
    store: RunStore, engine: Engine, mine: TenantCatalog
) -> None:
    other = add_pipeline(mine, "other")
    mine.session.commit()
    facts: dict[str, Any] = {"tenant_id": "default", "pipeline_id": other.id, "root_run_id": "run_9"}
    store.open("run_9", **facts, ir_version=1, retry_of=None, load_strategy="append")
    store.cells.add("run_9", "run_9", "n", 0, 0, cells='[{"row": 1, "column": "", "error": "e", "rule": "r"}]')
    add(store, range(1, 4), "a")
    mine.session.delete(other)
    mine.session.commit()
    with engine.connect() as connection:
        left = connection.execute(text("SELECT DISTINCT run_id FROM headrace.run_errors")).scalars().all()
    assert left == [RUN]


def test_errors_are_counted_once_until_they_are_forgotten(store: RunStore, engine: Engine, mine: TenantCatalog) -> None:
    first = mine.runs.get(RUN)
    assert first is not None
    facts: dict[str, Any] = {"tenant_id": "default", "pipeline_id": first.pipeline_id, "root_run_id": RUN}
    store.open("run_2", **facts, ir_version=1, retry_of=RUN, load_strategy="append")
    again = mine.runs.get("run_2")
    assert again is not None

    def counts() -> list[int]:
        """As they are kept, which is as they are."""
        found = []
        for run, only in ((first, failed), (first, warned), (again, everything), (again, ErrorFilter(column="a"))):
            found.append(mine.runs.error_count(run, only))
            assert found[-1] == sum(each.cells for each in mine.runs.error_groups(run, only, limit=99))
        return found

    failed, warned, everything = ErrorFilter(kind="failed"), ErrorFilter(kind="warned"), ErrorFilter()
    add(store, range(1, 8), "a")
    add(store, range(5, 12), "a")  # three of them again
    add(store, range(1, 4), "b", warning=True)
    assert counts() == [11, 3, 14, 11]
    add_of(store, range(20, 25), "f", column="c", run="run_2")
    store.cells.add(RUN, RUN, "check", 0, 3, cells='[{"row": 1, "column": "a", "error": "e", "rule": "r"}]')
    assert counts() == [12, 3, 20, 12]
    store.cells.forget(RUN, UncommittedRows(0, 0, ("check", "other"), 3))
    assert counts() == [4, 3, 7, 4]
    store.cells.forget(RUN, since=1)
    assert counts() == [3, 3, 6, 3]
    mine.session.delete(again)
    mine.session.commit()
    store.cells.forget(RUN)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM headrace.run_error_counts")).scalar() == 0


def test_errors_of_before_the_counts_are_counted_by_the_upgrade(
    store: RunStore, engine: Engine, mine: TenantCatalog, migrated: Roles
) -> None:
    add(store, range(1, 8), "a")
    add(store, range(1, 4), "b", warning=True)
    mine.session.commit()
    downgrade(migrated.owner, "0021_errors_of_files")
    upgrade(migrated.owner)
    run = mine.runs.get(RUN)
    assert run is not None
    assert [mine.runs.error_count(run, ErrorFilter(kind=kind)) for kind in ("failed", "warned")] == [7, 3]
    add(store, range(6, 10), "a")
    assert mine.runs.error_count(run, ErrorFilter(kind="failed")) == 9


@pytest.mark.parametrize(
    "only",
    [
        ErrorFilter(column="rare"),
        ErrorFilter(column="none"),
        ErrorFilter(kind="failed"),
        ErrorFilter(rule="type", column="often"),
        ErrorFilter(file="none"),
        ErrorFilter(file="a", column="often"),
        ErrorFilter(file="few"),
        ErrorFilter(file="common"),
        ErrorFilter(file="few", column="often"),
        ErrorFilter(file="fourth"),
    ],
    ids=str,
)
def test_a_page_reads_no_more_than_its_groups_have_to_give(
    store: RunStore, engine: Engine, mine: TenantCatalog, only: ErrorFilter
) -> None:
    add(store, range(1, MANY), "often", warning=True)
    add(store, range(MANY - 3, MANY), "rare")
    add_of(store, range(MANY), "a", "common", column="joined")
    add_of(store, range(MANY, MANY + 3), "b", "few", column="joined")
    add_of(store, range(MANY + 3, MANY + 6), "b", "common", "c", "fourth", column="joined")
    with engine.begin() as connection:
        connection.execute(text("ANALYZE headrace.run_errors"))
    asked, run = list[tuple[str, Any]](), mine.runs.get(RUN)
    assert run is not None

    def note(connection: Any, _: Any, statement: str, values: Any, *__: Any) -> None:
        if statement.startswith("SET"):  # without a transaction it would do nothing
            assert connection.connection.dbapi_connection.info.transaction_status == TransactionStatus.INTRANS
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    few = only.column == "rare" or only.file in ("none", "few", "fourth")
    with Session(engine.execution_options(isolation_level="AUTOCOMMIT")) as session:  # as pages read
        reading = TenantCatalog(session, "default")
        read(reading, only, limit=50) if few else reading.runs.errors(run, only, limit=50)
        if few or not only.file:
            reading.runs.error_count(run, only)
        if few and only.file:
            reading.runs.error_totals(run, only, limit=50)
            reading.runs.error_groups(run, only, limit=50)
    event.remove(engine, "before_cursor_execute", note)
    assert asked
    with engine.connect() as connection:
        for statement, values in asked:
            if statement.startswith("SET"):
                connection.exec_driver_sql(statement)
                continue
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"
            [plan] = connection.exec_driver_sql(explain, values).scalar_one()
            assert _rows_read(plan["Plan"]) <= 200, json.dumps(plan, indent=1)


def _rows_read(plan: dict[str, Any]) -> float:
    own = 0.0
    if plan.get("Relation Name") == "run_errors":
        left_out = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        own = (plan["Actual Rows"] + left_out) * plan["Actual Loops"]
    return own + sum(map(_rows_read, plan.get("Plans", ())))
