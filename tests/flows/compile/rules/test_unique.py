"""`unique` checks a value against all rows of the source, across partitions and batches."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.flows.runtime.execute import RunTotals
from headrace.flows.runtime.scheduler import run_in_threads
from tests.effort import examples
from tests.flows.compile.ops.cases import Op, frame, passed, planned
from tests.flows.runtime.shop import Shop

TRIM: Op = {"type": "trim", "fields": ["other"]}


def repeated(**columns: list[object]) -> list[int]:
    """The rows that a rule on the first column finds."""
    rules = [{"field": next(iter(columns)), "rule": "unique"}]
    _, cells, _ = passed(planned(TRIM, rules=rules), frame(**columns), "check")
    assert {cell[3] for cell in cells} <= {"Must be unique"}
    return [cell[0] for cell in cells]


@settings(max_examples=examples(40))
@given(st.lists(st.sampled_from([None, "a", "A", "ä", "", " "]), min_size=1, max_size=12))
def test_the_first_row_of_each_value_passes_and_so_does_null(values: list[str | None]) -> None:
    seen: set[str] = set()
    expected = []
    for number, value in enumerate(values, 1):
        if value in seen:
            expected.append(number)
        if value is not None:
            seen.add(value)
    assert repeated(text=list(values)) == expected


def test_values_of_every_type_are_compared() -> None:
    assert repeated(id=[1, 2, 1, None, None]) == [3]
    assert repeated(price=[0.5, 0.5, float("nan"), float("nan")]) == [2, 4]
    assert repeated(flag=[True, False, True]) == [3]


def test_a_row_may_break_it_beside_other_rules_and_its_marks_go() -> None:
    rules = [
        {"field": "text", "rule": "unique"},
        {"field": "id", "rule": "unique", "onFail": "warn"},
        {"field": "id", "rule": "gt:0"},
    ]
    plan = planned(TRIM, rules=rules)
    made, cells, _ = passed(plan, frame(id=[1, 1, -1, 4], text=["a", "b", "a", "c"]), "check")
    assert made.get_column("id").to_list() == [1, 1, 4]
    assert sorted((cell[0], cell[1]) for cell in cells) == [(2, "id"), (3, "id"), (3, "text")]
    assert plan.nodes["check"].schema == plan.nodes["clean"].schema


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Shop:
    return Shop(tmp_path, database_url)


@pytest.mark.postgres
def test_repeated_values_are_found_across_partitions(shop: Shop) -> None:
    rows = 250_000
    lines = [
        f"{number},a customer whose name is long {number % (rows - 1000)},{number % 9 + 20},2024-01-01"
        for number in range(1, rows + 1)
    ]
    shop.write("id,name,amount,day\n" + "\n".join(lines) + "\n")
    rules = [{"id": "once", "field": "name", "rule": "unique"}]
    run = shop.execution(rules=rules, execution={"parallelism": 2, "batchSize": 20_000})
    assert len(run.prepared.plan.stages[0].partitions) > 1
    assert run_in_threads(run) == RunTotals(rows_in=rows, rows_out=rows - 1000, failed=1000, skipped=0)
    assert [error[1] for error in shop.recorder.errors] == list(range(249_001, 250_001))
    assert shop.table("SELECT count(*), count(DISTINCT name), max(id) FROM ds_orders") == [(249_000, 249_000, 249_000)]
