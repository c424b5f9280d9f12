"""Whole runs without an orchestrator: a real file into a real table, with every row accounted for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.catalog.runs.records import ConnectorRecord
from headrace.connectors.errors import SourceError, TargetError
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import PlanFailed, RunFailed, SourceChanged
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.shop import ORDERS, Shop, many, until

pytestmark = pytest.mark.postgres


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Shop:
    return Shop(tmp_path, database_url)


def test_good_rows_land_and_bad_rows_are_reported_with_their_source_row(shop: Shop) -> None:
    shop.write(ORDERS)
    rules = [
        {"id": "named", "field": "name", "rule": "not_empty"},
        {"id": "positive", "field": "amount", "rule": "gt:0", "onFail": "skip"},
    ]
    totals = shop.run(ops=[{"type": "cast", "field": "amount", "to": "integer"}], rules=rules)
    assert totals == RunTotals(rows_in=4, rows_out=1, failed=2, skipped=1)
    assert shop.table() == [(1, "Ann", 10)]
    assert shop.recorder.errors == [
        ("clean", 2, "amount", "x", "Expected integer"),
        ("check", 3, "name", None, "Must not be empty"),
    ]


def test_many_partitions_and_batches_lose_and_double_nothing(shop: Shop) -> None:
    shop.write(many(300_000, bad_every=1000))
    execution = {"parallelism": 2, "batchSize": 7_000}
    run = shop.execution(ops=[{"type": "cast", "field": "amount", "to": "integer"}], execution=execution)
    assert len(run.prepared.plan.stages[0].partitions) > 1
    totals = run_in_threads(run)
    assert totals == RunTotals(rows_in=300_000, rows_out=299_700, failed=300, skipped=0)
    assert shop.table("SELECT count(*), count(DISTINCT id), sum(id) FROM ds_orders") == [
        (299_700, 299_700, sum(n for n in range(1, 300_001) if n % 1000))
    ]
    assert [error[1] for error in shop.recorder.errors] == list(range(1000, 300_001, 1000))
    assert {status for status, _ in shop.recorder.states.values()} == {"completed"}


def test_every_loaded_row_knows_the_load_it_came_with(shop: Shop) -> None:
    shop.write(ORDERS.replace("x", "20"))
    shop.run()
    query = """
        SELECT DISTINCT run_id, pipeline_id, ir_version, source_node
        FROM _headrace.loads JOIN ds_orders ON load_id = _headrace_load_id
    """
    assert shop.table(query) == [("run_1", "pipe_1", 1, "src")]


def test_what_the_database_refuses_is_reported_and_the_rest_lands(shop: Shop) -> None:
    shop.write("id,name,amount,day\n1,a,1,2024-01-01\n1,b,2,2024-01-01\n3,c,13,2024-01-01\n4,d,4,2024-01-01\n")
    totals = shop.run()
    assert totals == RunTotals(rows_in=4, rows_out=2, failed=2, skipped=0)
    assert [row[0] for row in shop.table()] == [1, 4]
    assert [(node, row) for node, row, *_ in shop.recorder.errors] == [("tgt", 2), ("tgt", 3)]


def test_an_abort_rule_fails_the_run_before_its_batch_is_loaded(shop: Shop) -> None:
    shop.write(ORDERS)
    with pytest.raises(RunFailed, match="Rule 'positive' stops the run: row 4"):
        shop.run(
            ops=[{"type": "cast", "field": "amount", "to": "integer"}],
            rules=[{"id": "positive", "field": "amount", "rule": "gt:0", "onFail": "abort"}],
        )
    assert shop.table() == []
    assert ("check", 4, "amount", "-5", "Must be greater than 0") in shop.recorder.errors


def test_too_many_bad_rows_fail_the_run_and_say_which_limit(shop: Shop) -> None:
    shop.write(many(5_000, bad_every=10))
    ops = [{"type": "cast", "field": "amount", "to": "integer"}]
    with pytest.raises(RunFailed, match=r"More than 100 rows failed \(errorHandling.maxErrorRows\)"):
        shop.run(ops=ops, errorHandling={"maxErrorRows": 100})
    with pytest.raises(RunFailed, match="maxErrorRate"):
        shop.run(run_id="run_2", root="run_2", ops=ops, errorHandling={"maxErrorRate": 0.05})


@pytest.mark.parametrize("amount", ["bad", "13"], ids=["does not fit the column", "refused by the database"])
def test_a_row_that_fails_at_the_target_counts_once_in_every_attempt(shop: Shop, amount: str) -> None:
    text = many(100_000).splitlines()
    for number in (1, 2, 95_001, 100_000):
        text[number] = f"{number},customer,{amount},2024-02-01"
    shop.write("\n".join(text))
    options: Any = {"execution": {"parallelism": 1, "batchSize": 10_000}, "errorHandling": {"maxErrorRows": 4}}
    first = shop.execution(**options)
    first.begin()
    assert 9_998 <= until(first, rows=10_000, max_errors=4) < 95_000
    totals = run_in_threads(shop.execution(run_id="run_2", earlier=stored_plan(first.prepared), **options))
    assert totals == RunTotals(rows_in=100_000, rows_out=99_996, failed=4, skipped=0)


def test_a_run_that_died_is_continued_after_what_was_committed(shop: Shop) -> None:
    text = many(200_000)
    shop.write(text)
    execution = {"parallelism": 1, "batchSize": 10_000}
    first = shop.execution(execution=execution)
    first.begin()
    stage = first.prepared.plan.stages[0]
    committed = until(first, rows=30_000)
    assert 0 < committed < 200_000
    assert shop.table("SELECT count(*) FROM ds_orders") == [(committed,)]

    again = shop.execution(run_id="run_2", earlier=stored_plan(first.prepared), execution=execution)
    assert again.prepared.plan.stages[0].partitions == stage.partitions
    totals = run_in_threads(again)
    assert totals == RunTotals(rows_in=200_000, rows_out=200_000, failed=0, skipped=0)
    assert shop.table("SELECT count(*), count(DISTINCT id) FROM ds_orders") == [(200_000, 200_000)]
    assert any("continues after" in message for _, message in shop.recorder.lines)


def test_a_changed_source_is_not_continued(shop: Shop) -> None:
    shop.write(ORDERS)
    plan = stored_plan(shop.execution().prepared)
    shop.write(ORDERS + "5,Eve,1,2024-01-05\n")
    with pytest.raises(SourceChanged, match="changed since this run began"):
        shop.execution(run_id="run_2", earlier=plan)


def test_the_same_run_twice_loads_nothing_twice(shop: Shop) -> None:
    shop.write(ORDERS.replace("x", "20"))
    first = shop.execution()
    assert run_in_threads(first) == run_in_threads(shop.execution(earlier=stored_plan(first.prepared)))
    assert len(shop.table()) == 4


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (None, SourceError, "'orders.csv' does not exist"),
        ("", SourceError, "empty"),
        ("id,name\n1,a\n", SourceError, "amount"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(shop: Shop, text: str | None, error: type[Exception], says: str) -> None:
    if text is not None:
        shop.write(text)
    with pytest.raises(error, match=says):
        shop.run()


def test_a_header_alone_is_an_empty_run(shop: Shop) -> None:
    shop.write("id,name,amount,day\n")
    assert shop.run() == RunTotals(0, 0, 0, 0)


def test_ragged_lines_and_wrong_types_fail_alone(shop: Shop) -> None:
    shop.write(
        "id,name,amount,day\n1,a,1,2024-01-01\n2,b\n3,c,3,2024-01-03,extra\nfour,d,4,2024-01-04\n5,e,5,2024-01-05\n"
    )
    totals = shop.run()
    assert totals == RunTotals(rows_in=5, rows_out=2, failed=3, skipped=0)
    assert [(row, column, error) for _, row, column, _, error in shop.recorder.errors] == [
        (2, None, "Expected 4 fields, found 2"),
        (3, None, "Expected 4 fields, found 5"),
        (4, "id", "Expected integer"),
    ]


def test_an_unknown_column_or_table_is_reported_before_anything_is_read(shop: Shop) -> None:
    shop.write(ORDERS)
    with pytest.raises(PlanFailed, match=r"no column 'amont' here .did you mean 'amount'"):
        shop.run(ops=[{"type": "filter", "expression": "amont > '1'"}])
    with psycopg.connect(shop.url) as connection:
        connection.execute("DROP TABLE public.ds_orders")
    with pytest.raises(TargetError, match="ds_orders"):
        shop.run()


def test_sources_read_through_the_connectors_they_name(shop: Shop) -> None:
    for folder, ids in (("north", (1, 2)), ("south", (3, 4, 5))):
        (shop.root / folder).mkdir()
        rows = "".join(f"{number},Ann,10,2024-01-01\n" for number in ids)
        (shop.root / folder / "orders.csv").write_text(f"id,name,amount,day\n{rows}")
    pipeline = shop.pipeline()
    source = pipeline.ir["nodes"][0]
    source["config"] = {"path": "orders.csv"}
    named = {each: ConnectorRecord(f"conn_{each}", "local_fs", {"basePath": each}) for each in ("north", "south")}
    for folder, found in (("north", 2), ("south", 3)):
        source["connection"] = folder
        job = Job(f"run_{folder}", replace(pipeline, named=named), shop.url, shop.root, Continuation(f"run_{folder}"))
        assert run_in_threads(Execution(prepare(job), shop.recorder)).rows_out == found
    source["connection"] = "west"
    with pytest.raises(SourceError, match="the connector 'west', which does not exist"):
        prepare(Job("run_w", pipeline, shop.url, shop.root, Continuation("run_w")))
