"""Runs a pipeline in this process, like `flows.run` but with threads instead of Prefect.

Runs of one pipeline in one database are serialized. The next run continues a run that failed or whose process died:
after the rows that its ledger has as committed, with the document and the plan of that run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from uuid import uuid4

import psycopg

from headrace.catalog.runs.records import RunPipeline, RunSnapshot
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.error_messages import error_message
from headrace.flows.in_process.history import History
from headrace.flows.in_process.run_recorder import InProcessRecorder
from headrace.flows.resume.continuation import Continuation, retried
from headrace.flows.resume.ledgers import Ledgers, Versions
from headrace.flows.resume.restage import drop_refused_rows
from headrace.flows.runtime.databases import databases_of
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.input.file_arrival import Arrival, arrive
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.memory.watch import explain_memory_errors
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.targets.locks import TargetLocks
from headrace.flows.runtime.transform.row_counts import AccountingError
from headrace.ir.parameters import ParameterValue

EXPLAINED = (SourceError, TargetError, RunFailed, AccountingError)
"""Errors whose text is shown to users."""

_LOOK_AGAIN_S = 0.5
_UNFINISHED = ("failed", "running")
"""Statuses of a run to continue. `running`, while no other process runs the pipeline, means that its process died."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run. `status` is completed, completed_with_errors or failed; `resumed` is the run it
    continued."""

    run_id: str
    root_run_id: str
    status: str
    totals: RunTotals
    failure_reason: str | None
    nodes: Mapping[str, Mapping[str, int]]
    log: tuple[str, ...]
    resumed: str | None


def begin(
    pipeline: RunPipeline,
    *,
    database_url: str,
    files_root: FilesRoot,
    parameters: Mapping[str, ParameterValue],
    resume: bool = True,
    on_log: Callable[[str], None] | None = None,
) -> Outcome:
    """Runs the pipeline. With `resume`, continues the last run with these parameters if it failed, after the rows it
    committed. Raises RunFailed when the pipeline is already running, psycopg.Error."""
    with _PipelineSession(database_url, pipeline.id) as history:
        last = history.last(parameters)
        before = last if resume and last is not None and last.status in _UNFINISHED else None
        return _run(history, pipeline, database_url, files_root, parameters, before, on_log)


def retry(
    pipeline: RunPipeline,
    run_id: str,
    *,
    database_url: str,
    files_root: FilesRoot,
    on_log: Callable[[str], None] | None = None,
) -> Outcome:
    """Continues a failed run after the rows it committed, or runs the failed rows of a run that completed with errors
    again.

    Raises RunFailed when there is nothing to retry.
    """
    with _PipelineSession(database_url, pipeline.id) as history:
        before = history.snapshot(run_id)
        if before is None or before.pipeline_id != pipeline.id:
            raise RunFailed(f"There is no run {run_id} of the pipeline '{pipeline.id}' to retry")
        if before.status == "completed":
            raise RunFailed(f"The run {run_id} completed without errors: there is nothing to retry")
        return _run(history, pipeline, database_url, files_root, before.parameters, before, on_log)


class _PipelineSession:
    """An exclusive session with the history of a pipeline."""

    def __init__(self, database_url: str, pipeline: str) -> None:
        self._database_url, self._pipeline = database_url, pipeline

    def __enter__(self) -> History:
        self._history = History(self._database_url, self._pipeline)
        if not self._history.alone():
            self._history.close()
            raise RunFailed(f"Another run of the pipeline '{self._pipeline}' is under way in this database")
        return self._history

    def __exit__(self, *_: object) -> None:
        self._history.close()


def _run(
    history: History,
    pipeline: RunPipeline,
    database_url: str,
    files_root: FilesRoot,
    parameters: Mapping[str, ParameterValue],
    before: RunSnapshot | None,
    on_log: Callable[[str], None] | None,
) -> Outcome:
    run_id = f"run_{uuid4().hex}"
    ledgers = _ledgers(history, pipeline, database_url)
    continues = Continuation(root_run_id=run_id) if before is None else retried(before, history, run_id, ledgers)
    document = pipeline.ir if continues.ir_version is None else history.document(continues.ir_version)
    version = continues.ir_version or history.version(document)
    other_document = document != pipeline.ir
    pipeline = replace(pipeline, ir=document, ir_version=version)
    history.open(
        run_id,
        ir=document,
        ir_version=version,
        parameters=parameters,
        root_run_id=continues.root_run_id,
        retry_of=continues.retry_of,
        origin_run_id=continues.origin_run_id,
    )
    recorder = InProcessRecorder(history, run_id, continues.root_run_id, on_log)
    if before is not None:
        which = ", with the document of that run" if other_document else ""
        recorder.log("retry", f"Continues {before.id}{which}")
    job = Job(run_id, pipeline, database_url, files_root, continues, parameters)
    totals, reason, status = RunTotals(0, 0, 0, 0), None, "failed"
    try:
        totals = _execute(history, job, recorder)
        status = "completed_with_errors" if totals.failed else "completed"
    except EXPLAINED as error:
        reason = job.without_secrets(str(error))
    except psycopg.Error as error:
        reason = job.without_secrets(f"The database failed: {error_message(error)}")
    except BaseException as error:
        reason = job.without_secrets(f"{type(error).__name__}: {error}")
        raise
    finally:
        if reason is not None:
            totals = recorder.committed()
        counts = (totals.rows_in, totals.rows_out, totals.failed, totals.skipped)
        _note_end(history, run_id, status, reason, counts, recorder)
    resumed = None if before is None else before.id
    log = tuple(recorder.lines)
    return Outcome(run_id, continues.root_run_id, status, totals, reason, recorder.nodes(), log, resumed)


def _ledgers(history: History, pipeline: RunPipeline, database_url: str) -> Ledgers:
    def found(versions: Versions) -> Sequence[Database]:
        documents = [pipeline.ir if each is None else history.document(each) for each in dict.fromkeys(versions)]
        return databases_of((replace(pipeline, ir=each) for each in documents), database_url, ())

    return Ledgers(found)


def _note_end(
    history: History,
    run_id: str,
    status: str,
    reason: str | None,
    counts: tuple[int, int, int, int],
    recorder: InProcessRecorder,
) -> None:
    """Records the end of the run. A database error is raised only after success: the next run would load the rows
    again."""
    try:
        history.finished(run_id, status, reason, counts, recorder.nodes())
    except psycopg.Error:
        if reason is None:
            raise


def _execute(history: History, job: Job, recorder: InProcessRecorder) -> RunTotals:
    arrival = _arrived(job, recorder)
    if arrival.missed is not None:
        return RunTotals(0, 0, 0, 0)
    job = arrival.job
    try:
        locks = TargetLocks(job)
        try:
            _take_tables(locks, recorder)
            with explain_memory_errors():
                execution = Execution(prepare(job), recorder, locks)
                drop_refused_rows(job, recorder)
                history.planned(job.run_id, stored_plan(execution.prepared))
            try:
                totals = run_in_threads(execution)
            finally:
                execution.stop()
        finally:
            locks.release()
        arrival.completed(execution.prepared.sources)
    except EXPLAINED as error:
        raise RunFailed(arrival.failed(error)) from error
    return totals


def _arrived(job: Job, recorder: InProcessRecorder) -> Arrival:
    """Waits for files in a separate thread, because a notebook already has a running event loop."""
    with ThreadPoolExecutor(1, thread_name_prefix="arrival") as thread:
        return thread.submit(lambda: asyncio.run(arrive(job, recorder))).result()


def _take_tables(locks: TargetLocks, recorder: InProcessRecorder) -> None:
    """Returns when this run holds the locks on its tables; other runs, also of flows, may hold them first."""
    reported: str | None = None
    while (reason := locks.acquire()) is not None:
        if reason != reported:
            recorder.log("run", reason)
            reported = reason
        time.sleep(_LOOK_AGAIN_S)
