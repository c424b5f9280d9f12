"""Replays of failed rows: only these rows, once, through the current pipeline; and the cleanup of their quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.catalog.runs.records import UncommittedRows
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.tables.quarantine import read_quarantine
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import OpenPartition
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.databases import as_superuser
from tests.flows.runtime.shop import Shop, many

pytestmark = pytest.mark.postgres

STRICT = [{"id": "even", "field": "id", "rule": "expr:id % 10 <> 0"}]
LOOSE = [{"id": "even", "field": "id", "rule": "expr:id % 20 <> 0"}]
DLQ = "dlq.orders"


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Shop:
    shop = Shop(tmp_path, database_url)
    shop.write(many(300_000))
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "ALTER TABLE ds_orders DROP CONSTRAINT ds_orders_pkey"
        )  # nothing but Headrace prevents doubles
    return shop


def execution(shop: Shop, run_id: str, rules: list[dict[str, Any]], continues: Continuation) -> Execution:
    pipeline = shop.pipeline(
        rules=rules, execution={"parallelism": 2, "batchSize": 9_000}, errorHandling={"maxErrorRows": 10**6}
    )
    pipeline.ir["nodes"][1]["quarantine"] = {"table": DLQ}
    return Execution(prepare(Job(run_id, pipeline, shop.url, shop.root, continues)), shop.recorder)


def first(shop: Shop) -> tuple[dict[str, Any], dict[tuple[str, int], OpenPartition]]:
    """The run in which every tenth row failed: its plan, and those rows by partition."""
    run = execution(shop, "run_1", STRICT, Continuation(root_run_id="run_1"))
    assert run_in_threads(run) == RunTotals(rows_in=300_000, rows_out=270_000, failed=30_000, skipped=0)
    partitions = run.prepared.plan.stages[0].partitions
    failed = {
        ("src", p.index): OpenPartition([row for row in range(p.first_row, p.first_row + p.rows) if row % 10 == 0], {})
        for p in partitions
    }
    return stored_plan(run.prepared), failed


def replay(run_id: str, plan: dict[str, Any], rows: Any) -> Continuation:
    return Continuation(run_id, retry_of="run_1", origin_run_id="run_1", earlier_plan=plan, open_rows=rows)


def test_only_the_failed_rows_run_again_and_those_that_pass_leave_the_quarantine(shop: Shop) -> None:
    plan, failed = first(shop)
    kept = read_quarantine(shop.url, DLQ, root_run_id="run_1", node_id="check", limit=1)
    assert kept is not None
    assert (kept[0].rule_id, kept[0].row["id"], kept[0].row["day"]) == ("even", 10, "2024-02-11")
    assert shop.table(f"SELECT count(*) FROM {DLQ}") == [(30_000,)]

    totals = run_in_threads(execution(shop, "run_2", LOOSE, replay("run_2", plan, failed)))
    assert totals == RunTotals(rows_in=30_000, rows_out=15_000, failed=15_000, skipped=0)
    query = "SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id % 20 = 0) FROM ds_orders"
    assert shop.table(query) == [(285_000, 285_000, 0)]
    assert shop.table(f"SELECT count(*), min(row_number), count(DISTINCT root_run_id) FROM {DLQ}") == [(15_000, 20, 1)]


def test_rows_that_another_replay_loaded_are_not_loaded_again(shop: Shop) -> None:
    plan, failed = first(shop)
    run_in_threads(execution(shop, "run_2", LOOSE, replay("run_2", plan, failed)))
    with pytest.raises(TargetError, match="Another run has loaded some of these"):
        run_in_threads(execution(shop, "run_3", LOOSE, replay("run_3", plan, failed)))
    assert shop.table("SELECT count(*), count(DISTINCT id) FROM ds_orders") == [(285_000, 285_000)]


def test_a_replay_that_died_is_continued_with_the_rows_it_began_with(shop: Shop) -> None:
    plan, failed = first(shop)
    begun = execution(shop, "run_2", LOOSE, replay("run_2", plan, failed))
    begun.begin()
    done = begun.partition(begun.prepared.plan.stages[0], 1)
    assert done.rows_done == len(failed["src", 1].rows)
    again = Continuation("run_2", retry_of="run_1", origin_run_id="run_1", earlier_plan=stored_plan(begun.prepared))
    totals = run_in_threads(execution(shop, "run_2", LOOSE, again))
    assert totals == RunTotals(rows_in=30_000, rows_out=15_000, failed=15_000, skipped=0)
    assert shop.table("SELECT count(*), count(DISTINCT id) FROM ds_orders") == [(285_000, 285_000)]


def test_a_table_that_is_no_quarantine_is_not_written_to(shop: Shop) -> None:
    as_superuser(shop.url, "CREATE SCHEMA IF NOT EXISTS dlq; CREATE TABLE dlq.orders (id int)")
    as_superuser(shop.url, "GRANT ALL ON SCHEMA dlq TO PUBLIC; GRANT ALL ON dlq.orders TO PUBLIC")
    with pytest.raises(TargetError, match=r"dlq.orders is not a quarantine table: it lacks"):
        first(shop)


def test_a_row_reported_as_failed_before_its_batch_was_lost_is_reported_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[UncommittedRows] = []
    monkeypatch.setattr(shop.recorder, "forget", forgotten.append)
    begun = execution(shop, "run_1", STRICT, Continuation(root_run_id="run_1"))
    run_in_threads(begun)
    partitions = begun.prepared.plan.stages[0].partitions
    assert {(each.partition, each.last_row) for each in forgotten} == {(p.index, 0) for p in partitions}
    assert {each.nodes for each in forgotten} == {("src", "check", "tgt")}
    forgotten.clear()
    again = Continuation("run_1", retry_of="run_1", earlier_plan=stored_plan(begun.prepared))
    run_in_threads(execution(shop, "run_2", STRICT, again))
    ends = {(p.index, p.first_row + p.rows - 1) for p in partitions}
    assert {(each.partition, each.last_row) for each in forgotten} == ends
