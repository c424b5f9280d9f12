"""A run whose partitions and publications are worked on by others than the process that began it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.target import Resume
from headrace.flows.prefect.cluster.liveness import Heartbeat, HeartbeatWatch
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import PlanFailed, RunFailed, SourceChanged
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.hooks.run import HookFailed
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.transform.row_counts import AccountingError
from headrace.ir import Problem
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres

SOURCE = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "in/", "ordering": "process_all"}}
TARGET = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.orders"}
AGGREGATE = {
    "id": "sums",
    "kind": "transform",
    "input": "src",
    "ops": [{"type": "aggregate", "groupBy": ["id"], "aggregations": [{"field": "v", "fn": "sum", "as": "v"}]}],
}


@pytest.fixture
def runner(tmp_path: Path, database_url: str) -> Runner:
    folder = tmp_path / "files" / "in"
    folder.mkdir(parents=True)
    for number in range(3):
        lines = [f"{row},{row % 7}" for row in range(number * 1000 + 1, number * 1000 + 1001)]
        (folder / f"{number}.csv").write_text("\n".join(["id,v", *lines]) + "\n")
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY, v bigint, at timestamptz)")
        connection.execute("INSERT INTO orders VALUES (0, 0)")
    return Runner(tmp_path / "files", database_url)


def elsewhere(begun: Execution, runner: Runner) -> Callable[[], Execution]:
    """Another process's view of the run: nothing but its ids and what was stored is taken over."""
    job = begun.prepared.job
    plan = json.loads(json.dumps(stored_plan(begun.prepared)))

    def join() -> Execution:
        continues = Continuation(root_run_id=job.root_run_id, earlier_plan=plan)
        again = Job(job.run_id, job.pipeline, job.database_url, job.files_root, continues, held=job.held)
        execution = Execution(prepare(again, under_way=True), runner.recorder, under_way=True)
        execution.join()
        return execution

    return join


def run_elsewhere(runner: Runner, nodes: list[dict[str, Any]]) -> RunTotals:
    """The whole run; every partition and every publication has a process of its own."""
    execution = Execution(prepare(runner.job(nodes)), runner.recorder)
    execution.begin()
    joined = elsewhere(execution, runner)
    done: list[Resume] = []
    for stage in execution.prepared.plan.stages:
        for partition in stage.partitions:
            there = joined()
            done.append(there.partition(there.prepared.plan.stages[stage.index], partition.index))
    for load, index, _ in execution.publications():
        there = joined()
        done.append(there.publication(there.prepared.plan.loads[load.number], index))
    return execution.finish(done)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"loadMode": "append"}, 3001),
        ({"loadMode": "replace"}, 3000),
        ({"loadMode": "truncate"}, 3000),
        ({"loadMode": "blue_green"}, 3000),
        ({"loadMode": "incremental_watermark", "watermarkColumn": "id"}, 3001),
        ({"loadMode": "upsert", "upsertKey": ["id"]}, 3001),
    ],
    ids=lambda given: given["loadMode"] if isinstance(given, dict) else "",
)
def test_every_load_mode_works_in_processes_that_only_join(runner: Runner, options: dict[str, Any], rows: int) -> None:
    totals = run_elsewhere(runner, [SOURCE, TARGET | options])
    assert totals == RunTotals(3000, 3000, 0, 0)
    with psycopg.connect(runner.url) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id), sum(id)::int FROM orders").fetchone()
    assert found == (rows, rows, 3000 * 3001 // 2)


def test_stages_after_each_other_work_in_processes_that_only_join(runner: Runner) -> None:
    totals = run_elsewhere(runner, [SOURCE, AGGREGATE, TARGET | {"input": "sums"}])
    assert totals.rows_in == 3000
    with psycopg.connect(runner.url) as connection:
        assert connection.execute("SELECT count(*), sum(v)::int FROM orders WHERE id > 0").fetchone() == (
            3000,
            sum(row % 7 for row in range(1, 3001)),
        )


def test_a_source_that_changed_meanwhile_is_not_read(runner: Runner) -> None:
    execution = Execution(prepare(runner.job([SOURCE, TARGET])), runner.recorder)
    execution.begin()
    (runner.files / "in" / "1.csv").write_text("id,v\n1,1\n")
    with pytest.raises(SourceChanged):
        elsewhere(execution, runner)()


def test_only_who_began_the_run_evaluates_the_rate_of_failed_rows(runner: Runner) -> None:
    (runner.files / "in" / "0.csv").write_text("id,v\n" + "".join(f"{row},x\n" for row in range(1, 1001)))
    job = runner.job([SOURCE | {"fields": [{"name": n, "dataType": "bigint"} for n in ("id", "v")]}, TARGET])
    ir = job.pipeline.ir | {"errorHandling": {"maxErrorRate": 0.4, "maxErrorRows": 5000}}
    execution = Execution(prepare(replace(job, pipeline=replace(job.pipeline, ir=ir))), runner.recorder)
    execution.begin()
    there = elsewhere(execution, runner)()
    [stage] = there.prepared.plan.stages
    done = [there.partition(stage, partition.index) for partition in stage.partitions]
    assert sum(each.rows_failed for each in done) == 1000
    execution.evaluate(1000, 3000)
    with pytest.raises(RunFailed, match="maxErrorRate"):
        execution.evaluate(1300, 3000)


def test_work_ends_when_the_run_is_not_wanted_any_more(database_url: str) -> None:
    heartbeat = Heartbeat(database_url)
    heartbeat.beat()
    over: list[bool] = []
    watch = HeartbeatWatch(database_url, heartbeat.token, lambda: over.append(True))
    assert watch.begin()
    assert not heartbeat.workers_idle()
    heartbeat.stop()
    _until(lambda: bool(over) and Heartbeat.workers_idle(heartbeat))
    late = HeartbeatWatch(database_url, heartbeat.token, lambda: over.append(True))
    assert not late.begin()
    assert over == [True]


def test_a_run_stays_wanted_when_the_database_forgets_its_lock(database_url: str) -> None:
    heartbeat = Heartbeat(database_url)
    heartbeat.beat()
    watch = HeartbeatWatch(database_url, heartbeat.token, lambda: None)
    assert watch.begin()
    with psycopg.connect(database_url, autocommit=True) as connection:
        killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headrace heartbeat'"
        connection.execute(killed)
    with pytest.raises(psycopg.OperationalError):
        heartbeat.beat()
    heartbeat.beat()
    assert HeartbeatWatch(database_url, heartbeat.token, lambda: None).begin()
    _until(lambda: not heartbeat.workers_idle())
    assert not watch.over
    heartbeat.stop()


@pytest.mark.parametrize(
    "error",
    [
        SourceError("file_not_found", "There is no orders.csv.", "Put it there."),
        TargetError("refused", "The database refused it."),
        RunFailed("More than 10 rows failed"),
        PlanFailed([Problem("nodes[0]", "unknown_field", "There is no x", "did you mean y?")]),
        SourceChanged("The source changed"),
        HookFailed("preHook 1 failed"),
        AccountingError("The books do not balance"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_from_another_process_as_it_was_raised(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (str(back), vars(back)) == (str(error), vars(error) | vars(back))
    assert all(getattr(back, name) == value for name, value in vars(error).items())


def _until(condition: Callable[[], bool]) -> None:
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
