"""The counts of a killed run are those of its committed rows, not those last reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import Engine

from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import Gathered, PartitionStatus, RunSnapshot
from headrace.catalog.runs.store import RunStore
from headrace.connectors.target import Resume
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.run_recorder import CatalogRecorder
from headrace.flows.runtime.stored_plan import stored_plan
from tests.catalog.conftest import add_pipeline, engine, mine, session
from tests.flows.runtime.runs import Runner

__all__ = ["engine", "mine", "session"]
pytestmark = pytest.mark.postgres


class Killed(CatalogRecorder):
    """Says that partitions begin, and is dead before it can say what they commit."""

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        if status in ("pending", "running") and not committed.rows_done:
            super().progress(stage, partition, status, committed)


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_the_counts_of_a_killed_run_are_those_of_the_ledger(
    tmp_path: Path, engine: Engine, mine: TenantCatalog, database_url: str, mode: str
) -> None:
    pipeline = add_pipeline(mine)
    orders = pl.DataFrame({"id": range(1, 4_001), "amount": ["x" if n % 4 == 0 else "1" for n in range(1, 4_001)]})
    orders.write_parquet(tmp_path / "orders.parquet", row_group_size=1_000)
    config = {"path": "orders.parquet", "format": "parquet"}
    target: dict[str, Any] = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.t", "loadMode": mode}
    source = {"id": "src", "kind": "source", "connector": "local_fs", "config": config}
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE t (id bigint PRIMARY KEY, amount integer)")
    job = Runner(tmp_path, database_url).job([source, target | ({"upsertKey": ["id"]} if mode == "upsert" else {})])
    job = replace(job, pipeline=replace(job.pipeline, execution_config={"parallelism": 1, "batchSize": 500}))
    store, prepared = RunStore(engine), prepare(job)
    store.open(
        job.run_id,
        tenant_id="default",
        pipeline_id=pipeline.id,
        ir_version=1,
        root_run_id=job.run_id,
        retry_of=None,
        load_strategy="append",
    )
    store.started(
        job.run_id,
        total_rows=prepared.total_rows,
        fingerprint=prepared.fingerprints,
        plan=stored_plan(prepared),
        partitions=[(0, p.index, p.rows) for p in prepared.plan.stages[0].partitions],
    )
    execution = Execution(prepared, Killed(store, job.run_id, job.run_id))
    execution.begin()
    stage = prepared.plan.stages[0]
    done = stage.partitions[:1] if mode == "append" else stage.partitions
    read = sum(p.rows for p in done)
    assert 0 < read <= 4_000
    for partition in done:
        execution.partition(stage, partition.index)
    for load, index, _ in execution.publications():
        execution.publication(load, index)
    said = _known(store, job.run_id)
    assert (said.rows_in, said.rows_out, said.failed_rows) == (0, 0, 0)

    store.finished(job.run_id, status="failed", failure_reason="killed", only_if_unfinished=True)

    reported = _known(store, job.run_id)
    failed = read // 4
    assert (reported.rows_in, reported.rows_out, reported.failed_rows, reported.skipped_rows) == (
        read,
        read - failed,
        failed,
        0,
    )
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (reported.rows_out,)
    nodes = {node: (counters["rowsIn"], counters["rowsOut"]) for node, counters in reported.nodes.items()}
    assert nodes["tgt"][1] == reported.rows_out
    assert nodes["src"][0] == read
    published = [each.status for each in reported.partitions if each.stage < 0]
    assert set(published) == (set() if mode == "append" else {"completed"})


def _known(store: RunStore, run_id: str) -> RunSnapshot:
    found = store.snapshot(run_id)
    assert found is not None
    return found
