"""Whole runs with UNLOAD: a retry reads the same files, failed rows are stored, and the bucket is empty afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.errors import SourceError
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.dry_run.preview import preview
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import PlanFailed, RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.redshift.cluster import Cluster
from tests.flows.runtime.runs import Runner
from tests.object_store import BUCKET

pytestmark = pytest.mark.postgres

NODES: list[dict[str, Any]] = [
    {"id": "src", "kind": "source", "connector": "redshift", "config": {"table": "t", "unload": "always"}},
    {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_rows", "loadMode": "append"},
]


@pytest.fixture
def runs(cluster: Cluster, database_url: str) -> Runner:
    cluster.make(
        "CREATE TABLE t (id int, day date)",
        "INSERT INTO t SELECT i, CASE i % 1000 WHEN 7 THEN '0044-03-15 BC' ELSE date '2024-01-01' + i END "
        "FROM generate_series(1, 5500) i",
    )
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_rows (id int, day date)")
    return Runner(Path("/nowhere"), database_url, cluster.credentials, type="redshift", config=cluster.config)


def test_a_run_loads_all_and_leaves_nothing(cluster: Cluster, runs: Runner, database_url: str) -> None:
    totals = runs.run(NODES)
    assert (totals.rows_in, totals.rows_out, totals.failed) == (5500, 5494, 6)
    assert {cell[2:4] for cell in runs.recorder.cells} == {("day", "0044-03-15 BC")}
    assert rows(database_url) == (5494, 5494)
    assert cluster.objects() == []


def test_a_retry_loads_what_is_left_exactly_once_from_the_same_files(
    cluster: Cluster, runs: Runner, database_url: str
) -> None:
    config = {"table": "t", "unload": "always", "partitioning": {"by": "none"}}
    job = runs.job([{**NODES[0], "config": config}, NODES[1]])
    job = replace(job, pipeline=replace(job.pipeline, execution_config={"batchSize": 300, "parallelism": 1}))
    execution = Execution(prepare(job), runs.recorder)
    keys = [each for each in cluster.objects() if each.endswith(".parquet")]
    assert len(keys) == 6
    cluster.make("DELETE FROM t")
    store = cluster.store
    assert store is not None
    hidden = store.client.get_object(Bucket=BUCKET, Key=keys[3])["Body"].read()
    store.client.delete_object(Bucket=BUCKET, Key=keys[3])
    with pytest.raises((SourceError, RunFailed)):
        run_in_threads(execution)
    assert rows(database_url) == (2997, 2997)
    store.client.put_object(Bucket=BUCKET, Key=keys[3], Body=hidden)
    assert [each for each in cluster.objects() if each.endswith(".parquet")] == keys
    continues = Continuation(root_run_id=job.run_id, earlier_plan=stored_plan(execution.prepared))
    run_in_threads(Execution(prepare(replace(job, continues=continues)), runs.recorder))
    assert rows(database_url) == (5494, 5494)
    assert len(cluster.front.unloads) == 1
    assert cluster.objects() == []


def test_plans_and_previews_leave_nothing(cluster: Cluster, runs: Runner) -> None:
    assert plan_run(runs.job(NODES)).estimated_rows == 5500
    assert preview(runs.job(NODES), rows=3)
    assert cluster.objects() == []


def test_a_run_that_cannot_be_planned_leaves_nothing(cluster: Cluster, runs: Runner) -> None:
    wrong = [NODES[0], {**NODES[1], "loadMode": "upsert", "upsertKey": ["nothing"]}]
    with pytest.raises(PlanFailed):
        prepare(runs.job(wrong))
    assert cluster.objects() == []


def rows(url: str) -> tuple[int, int]:
    """How many there are, and how many different ones."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT id) FROM public.ds_rows").fetchone()
    assert found is not None
    return found[0], found[1]
