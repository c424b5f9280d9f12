"""A run without Prefect in a process that does nothing else, for other modules: `python -m benchmarks.in_process FILE
DATABASE_URL DATASET`. It prints its seconds, without those that Python needs to import Headrace: a worker has done
that before a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.append import document
from benchmarks.datasets import DATASETS, Dataset
from benchmarks.silence import Silence
from benchmarks.tables import name_of
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.files.paths import FilesRoot
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.scheduler import run_in_threads


def load(
    file: Path,
    url: str,
    dataset: Dataset,
    *,
    rules: Sequence[dict[str, Any]] = (),
    recorder: RunRecorder | None = None,
) -> RunTotals:
    """Appends the rows of the file that follow the rules to the dataset's table, two partitions at a time."""
    run_id = uuid4().hex
    connector = ConnectorRecord("conn_1", "local_fs", {})
    ir, tables = document(dataset, file.name, rules=rules), frozenset({name_of(dataset)})
    pipeline = RunPipeline("pipe_1", "default", dataset.name, ir, 1, connector, {"parallelism": 2}, tables)
    prepared = prepare(Job(run_id, pipeline, url, FilesRoot(file.parent), Continuation(run_id)))
    try:
        return run_in_threads(Execution(prepared, recorder or Silence()))
    finally:
        prepared.close()


if __name__ == "__main__":
    began = time.perf_counter()
    load(Path(sys.argv[1]), sys.argv[2], DATASETS[sys.argv[3]])
    print(time.perf_counter() - began)
