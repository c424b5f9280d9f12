"""Runs of a pipeline that reads a stream into a table, some of which die."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.streaming.stream import Stream
from tests.flows.runtime.dying import Bomb, Killed, armed
from tests.flows.runtime.runs import Recording

FIELDS = [{"name": "id", "dataType": "bigint"}, {"name": "amount", "dataType": "integer"}]


class Loads:
    """Runs of one pipeline that reads a stream in micro-batches."""

    def __init__(
        self, connector: ConnectorRecord, url: str, config: Mapping[str, Any], target: Mapping[str, Any]
    ) -> None:
        self.url, self.recorder, self.pipeline = url, Recording(), f"pipe_{uuid4().hex[:8]}"
        self.connector, self.table = connector, str(target["schema"])
        source = {"id": "src", "kind": "source", "connector": connector.type, "config": config, "fields": FIELDS}
        self.nodes = [source, {"id": "tgt", "kind": "target", "input": "src", **target}]

    def job(self, continues: Continuation | None = None, **execution: Any) -> Job:
        ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": self.nodes}
        config = {"mode": "micro_batch", "parallelism": 2, "batchSize": 10, **execution}
        tables = frozenset(node["schema"] for node in self.nodes[1:])
        pipeline = RunPipeline(self.pipeline, "default", "P", ir, 1, self.connector, config, tables)
        run_id = f"run_{uuid4().hex}"
        continues = continues or Continuation(root_run_id=run_id)
        return Job(run_id, pipeline, self.url, Path("/nowhere"), continues, networks=(ip_network("127.0.0.0/8"),))

    def run(self, **execution: Any) -> RunTotals:
        return run_in_threads(Execution(prepare(self.job(**execution)), self.recorder))

    def stream(self, **execution: Any) -> Stream:
        return Stream(self.job(mode="streaming", **execution), self.recorder, lambda prepared, epoch: None)

    def dies(self, bomb: Bomb, **execution: Any) -> bool:
        """A run that dies at the bomb's step and is retried until it is through; whether it died."""
        job = self.job(**execution)
        with armed(bomb):
            running = Execution(prepare(job), self.recorder)
            try:
                run_in_threads(running)
            except (Killed, Exception):
                if not bomb.went_off:
                    raise
        if not bomb.went_off:
            return False
        continues = Continuation(root_run_id=job.run_id, earlier_plan=stored_plan(running.prepared))
        run_in_threads(Execution(prepare(self.job(continues, **execution)), self.recorder))
        return True

    def survives(self, bomb: Bomb) -> bool:
        """A run that goes on after the bomb's step, and is retried if it fails; whether the bomb went off."""
        job = self.job()
        with armed(bomb):
            execution = Execution(prepare(job), self.recorder)
            try:
                run_in_threads(execution)
            except Exception:
                if not bomb.went_off:
                    raise
                continues = Continuation(root_run_id=job.run_id, earlier_plan=stored_plan(execution.prepared))
                run_in_threads(Execution(prepare(self.job(continues)), self.recorder))
        return bomb.went_off

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def make(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
