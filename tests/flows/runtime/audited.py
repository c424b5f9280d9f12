"""Runs with dataset rules, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.runs import Runner

ROWS = 4_000


class Audited:
    """Orders in four partitions, checked, into `public.ds_orders`, where row 1 is already."""

    def __init__(self, files: Path, url: str) -> None:
        self.runner, self.url = Runner(files, url), url
        self.recorder = self.runner.recorder
        orders = pl.DataFrame({"id": range(2, ROWS + 2)}).with_columns(
            amount=pl.col("id") % 10, name=pl.when(pl.col("id") % 4 > 0).then(pl.format("n{}", pl.col("id") % 100))
        )
        orders.write_parquet(files / "orders.parquet", row_group_size=ROWS // 4)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE public.ds_orders (id bigint PRIMARY KEY, amount bigint, name text)")
            connection.execute("INSERT INTO public.ds_orders VALUES (1, 1, 'here before')")

    def job(self, mode: str = "append", continues: Continuation | None = None, **rules: Any) -> Job:
        config = {"path": "orders.parquet", "format": "parquet"}
        target = {"id": "tgt", "kind": "target", "input": "check", "schema": "public.ds_orders", "loadMode": mode}
        if mode == "upsert":
            target["upsertKey"] = ["id"]
        if mode == "incremental_watermark":
            target["watermarkColumn"] = "id"
        row_level = [{"id": "some", "field": "amount", "rule": "ne:3"}]
        job = self.runner.job(
            [
                {"id": "src", "kind": "source", "connector": "local_fs", "config": config},
                {"id": "check", "kind": "validate", "input": "src", "rowLevel": row_level, "datasetLevel": rules},
                target,
            ]
        )
        job = replace(job, pipeline=replace(job.pipeline, execution_config={"batchSize": 300, "parallelism": 2}))
        return job if continues is None else replace(job, run_id="run_next", continues=continues)

    def execution(self, *arguments: Any, **rules: Any) -> Execution:
        return Execution(prepare(self.job(*arguments, **rules)), self.recorder)

    def run(self, *arguments: Any, **rules: Any) -> RunTotals:
        return run_in_threads(self.execution(*arguments, **rules))

    @property
    def count(self) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM public.ds_orders").fetchone()
            assert row is not None
            return int(row[0])

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


PASSED = ROWS * 9 // 10
