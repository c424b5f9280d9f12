"""A files folder, a table, and whole runs from the one into the other, without an orchestrator."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.target import CommitCallback, PartitionLoader, Quarantined, Resume, Written
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.input.partition_input import SourceInput
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.limits import ErrorBudget
from headrace.flows.runtime.partition import Stopped, Work, run_partition
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.quiet import Quiet

ORDERS = "id,name,amount,day\n1,Ann,10,2024-01-01\n2,Bob,x,2024-01-02\n3,,30,2024-01-03\n4,Dan,-5,2024-01-04\n"


FIELDS = [
    {"name": "id", "dataType": "bigint"},
    {"name": "name", "dataType": "text"},
    {"name": "amount", "dataType": "text"},
    {"name": "day", "dataType": "date"},
]


class Notebook(Quiet):
    """A recorder that stores what is reported, like the catalog: a cell that is reported twice is stored once."""

    def __init__(self) -> None:
        self.cells: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.states: dict[tuple[int, int], tuple[str, Resume]] = {}
        self.lines: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        with self._lock:
            for row, column, value, error, rule, *_ in cells.rows():
                self.cells[(row, column or "", node, rule)] = (node, row, column, value, error)

    def progress(self, stage: int, partition: int, status: str, committed: Resume, *, gathered: object = None) -> None:
        with self._lock:
            self.states[(stage, partition)] = (status, committed)

    def log(self, stage: str, message: str, *, level: str = "info") -> None:
        with self._lock:
            self.lines.append((stage, message))

    @property
    def errors(self) -> list[tuple[Any, ...]]:
        return [self.cells[key] for key in sorted(self.cells)]


class Shop:
    """A files folder and a table `public.ds_orders`, and runs from the one into the other."""

    def __init__(self, files_root: Path, database_url: str) -> None:
        self.root, self.url = files_root, database_url
        self.recorder = Notebook()
        with psycopg.connect(database_url) as connection:
            connection.execute(
                "CREATE TABLE public.ds_orders "
                "(id bigint PRIMARY KEY, name text, amount int CHECK (amount <> 13), day date)"
            )

    def pipeline(
        self,
        *,
        ops: Iterable[dict[str, Any]] = (),
        rules: Iterable[dict[str, Any]] = (),
        path: str = "orders.csv",
        execution: dict[str, Any] | None = None,
        **document: Any,
    ) -> RunPipeline:
        source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": path}, "fields": FIELDS}
        nodes: list[dict[str, Any]] = [source]
        if ops:
            nodes.append({"id": "clean", "kind": "transform", "input": "src", "ops": list(ops)})
        if rules:
            nodes.append({"id": "check", "kind": "validate", "input": nodes[-1]["id"], "rowLevel": list(rules)})
        nodes.append({"id": "tgt", "kind": "target", "input": nodes[-1]["id"], "schema": "public.ds_orders"})
        ir = {
            "kind": "pipeline",
            "version": "1.0",
            "id": "p",
            "metadata": {"name": "Orders"},
            "nodes": nodes,
            **document,
        }
        connector = ConnectorRecord("conn_1", "local_fs", {})
        tables = frozenset({"public.ds_orders"})
        return RunPipeline("pipe_1", "default", "Orders", ir, 1, connector, execution or {}, tables)

    def execution(self, run_id: str = "run_1", root: str = "run_1", earlier: Any = None, **pipeline: Any) -> Execution:
        continues = Continuation(root_run_id=root, earlier_plan=earlier)
        return Execution(prepare(Job(run_id, self.pipeline(**pipeline), self.url, self.root, continues)), self.recorder)

    def run(self, **arguments: Any) -> RunTotals:
        return run_in_threads(self.execution(**arguments))

    def table(self, query: str = "SELECT id, name, amount FROM public.ds_orders ORDER BY id") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def write(self, text: str, name: str = "orders.csv") -> None:
        (self.root / name).write_text(text)


def many(rows: int, bad_every: int = 0) -> str:
    """A CSV of that many orders; each `bad_every`-th has an amount that is not a number."""
    lines = ["id,name,amount,day"]
    for number in range(1, rows + 1):
        amount = "bad" if bad_every and number % bad_every == 0 else str(number % 1000 + 20)
        lines.append(
            f"{number},customer {number % 97} with a name of some length,{amount},2024-02-{number % 28 + 1:02d}"
        )
    return "\n".join(lines) + "\n"


class StopAfter:
    """A loader that asks the run to stop once it has committed that many rows."""

    def __init__(self, loader: PartitionLoader, rows: int, stop: threading.Event) -> None:
        self._loader, self._rows, self._stop = loader, rows, stop

    @property
    def resume(self) -> Resume:
        return self._loader.resume

    def __enter__(self) -> PartitionLoader:
        self._loader.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loader.__exit__(*exc)

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        written = self._loader.write(frame, on_commit, quarantined)
        if self.resume.rows_done >= self._rows:
            self._stop.set()
        return written


def until(execution: Execution, rows: int, max_errors: int = 0) -> int:
    """Runs the first partition and stops it once that many rows are committed; returns how many were."""
    prepared, stop = execution.prepared, threading.Event()
    stage = prepared.plan.stages[0]
    loader = StopAfter(prepared.modes["tgt"].loader(0, 0, "src"), rows, stop)
    budget = ErrorBudget(max_errors, None)
    source = prepared.sources["src"]
    feed = SourceInput(source, stage, stage.partitions[0], batch_rows=10_000)
    work = Work(
        stage, stage.partitions[0], feed, {"tgt": loader}, execution.recorder, budget, stop, execution.row_origins
    )
    with pytest.raises(Stopped):
        run_partition(work)
    return loader.resume.rows_loaded
