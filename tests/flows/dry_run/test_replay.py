"""Dry runs of failed rows: they say what a replay then does, and write nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.flows.dry_run.replay import FailedGroup, try_replay
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import OpenPartition, SettledRows
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import PLAN_RUN_ID, Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.shop import Shop

pytestmark = pytest.mark.postgres

ROWS = 400
STRICT = [{"id": "even", "field": "id", "rule": "expr:id % 10 <> 0"}]
LOOSE = [{"id": "even", "field": "id", "rule": "expr:id % 20 <> 0"}]


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Shop:
    shop = Shop(tmp_path, database_url)
    lines = [f"{n},n{n},{'many' if n % 40 == 10 else n + 1000},2024-01-01" for n in range(1, ROWS + 1)]
    shop.write("id,name,amount,day\n" + "\n".join(lines) + "\n")
    return shop


def job(shop: Shop, run_id: str, continues: Continuation, **pipeline: Any) -> Job:
    made = shop.pipeline(execution={"parallelism": 2, "batchSize": 90}, **pipeline)
    made.ir["nodes"][-2]["quarantine"] = {"table": "dlq.orders"}
    return Job(run_id, made, shop.url, shop.root, continues)


def first(shop: Shop) -> tuple[dict[str, Any], dict[tuple[str, int], OpenPartition]]:
    """The run in which every tenth row failed: its plan, and those rows by partition."""
    run = Execution(prepare(job(shop, "run_1", Continuation("run_1"), rules=STRICT)), shop.recorder)
    assert run_in_threads(run) == RunTotals(rows_in=ROWS, rows_out=360, failed=40, skipped=0)
    partitions = run.prepared.plan.stages[0].partitions
    failed = {
        ("src", p.index): OpenPartition([row for row in range(p.first_row, p.first_row + p.rows) if row % 10 == 0], {})
        for p in partitions
    }
    return stored_plan(run.prepared), failed


def again(run_id: str, begun: tuple[dict[str, Any], Any]) -> Continuation:
    plan, rows = begun
    return Continuation(run_id, retry_of="run_1", origin_run_id="run_1", earlier_plan=plan, open_rows=rows)


def everything(shop: Shop) -> list[tuple[Any, ...]]:
    """What a run could change in the database."""
    counted = ("public.ds_orders", "dlq.orders", "_headrace.ledger", "_headrace.loads")
    return [(table, *shop.table(f"SELECT count(*), max(xmin::text::bigint) FROM {table}")) for table in counted]


def test_it_counts_what_a_replay_then_does_and_writes_nothing(shop: Shop) -> None:
    begun = first(shop)
    before = everything(shop)
    found = try_replay(job(shop, PLAN_RUN_ID, again(PLAN_RUN_ID, begun), rules=LOOSE), rows=10_000)
    assert everything(shop) == before
    # of 40 rows, 20 break the rule, and 10 of the others have an amount that the table does not take
    assert (found.rows, found.tried, found.passed, found.failed, found.skipped) == (40, 40, 10, 30, 0)
    assert [(each.node, each.rule, each.rows) for each in found.groups] == [("check", "even", 20), ("tgt", "type", 10)]
    assert found.groups[0].column == "id"
    assert found.groups[0].values == ("20", "40", "60")
    totals = run_in_threads(Execution(prepare(job(shop, "run_2", again("run_2", begun), rules=LOOSE)), shop.recorder))
    assert totals == RunTotals(rows_in=40, rows_out=10, failed=30, skipped=0)


def test_rows_that_a_filter_leaves_out_are_neither_passed_nor_failed(shop: Shop) -> None:
    ops = [{"type": "filter", "expression": "id > 200"}]
    found = try_replay(job(shop, PLAN_RUN_ID, again(PLAN_RUN_ID, first(shop)), ops=ops, rules=LOOSE), rows=10_000)
    assert (found.tried, found.passed, found.failed, found.skipped) == (40, 5, 15, 20)


def test_only_the_first_rows_are_tried_if_there_are_many(shop: Shop) -> None:
    found = try_replay(job(shop, PLAN_RUN_ID, again(PLAN_RUN_ID, first(shop)), rules=LOOSE), rows=7)
    assert (found.rows, found.tried, found.passed + found.failed) == (40, 7, 7)


def test_an_abort_rule_would_end_the_run_and_hidden_values_stay_hidden(shop: Shop) -> None:
    begun = first(shop)
    rules = [{**LOOSE[0], "onFail": "abort"}]
    found = try_replay(job(shop, PLAN_RUN_ID, again(PLAN_RUN_ID, begun), rules=rules), rows=10_000)
    assert found.stops_run is not None
    assert "even" in found.stops_run
    mask = [{"type": "mask_pii", "field": "name", "strategy": "redact"}]
    named = [{"id": "short", "field": "name", "rule": "expr:name = 'nobody'"}]
    hidden = try_replay(job(shop, PLAN_RUN_ID, again(PLAN_RUN_ID, begun), ops=mask, rules=named), rows=10_000)
    assert [each for group in hidden.groups for each in group.values if each != "***"] == []
    assert isinstance(hidden.groups[0], FailedGroup)


def test_rows_that_are_done_for_a_target_do_not_count_there(shop: Shop) -> None:
    plan, rows = first(shop)
    with psycopg.connect(shop.url) as connection:
        connection.execute("CREATE TABLE public.other (id bigint, name text, amount text, day date)")
    settled = {
        key: OpenPartition(each.rows, {"tgt": SettledRows("public.ds_orders", each.rows)}, frozenset({"tgt", "two"}))
        for key, each in rows.items()
    }
    made = job(shop, PLAN_RUN_ID, again(PLAN_RUN_ID, (plan, settled)), rules=LOOSE)
    made.pipeline.ir["nodes"].append({"id": "two", "kind": "target", "input": "check", "schema": "public.other"})
    both = replace(made.pipeline, tables=made.pipeline.tables | {"public.other"})
    found = try_replay(replace(made, pipeline=both), rows=10_000)
    # the amounts that the first table refuses are no matter: nothing goes there
    assert (found.tried, found.passed, found.failed) == (40, 20, 20)


@pytest.mark.parametrize("changed", ["file", "node"])
def test_what_cannot_run_again_is_refused_in_words(shop: Shop, changed: str) -> None:
    begun = first(shop)
    made = job(shop, PLAN_RUN_ID, again(PLAN_RUN_ID, begun), rules=LOOSE)
    if changed == "file":
        shop.write("id,name,amount,day\n1,a,1,2024-01-01\n")
    else:
        ops = [{"type": "deduplicate", "keys": ["id"]}]
        made.pipeline.ir["nodes"].insert(2, {"id": "once", "kind": "transform", "input": "check", "ops": ops})
        made.pipeline.ir["nodes"][-1]["input"] = "once"
    with pytest.raises(PlanFailed) as caught:
        try_replay(made, rows=10_000)
    [problem] = caught.value.problems
    assert ("source 'src' changed" if changed == "file" else "'once' brings rows together") in problem.message
