"""Every stage of a graph counts its rows: those that came in, also from other stages, and those that went on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import Gathered, PartitionStatus, RunSnapshot
from headrace.catalog.runs.stages import rows_of, stages_of
from headrace.catalog.runs.store import RunStore
from headrace.connectors.target import Resume
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.run_recorder import CatalogRecorder
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.catalog.conftest import add_pipeline, engine, mine, session
from tests.flows.runtime.runs import Runner

__all__ = ["engine", "mine", "session"]
pytestmark = pytest.mark.postgres

ORDERS, CUSTOMERS = 3_000, 30


class Watched(CatalogRecorder):
    """Also notes what partitions that gather rows say of them."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        super().__init__(store, run_id, run_id)
        self.gathered: list[Gathered] = []

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        super().progress(stage, partition, status, committed, gathered=gathered)
        if gathered is not None:
            self.gathered.append(gathered)


def nodes() -> list[dict[str, Any]]:
    """Orders without those that are too small, with the names of their customers, and how many there are of each."""
    source = {"kind": "source", "connector": "local_fs"}
    rule = {"id": "large", "field": "id", "rule": "gt:100", "onFail": "skip"}
    count = {"type": "aggregate", "groupBy": ["name"], "aggregations": [{"fn": "count", "field": "id", "as": "orders"}]}
    return [
        {"id": "orders", **source, "config": {"path": "orders.csv"}},
        {"id": "customers", **source, "config": {"path": "customers.csv"}},
        {"id": "check", "kind": "validate", "input": "orders", "rowLevel": [rule]},
        {
            "id": "named",
            "kind": "join",
            "inputs": ["check", "customers"],
            "type": "left",
            "on": [{"left": "customer", "right": "customer"}],
        },
        {"id": "counted", "kind": "transform", "input": "named", "ops": [count]},
        {"id": "tgt", "kind": "target", "input": "counted", "schema": "public.t", "loadMode": "replace"},
    ]


def test_stages_behind_a_join_count_what_comes_in_and_what_goes_on(
    tmp_path: Path, engine: Engine, mine: TenantCatalog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.flows.runtime.partition.PROGRESS_SECONDS", 0.0)  # after every batch
    rows = "".join(f"{number},{number % CUSTOMERS}\n" for number in range(1, ORDERS + 1))
    (tmp_path / "orders.csv").write_text(f"id,customer\n{rows}")
    names = "".join(f"{number},name {number}\n" for number in range(CUSTOMERS))
    (tmp_path / "customers.csv").write_text(f"customer,name\n{names}")
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE t (name text, orders bigint)")
    job = Runner(tmp_path, database_url).job(nodes())
    job = replace(job, pipeline=replace(job.pipeline, execution_config={"parallelism": 1, "batchSize": 500}))
    store, prepared, run_id = RunStore(engine), prepare(job), job.run_id
    facts: dict[str, Any] = {"tenant_id": "default", "pipeline_id": add_pipeline(mine).id, "root_run_id": run_id}
    store.open(run_id, **facts, ir_version=1, retry_of=None, load_strategy="replace", status="running")
    planned = [(stage.index, each.index, each.rows) for stage in prepared.plan.stages for each in stage.partitions]
    plan = stored_plan(prepared)
    store.started(run_id, total_rows=prepared.total_rows, fingerprint={}, plan=plan, partitions=planned)
    recorder = Watched(store, run_id)
    run_in_threads(Execution(prepared, recorder))

    run = store.snapshot(run_id)
    assert run is not None
    stages = {each.name: (each.rows_in, each.rows_out, each.skipped, each.share) for each in stages_of(run)}
    passed = ORDERS - 100
    assert stages == {
        "orders > check > named": (ORDERS, passed, 100, 1.0),
        "customers > named": (CUSTOMERS, CUSTOMERS, 0, 1.0),
        "named > counted": (passed + CUSTOMERS, passed, 0, 1.0),
        "counted > tgt": (passed, CUSTOMERS, 0, 1.0),
        "publication of rows that were held back": (CUSTOMERS, CUSTOMERS, 0, 1.0),
    }
    joined = [each for each in run.partitions if each.stage == 2]
    assert sum(map(rows_of, joined)) == sum(each.planned_rows for each in joined) == passed
    assert run.rows_in == ORDERS + CUSTOMERS  # rows between stages are no source rows
    assert any(each.of is not None and 0 < each.rows < each.of for each in recorder.gathered)
    _check_after_a_kill(store, run)


def _check_after_a_kill(store: RunStore, run: RunSnapshot) -> None:
    """The same counts are found in the ledger of a run that could not report them."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE headrace.run_partitions SET gathered_rows = NULL WHERE stage > 1")
    store.finished(run.id, status="failed", failure_reason="killed")
    found = store.snapshot(run.id)
    assert found is not None
    assert [each.rows_in for each in stages_of(found)] == [each.rows_in for each in stages_of(run)]
