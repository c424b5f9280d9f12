"""Whole runs of a document over real files and tables, for tests of logs and loads."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.quiet import Quiet


@dataclass
class Recording(Quiet):
    """A recorder that keeps the rejected cells as (node, row, column, value, error)."""

    cells: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        with self._lock:
            self.cells += [(node, row, column, value, error) for row, column, value, error, *_ in cells.rows()]

    def log(self, stage: str, message: str, *, level: str = "info") -> None:
        self.lines.append(message)


@dataclass
class Runner:
    """Runs documents from a folder into a database; `credentials` are those of the connector."""

    files: Path
    url: str
    credentials: dict[str, Any] = field(default_factory=dict)
    recorder: Recording = field(default_factory=Recording)
    type: str = "local_fs"
    config: dict[str, Any] = field(default_factory=dict)
    """The connector's, which may be on this machine."""

    def job(self, nodes: Iterable[dict[str, Any]]) -> Job:
        """The job of one document of these nodes; its targets may be any table in the schema public."""
        listed = list(nodes)
        ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": listed}
        connector = ConnectorRecord("conn_1", self.type, self.config, self.credentials)
        tables = frozenset(node["schema"] for node in listed if node["kind"] == "target" and "schema" in node)
        pipeline = RunPipeline("pipe_1", "default", "P", ir, 1, connector, {}, tables)
        run_id = f"run_{uuid4().hex}"
        continues = Continuation(root_run_id=run_id)
        return Job(run_id, pipeline, self.url, self.files, continues, networks=(ip_network("127.0.0.0/8"),))

    def run(self, nodes: Iterable[dict[str, Any]]) -> RunTotals:
        """Runs it to its end."""
        self.recorder.cells.clear()
        return run_in_threads(Execution(prepare(self.job(nodes)), self.recorder))
