"""Dataset rules in runs: with `abort` nothing is visible before all rows are read and the rules hold; `warn` only
reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import TargetError
from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.failed_rows import OpenPartition
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.partition import Stopped
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.databases import as_superuser
from tests.flows.runtime.audited import PASSED, ROWS, Audited

pytestmark = pytest.mark.postgres


@pytest.fixture
def audited(tmp_path: Path, database_url: str) -> Audited:
    return Audited(tmp_path, database_url)


@pytest.mark.parametrize("mode", ["append", "replace", "blue_green", "upsert", "incremental_watermark"])
def test_a_broken_rule_leaves_the_table_as_it_was_and_says_why(audited: Audited, mode: str) -> None:
    with pytest.raises(RunFailed) as failed:
        audited.run(mode, rowCount={"min": PASSED + 1})
    assert audited.count == 1
    assert f"at least {PASSED + 1:,} rows wanted, found: {PASSED:,} rows (nodes[1].datasetLevel.rowCount)" in str(
        failed.value
    )
    (rule,) = audited.recorder.rules
    assert (rule.node, rule.holds, rule.on_fail) == ("check", False, "abort")


@pytest.mark.parametrize(("mode", "kept"), [("append", 1), ("replace", 0), ("upsert", 1)])
def test_rules_that_hold_let_every_row_through(audited: Audited, mode: str, kept: int) -> None:
    totals = audited.run(
        mode,
        rowCount={"min": PASSED, "max": PASSED},
        nullRate=[{"field": "name", "max": 0.3}, {"field": "amount", "max": 0}],
        uniqueness=[{"fields": ["id"]}, {"fields": ["name"], "min": 66 / PASSED}],
        statistic=[
            {"field": "amount", "fn": "median", "min": 5, "max": 5},
            {"field": "id", "fn": "sum", "min": 1},
            {"field": "amount", "fn": "count_distinct", "min": 9, "max": 9},
            {"field": "amount", "fn": "mean", "min": 4.6, "max": 4.7},
        ],
        rowCountAnomaly={"maxDeviationPct": 1},
    )
    assert totals == RunTotals(rows_in=ROWS, rows_out=PASSED, failed=ROWS - PASSED, skipped=0)
    assert audited.count == PASSED + kept
    assert [rule.path for rule in audited.recorder.rules if not rule.holds] == []
    assert len(audited.recorder.rules) == 10


def test_a_warning_is_reported_and_the_rows_are_loaded_straight(audited: Audited) -> None:
    execution = audited.execution(rowCount={"min": 10**6, "onFail": "warn"})
    assert run_in_threads(execution).rows_out == PASSED
    assert [(rule.holds, rule.found) for rule in audited.recorder.rules] == [(False, f"{PASSED:,} rows")]
    assert execution.prepared.modes["tgt"].publications() == 0


def test_what_was_measured_survives_a_crash_between_any_two_batches(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: dict[str, Any] = {
        "rowCount": {"min": PASSED, "max": PASSED},
        "uniqueness": {"fields": ["id"]},
        "statistic": {"field": "id", "fn": "stddev", "min": 0},
    }
    from headrace.flows.runtime import dataset_check

    written = dataset_check.DatasetCheckLoader.write
    left = 5

    def dies(self: Any, *arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise RuntimeError("killed")
        return written(self, *arguments)

    job = audited.job(**rules)
    prepared = prepare(job)
    with monkeypatch.context() as patched:
        patched.setattr(dataset_check.DatasetCheckLoader, "write", dies)
        with pytest.raises((RuntimeError, Stopped)):
            run_in_threads(Execution(prepared, audited.recorder))
    assert audited.count == 1
    again = Continuation(job.run_id, retry_of=job.run_id, earlier_plan=stored_plan(prepared))
    totals = audited.run("append", again, **rules)
    assert (totals.rows_in, totals.rows_out, audited.count) == (ROWS, PASSED, PASSED + 1)
    found = {rule.path.rpartition(".")[2]: rule.found for rule in audited.recorder.rules}
    expected = pl.Series([number for number in range(2, ROWS + 2) if number % 10 != 3]).std()
    assert found["statistic"] == f"{expected:,.10g}"
    assert found["uniqueness"].startswith(f"{PASSED:,} different")


def test_measures_that_went_in_a_crash_of_the_server_are_missed(audited: Audited) -> None:
    execution = audited.execution("append", rowCount={"min": 1})
    execution.begin()
    for stage in execution.prepared.plan.stages:
        for partition in stage.partitions:
            execution.partition(stage, partition.index)
    as_superuser(audited.url, "TRUNCATE _headrace.staging_ledger")
    with pytest.raises(TargetError, match="PostgreSQL crashed meanwhile") as lost:
        execution.publications()
    assert (lost.value.code, audited.count) == ("staging_lost", 1)


def test_what_held_once_is_not_evaluated_again_when_rows_may_be_visible(audited: Audited) -> None:
    audited.recorder.earlier = [PASSED]
    job = audited.job(rowCountAnomaly={"maxDeviationPct": 1})
    prepared = prepare(job)
    first = Execution(prepared, audited.recorder)
    first.begin()
    for partition in prepared.plan.stages[0].partitions:
        first.partition(prepared.plan.stages[0], partition.index)
    first.publications()  # and dies after it
    evaluated, audited.recorder.earlier, audited.recorder.rules = audited.recorder.rules, [1], ()
    again = Continuation(job.run_id, retry_of=job.run_id, earlier_plan=stored_plan(prepared))
    audited.run("append", again, rowCountAnomaly={"maxDeviationPct": 1})
    assert [rule.holds for rule in evaluated] == [True]
    assert (audited.recorder.rules, audited.count) == (evaluated, PASSED + 1)  # reported nevertheless


def test_failed_rows_that_run_again_are_not_evaluated(audited: Audited) -> None:
    job = audited.job(rowCount={"min": PASSED})
    prepared = prepare(job)
    run_in_threads(Execution(prepared, audited.recorder))
    rows = {("src", 0): OpenPartition([2, 12], {})}
    replay = Continuation("run_next", job.run_id, job.run_id, earlier_plan=stored_plan(prepared), open_rows=rows)
    again = audited.job("append", replay, rowCount={"min": PASSED})
    again.pipeline.ir["nodes"][1]["rowLevel"][0]["rule"] = "ne:99"
    audited.recorder.rules = ()
    assert run_in_threads(Execution(prepare(again), audited.recorder)).rows_out == 2
    assert (audited.recorder.rules, audited.count) == ((), PASSED + 3)


def test_a_value_that_is_masked_is_not_reported(audited: Audited) -> None:
    rules = [{"field": "amount", "fn": fn, "max": 1, "onFail": "warn"} for fn in ("max", "count_distinct")]
    job = audited.job(statistic=rules)
    hashed = [{"type": "hash", "fields": ["amount"], "to": "secret"}]
    hash_id = {"id": "hide", "kind": "transform", "input": "src", "ops": hashed}
    job.pipeline.ir["nodes"].insert(1, hash_id)
    job.pipeline.ir["nodes"][2]["input"] = "hide"
    run_in_threads(Execution(prepare(job), audited.recorder))
    assert [rule.found for rule in audited.recorder.rules] == ["a value that must not be shown", "9"]
