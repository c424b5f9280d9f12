"""Pages of errors are merged from groups: in the order of rows, and without reading what a filter leaves out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.runs import ErrorFilter, position_of
from headrace.catalog.runs.store import RunStore
from tests.catalog.conftest import add_pipeline

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


@pytest.mark.parametrize(
    "only",
    [
        ErrorFilter(column="rare"),
        ErrorFilter(column="none"),
        ErrorFilter(kind="failed"),
        ErrorFilter(rule="type", column="often"),
    ],
    ids=str,
)
def test_a_page_reads_no_more_than_its_groups_have_to_give(
    store: RunStore, engine: Engine, mine: TenantCatalog, only: ErrorFilter
) -> None:
    add(store, range(1, MANY), "often", warning=True)
    add(store, range(MANY - 3, MANY), "rare")
    with engine.begin() as connection:
        connection.execute(text("ANALYZE headrace.run_errors"))
    asked = list[tuple[str, Any]]()

    def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    read(mine, only, limit=50) if only.column == "rare" else mine.runs.errors(mine.runs.get(RUN), only, limit=50)  # type: ignore[arg-type]
    event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        for statement, values in asked:
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"
            [plan] = connection.exec_driver_sql(explain, values).scalar_one()
            assert _rows_read(plan["Plan"]) <= 200, json.dumps(plan, indent=1)


def _rows_read(plan: dict[str, Any]) -> float:
    own = 0.0
    if plan.get("Relation Name") == "run_errors":
        left_out = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        own = (plan["Actual Rows"] + left_out) * plan["Actual Loops"]
    return own + sum(map(_rows_read, plan.get("Plans", ())))
