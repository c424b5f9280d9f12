"""A run from its request to its final state in Prefect and in the catalog."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from prefect import State
from prefect._internal.control_listener import get_intent
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled, Completed, Failed
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.runs.records import RunStatus
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.credentials import CredentialsUnreadable
from headrace.catalog.settings import settings
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql.error_messages import error_message
from headrace.connectors.source import Source
from headrace.flows.prefect.blocks import opened_pipeline, with_blocks
from headrace.flows.prefect.database_retries import with_database_retries
from headrace.flows.prefect.final_state import FinalState
from headrace.flows.prefect.lock_waits import report_lock_waits
from headrace.flows.prefect.names import CANCELLED
from headrace.flows.prefect.next_run import start_next
from headrace.flows.prefect.out_of_memory import MemoryGuard
from headrace.flows.prefect.run_recorder import RunLogger
from headrace.flows.prefect.run_reporter import RunReporter
from headrace.flows.prefect.streaming import StreamEnd, run_stream
from headrace.flows.prefect.waiting import set_prefect_state, wait_for_files, wait_for_tables
from headrace.flows.resume.restage import drop_refused_rows
from headrace.flows.run_job import RunRequest, open_job, refresh_job
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.found_columns import RunSources
from headrace.flows.runtime.input.file_arrival import Arrival
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.memory.watch import explain_memory_errors
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.run_recorder import CatalogRecorder
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.streaming.stream import streams
from headrace.flows.runtime.targets.locks import TargetLocks
from headrace.flows.runtime.transform.row_counts import AccountingError

EXPLAINED = (
    SourceError,
    TargetError,
    RunFailed,
    AccountingError,
    PipelineMissing,
    NoIr,
    CredentialsUnreadable,
)
"""Errors whose text is written for a person. They end the run; another attempt would end with the same error."""

_TOO_LATE = "Cancelled at the end of the run: the rows that it loaded stay, and a retry continues after them."


@dataclass(frozen=True, slots=True)
class FlowRunScope:
    """The run of this process in Prefect and in the catalog."""

    flow_run: FlowRun
    run_id: str
    request: RunRequest
    engine: Engine
    store: RunStore
    logger: RunLogger


RunExecution = Callable[[Execution], Awaitable[RunTotals]]
"""Runs all parts of a planned run and returns its totals."""


async def run_to_end(scope: FlowRunScope, guard: MemoryGuard, run: RunExecution) -> State[Any]:
    """Waits for files and tables, plans, runs and reports. Returns the final state for Prefect; raises unexpected
    exceptions, and those that stopped the process."""
    store, run_id, logger = scope.store, scope.run_id, scope.logger
    arrival: Arrival | None = None
    reporter: RunReporter | None = None
    conclusion = FinalState(scope.flow_run)
    status: RunStatus = "failed"
    missed = ""
    follows: Job | None = None
    stream: StreamEnd | None = None
    done: State[Any]
    try:
        job = await with_database_retries(open_job, store, run_id, scope.request, opened_pipeline, warn=logger.warning)
        job = await asyncio.to_thread(with_blocks, job)
        reporter = RunReporter(scope.flow_run, job, store=store, engine=scope.engine, api_url=settings().api_url)
        guard.reporter = reporter
        await reporter.begins(logger)
        recorder = reporter.recorder(logger)
        arrival = await wait_for_files(store, job, recorder)
        if arrival.missed is not None:
            status, done, missed = "completed", Completed(message=arrival.missed.sentence), arrival.missed.sentence
        else:
            loaded = await _loaded(scope, arrival.job, recorder, reporter, run)
            await asyncio.to_thread(arrival.completed, loaded.sources)
            stream = loaded.stream
            status, done = _final_state(loaded.totals, "" if stream is None else f"; {stream.reason}")
            follows = arrival.job if stream is not None and stream.followed else None
        worked_until = await reporter.reports(status, logger, missed=missed)
        if not await conclusion.agreed(done, rows_failed=status == "completed_with_errors"):
            return await _cancelled_at_the_end(scope, reporter)
    except EXPLAINED as error:
        reason = _without_secrets(reporter, str(error) if arrival is None else arrival.failed(error))
        logger.error("%s", reason)
        store.log(run_id, "run", reason, level="error")
        store.finished(run_id, status="failed", failure_reason=reason)
        if reporter is not None:
            await reporter.ended("failed", logger, code=getattr(error, "code", None))
        return Failed(message=reason)
    except BaseException as error:
        # Cancelled, killed, or a fault of Headrace: Prefect names the state, the catalog stores the cause.
        if await conclusion.accepted():  # it was stopped after Prefect had accepted that it is complete
            await _stopped_when_complete(scope, reporter, status)
            raise
        reason = _without_secrets(reporter, _cause(error))
        store.finished(run_id, status="failed", failure_reason=reason)
        if reporter is not None:
            await reporter.report_interruption("cancelled" if reason == CANCELLED else "failed", logger)
        raise
    store.finished(run_id, status=status, failure_reason=None, at=worked_until)
    if stream is not None:
        following = None if follows is None else await start_next(scope.flow_run, store, follows, logger)
        await stream.shows(following)
    await reporter.ended(status, logger, missed=missed)
    return conclusion.state


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The totals of what was loaded, and the sources, by node. `stream`: how a streaming run ended."""

    totals: RunTotals
    sources: Mapping[str, Source]
    stream: StreamEnd | None = None


