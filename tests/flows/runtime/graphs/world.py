"""Runs of graphs: files, tables without keys (only Headrace prevents doubles there), documents of several nodes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psycopg

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.shop import Notebook

Node = dict[str, Any]
_LOOPBACK = ip_network("127.0.0.0/8")


def source(path: str, fields: Mapping[str, str], node: str = "src") -> Node:
    return {
        "id": node,
        "kind": "source",
        "connector": "local_fs",
        "config": {"path": path},
        "fields": [{"name": name, "dataType": kind} for name, kind in fields.items()],
    }


def transform(node: str, before: str, *ops: dict[str, Any]) -> Node:
    return {"id": node, "kind": "transform", "input": before, "ops": list(ops)}


def target(node: str, before: str, table: str, **options: Any) -> Node:
    return {"id": node, "kind": "target", "input": before, "schema": f"public.{table}", **options}


def document(nodes: Iterable[Node], **handling: Any) -> dict[str, Any]:
    ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": list(nodes)}
    return ir | ({"errorHandling": handling} if handling else {})


class Mill:
    """A files folder and a database."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.staging: Path | str | None = None
        self.named: Mapping[str, ConnectorRecord] = {}
        self.recorder = Notebook()

    def table(self, name: str, columns: str) -> None:
        self.alter(f"CREATE TABLE public.{name} ({columns})")

    def alter(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def write(self, name: str, header: str, rows: Iterable[Sequence[Any]]) -> None:
        with (self.root / name).open("w", newline="") as file:
            csv.writer(file).writerows([header.split(","), *rows])

    def execution(
        self,
        nodes: Iterable[Node],
        run_id: str = "run_1",
        *,
        root: str | None = None,
        earlier: Any = None,
        continues: Continuation | None = None,
        parallelism: int = 2,
        batch: int | None = None,
        config: Mapping[str, Any] | None = None,
        **handling: Any,
    ) -> Execution:
        job = self.job(
            nodes,
            run_id,
            root=root,
            earlier=earlier,
            continues=continues,
            parallelism=parallelism,
            batch=batch,
            config=config,
            **handling,
        )
        return Execution(prepare(job), self.recorder)

    def job(
        self,
        nodes: Iterable[Node],
        run_id: str = "run_1",
        *,
        root: str | None = None,
        earlier: Any = None,
        continues: Continuation | None = None,
        parallelism: int = 2,
        batch: int | None = None,
        config: Mapping[str, Any] | None = None,
        **handling: Any,
    ) -> Job:
        ir = document(nodes, **handling)
        config = {"parallelism": parallelism, **({"batchSize": batch} if batch else {}), **(config or {})}
        tables = frozenset(node["schema"] for node in ir["nodes"] if node["kind"] == "target")
        connector = ConnectorRecord("conn_1", "local_fs", {})
        pipeline = RunPipeline("pipe_1", "default", "P", ir, 1, connector, config, tables, named=self.named)
        continues = continues or Continuation(root_run_id=root or run_id, earlier_plan=earlier)
        return Job(run_id, pipeline, self.url, self.root, continues, staging_root=self.staging, networks=(_LOOPBACK,))

    def run(self, nodes: Iterable[Node], **options: Any) -> RunTotals:
        return run_in_threads(self.execution(nodes, **options))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def counters(self) -> dict[str, dict[str, int]]:
        """What was counted at each node, over all partitions."""
        summed: dict[str, dict[str, int]] = {}
        for _, committed in self.recorder.states.values():
            for node, counters in committed.counters.items():
                for key, value in counters.items():
                    summed.setdefault(node, {}).setdefault(key, 0)
                    summed[node][key] += value
        return summed

    def flow(self, *nodes: str) -> dict[str, tuple[int, int, int, int]]:
        """(rows in, rows out, failed, skipped) of nodes."""
        counted = self.counters()
        return {node: tuple(counted[node][key] for key in ("rowsIn", "rowsOut", "failed", "skipped")) for node in nodes}  # type: ignore[misc]