async def _loaded(
    scope: FlowRunScope, job: Job, recorder: CatalogRecorder, reporter: RunReporter, run: RunExecution
) -> _Loaded:
    """Loads what has arrived, while no other run changes the tables."""
    store, logger = scope.store, scope.logger
    locks = TargetLocks(job)
    try:
        await wait_for_tables(store, job, locks, recorder, logger.warning)
        # Until now another attempt of the chain may have had the tables: only now it is known what it committed.
        job = await with_database_retries(refresh_job, store, job, scope.request, opened_pipeline, warn=logger.warning)
        if streams(job):
            async with report_lock_waits(job, recorder, set_prefect_state):
                end = await run_stream(store, job, recorder, reporter, logger, locks)
            return _Loaded(end.totals, {}, end)
        with explain_memory_errors():
            execution = await with_database_retries(_planned, store, job, recorder, locks, warn=logger.warning)
        async with reporter.progress(execution.prepared, logger), report_lock_waits(job, recorder, set_prefect_state):
            try:
                totals = await run(execution)
            finally:
                await asyncio.to_thread(execution.prepared.close)
        return _Loaded(totals, execution.prepared.sources)
    finally:
        locks.release()


def _planned(store: RunStore, job: Job, recorder: CatalogRecorder, locks: TargetLocks) -> Execution:
    """Plans the run, and stores the plan when no rows are left that another attempt has counted."""
    sources = RunSources(store.sources, job, lambda text: recorder.log("extract", text, level="warning"))
    execution = Execution(prepare(job, found=sources.found), recorder, locks)
    drop_refused_rows(job, recorder)
    prepared = execution.prepared
    store.started(
        job.run_id,
        total_rows=prepared.total_rows,
        fingerprint=prepared.fingerprints,
        plan=stored_plan(prepared),
        partitions=[(stage.index, p.index, p.rows) for stage in prepared.plan.stages for p in stage.partitions],
    )
    sources.planned()
    return execution


def _final_state(totals: RunTotals, besides: str) -> tuple[RunStatus, State[Any]]:
    status: RunStatus = "completed_with_errors" if totals.failed else "completed"
    message = f"{totals.rows_out:,} rows loaded, {totals.failed:,} failed, {totals.skipped:,} skipped"
    return status, Completed(message=f"{message} of {totals.rows_in:,}{besides}")


async def _cancelled_at_the_end(scope: FlowRunScope, reporter: RunReporter) -> State[Any]:
    """The run had loaded everything when Prefect had accepted its cancellation, which counts."""
    scope.store.finished(scope.run_id, status="failed", failure_reason=CANCELLED)
    await reporter.report_interruption("cancelled", scope.logger)
    return Cancelled(message=_TOO_LATE)


async def _stopped_when_complete(scope: FlowRunScope, reporter: RunReporter | None, status: RunStatus) -> None:
    scope.store.finished(scope.run_id, status=status, failure_reason=None)
    if reporter is not None:
        await reporter.follows_nothing()


def _without_secrets(reporter: RunReporter | None, reason: str) -> str:
    return reason if reporter is None else reporter.without_secrets(reason)


def _cause(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | TerminationSignal):
        if get_intent() == "cancel":
            return CANCELLED
        return "The process of the run was stopped, as when its worker shuts down; a retry continues after its ledger"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{type(error).__name__}: {error.strerror}"  # the path on the server is not for readers of the run
    if isinstance(error, psycopg.Error | SQLAlchemyError):
        return f"The database failed: {error_message(error)}"
    return f"{type(error).__name__}: {error}"
