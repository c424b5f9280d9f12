"""The one flow behind every pipeline. Prefect gives state, retries and task runs; what happens to rows stands in
`flows.runtime`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
from prefect import State, Task, flow, get_client, get_run_logger, task
from prefect._internal.control_listener import get_intent
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, CancelledRun, TerminationSignal
from prefect.states import Cancelled, Completed, Failed, Running, Scheduled
from prefect.tasks import exponential_backoff
from prefect.utilities.engine import propose_state
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.credentials import CredentialsUnreadable
from headrace.catalog.settings import settings
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql.error_messages import error_message
from headrace.connectors.source import Source
from headrace.connectors.target import Resume
from headrace.flows.catchup import Starts, WaitsForOlder
from headrace.flows.compile import Stage
from headrace.flows.prefect.blocks import opened_pipeline, with_blocks
from headrace.flows.prefect.cluster.dispatch import cluster_of
from headrace.flows.prefect.cluster.worker import JoinedRun, join_run
from headrace.flows.prefect.database_retries import retrying_engine, with_database_retries
from headrace.flows.prefect.final_state import FinalState
from headrace.flows.prefect.lock_waits import cancel_lock_wait, report_lock_waits
from headrace.flows.prefect.names import CANCELLED, COMPLETED_WITH_ERRORS, NOT_ITS_TURN, WAITING
from headrace.flows.prefect.out_of_memory import MemoryGuard
from headrace.flows.prefect.report import partition_message
from headrace.flows.prefect.run_recorder import RunLogger
from headrace.flows.prefect.run_reporter import RunReporter
from headrace.flows.prefect.scheduled_runs import CHECKED_BY_WORKER, own_verdict
from headrace.flows.resume.restage import drop_refused_rows
from headrace.flows.run_job import RunRequest, open_job, refresh_job
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.found_columns import RunSources
from headrace.flows.runtime.input.file_arrival import Arrival, arrive
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.memory.watch import explain_memory_errors
from headrace.flows.runtime.partition import Stopped
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.run_recorder import CatalogRecorder
from headrace.flows.runtime.stored_plan import stored_plan
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
"""Errors whose text is written for a person: they end a run, and trying again would give the same."""


@dataclass(slots=True)
class InProcess:
    """A run in this process, and the threads its partitions use. `gives_up` once one of them has failed."""

    execution: Execution
    pool: ThreadPoolExecutor
    gives_up: bool = False

    async def threaded(self, work: Callable[[], Resume]) -> Resume:
        """The work on a partition or a publication, in a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)


_LOOK_AGAIN_S = 0.5
_TURN = timedelta(seconds=30)
_OLDER_FIRST = "Waits until the older runs of its schedule have ended, because catchup is 'all'."

_running: dict[str, InProcess] = {}
"""By run id: task parameters carry ids only."""


async def _part_of(run_id: str, token: int | None) -> InProcess | JoinedRun:
    """The run as this process has it. `token` is given where the process may be one of a cluster."""
    if token is None or run_id in _running:
        return _running[run_id]
    return await join_run(run_id, token)


async def _worth_retrying(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """What nobody could explain, and so may go away by itself. (A database that failed for a moment has been asked as
    often as the pipeline says, in the partition itself; a reason that is given would be the same again.)"""
    try:
        await state.aresult(raise_on_failure=True)
    except (*EXPLAINED, Stopped):
        return False
    except Exception:  # noqa: BLE001 (whatever it was, Prefect keeps it in the state)
        return True
    return False


async def _done(running: InProcess | JoinedRun, work: Callable[[], Resume]) -> Resume | None:
    """What came of the work; None when it was broken off because another part of the run has failed. Prefect would
    call that a crash, and tell it in the log twice, beside the one line that matters."""
    try:
        return await running.threaded(work)
    except (asyncio.CancelledError, Stopped):
        if isinstance(running, InProcess) and running.gives_up:
            return None
        raise


_TOO_LATE = "Cancelled at the end of the run: what it loaded stays, and a retry goes on behind it."
_BROKEN_OFF = "stopped, because another part of the run failed"


@task(name="partition", persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_worth_retrying)
async def load_partition(run_id: str, stage: int, index: int, token: int | None = None) -> State[Resume]:
    """One partition of one stage, in a thread: it continues behind what its ledger row says is committed."""
    running = await _part_of(run_id, token)
    execution = running.execution
    planned = execution.prepared.plan.stages[stage]
    done = await _done(running, lambda: execution.partition(planned, index))
    if done is None:
        return Cancelled(message=_BROKEN_OFF)
    held = [target for target, mode in execution.prepared.modes.items() if mode.publications()]
    return Completed(message=partition_message(planned, done, held), data=done)


@task(name="publish", persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_worth_retrying)
async def publish_rows(run_id: str, load: int, index: int, token: int | None = None) -> State[Resume]:
    """Makes rows visible that the load mode of a target held back until every partition was read."""
    running = await _part_of(run_id, token)
    execution = running.execution
    done = await _done(running, lambda: execution.publication(execution.prepared.plan.loads[load], index))
    if done is None:
        return Cancelled(message=_BROKEN_OFF)
    message = f"{done.rows_loaded:,} rows published, {done.rows_failed:,} failed, {done.rows_skipped:,} skipped"
    return Completed(message=message, data=done)


# Nothing is kept there; without a place Prefect makes a client of its own to ask its server for one.
@flow(name="headrace", persist_result=False, result_storage=Path("results"), validate_parameters=True)
async def run_pipeline(
    pipeline_id: str,
    tenant_id: str,
    ir_version: int | None = None,
    retry_of: str | None = None,
    parameters: dict[str, str | int | float | bool] | None = None,
) -> State[Any]:
    """Runs a pipeline: its live IR version unless another is named. `retry_of` is the id of the run to continue,
    `parameters` fill `{{name}}` in the configs of its sources.

    Ends Completed, Completed under the name CompletedWithErrors, or Failed with a sentence that says why.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("run_pipeline runs under Prefect; without it, use headrace.flows.runtime.execute")
    asked = RunRequest(pipeline_id, tenant_id, ir_version, retry_of, parameters or {})
    run_id = f"run_{context.flow_run.id.hex}"
    logger = get_run_logger()
    engine = retrying_engine(settings().for_runs, run_id, logger.warning)
    store = RunStore(engine)
    if (
        CHECKED_BY_WORKER not in os.environ
        and (let_go := await _skipped_state(context.flow_run, run_id, asked, store)) is not None
    ):
        logger.info("%s", let_go.message)
        return let_go
    guard = MemoryGuard(context.flow_run.id, run_id, store, logger)
    with guard.watching():
        return await _run_to_end(context.flow_run, run_id, asked, engine, store, logger, guard)


async def _skipped_state(flow_run: FlowRun, run_id: str, asked: RunRequest, store: RunStore) -> State[Any] | None:
    """What the run ends as when its schedule lets it go; None when it starts. Raises Abort when it is to come again
    because an older one of its schedule has not ended.

    A worker of Headrace's has asked before it started the run; one of Prefect's own starts whatever is due.
    """
    async with get_client() as client:
        verdict = await own_verdict(client, flow_run)
        if isinstance(verdict, Starts) or store.begun(run_id):
            return None
        if isinstance(verdict, WaitsForOlder):
            later = datetime.now(UTC) + _TURN
            state: State[Any] = Scheduled(scheduled_time=later, name=NOT_ITS_TURN, message=_OLDER_FIRST)
            await propose_state(client, state, flow_run_id=flow_run.id)
            raise Abort(_OLDER_FIRST)
    await with_database_retries(
        open_job, store, run_id, asked, opened_pipeline, tell=get_run_logger().warning
    )  # makes it known
    store.skipped(run_id, verdict.message)
    return Cancelled(message=verdict.message)


async def _run_to_end(
    flow_run: FlowRun,
    run_id: str,
    asked: RunRequest,
    engine: Engine,
    store: RunStore,
    logger: RunLogger,
    guard: MemoryGuard,
) -> State[Any]:
    arrival: Arrival | None = None
    telling: RunReporter | None = None
    conclusion = FinalState(flow_run)
    status, missed = "", ""
    done: State[Any]
    try:
        job = await with_database_retries(open_job, store, run_id, asked, opened_pipeline, tell=logger.warning)
        job = await asyncio.to_thread(with_blocks, job)
        guard.telling = telling = RunReporter(flow_run, job, store=store, engine=engine, api_url=settings().api_url)
        await telling.begins(logger)
        recorder = telling.recorder(logger)
        arrival = await _arrived(store, run_id, job, recorder)
        if arrival.missed is not None:
            status, done, missed = "completed", Completed(message=arrival.missed.sentence), arrival.missed.sentence
        else:
            totals, sources = await _loaded(store, run_id, asked, arrival.job, recorder, telling, logger)
            await asyncio.to_thread(arrival.completed, sources)
            status, done = _ends_as(totals)
        worked_until = await telling.reports(status, logger, missed=missed)
        if not await conclusion.agreed(done):
            return await _cancelled(run_id, store, telling, logger)
    except EXPLAINED as error:
        reason = _without_secrets(telling, str(error) if arrival is None else arrival.failed(error))
        logger.error("%s", reason)
        store.log(run_id, "run", reason)
        store.finished(run_id, status="failed", failure_reason=reason)
        if telling is not None:
            await telling.ended("failed", logger, code=getattr(error, "code", None))
        return Failed(message=reason)
    except BaseException as error:
        # A cancelled or killed run, or a fault of Headrace: Prefect names the state, the catalog keeps the cause.
        if await conclusion.stands():  # it was stopped, but not before Prefect had taken that it is complete
            store.finished(run_id, status=status, failure_reason=None)
            raise
        reason = _without_secrets(telling, _cause(error))
        store.finished(run_id, status="failed", failure_reason=reason)
        if telling is not None:
            await telling.report_interruption("cancelled" if reason == CANCELLED else "failed", logger)
        raise
    store.finished(run_id, status=status, failure_reason=None, at=worked_until)
    await telling.ended(status, logger, missed=missed)
    return conclusion.state


async def _loaded(
    store: RunStore,
    run_id: str,
    asked: RunRequest,
    job: Job,
    recorder: CatalogRecorder,
    telling: RunReporter,
    logger: RunLogger,
) -> tuple[RunTotals, Mapping[str, Source]]:
    """Loads what has arrived, with the tables for this run alone; also gives the sources, by node."""
    locks = TargetLocks(job)
    try:
        await _take_tables(store, run_id, locks, recorder, logger.warning)
        # Another attempt of the same chain may have had the tables until now: what it committed is known only here.
        job = await with_database_retries(refresh_job, store, job, asked, opened_pipeline, tell=logger.warning)
        with explain_memory_errors():
            execution = await with_database_retries(_planned, store, job, recorder, locks, tell=logger.warning)
        async with telling.progress(execution.prepared, logger), report_lock_waits(job, recorder, _set_prefect_state):
            try:
                totals = await _run(run_id, execution, store)
            finally:
                await asyncio.to_thread(execution.prepared.close)
        return totals, execution.prepared.sources
    finally:
        locks.release()


def _ends_as(totals: RunTotals) -> tuple[str, State[Any]]:
    status = "completed_with_errors" if totals.failed else "completed"
    message = f"{totals.rows_out:,} rows loaded, {totals.failed:,} failed, {totals.skipped:,} skipped"
    name = COMPLETED_WITH_ERRORS if totals.failed else "Completed"
    return status, Completed(message=f"{message} of {totals.rows_in:,}", name=name)


async def _cancelled(run_id: str, store: RunStore, telling: RunReporter, logger: RunLogger) -> State[Any]:
    """The run had done everything when Prefect had taken that it was to be cancelled: that counts."""
    store.finished(run_id, status="failed", failure_reason=CANCELLED)
    await telling.report_interruption("cancelled", logger)
    return Cancelled(message=_TOO_LATE)


async def _arrived(store: RunStore, run_id: str, job: Job, recorder: CatalogRecorder) -> Arrival:
    """What has arrived for the run. While it waits the run is `pending`; in Prefect its state is named Waiting."""
    waited = False

    async def waits(reason: str) -> None:
        nonlocal waited
        if not waited:
            store.waits(run_id)
            await _set_prefect_state(Running(name=WAITING, message=reason))
            waited = True

    arrival = await arrive(job, recorder, waits)
    if waited:
        await _set_prefect_state(Running())
    return arrival


async def _take_tables(
    store: RunStore, run_id: str, locks: TargetLocks, recorder: CatalogRecorder, tell: Callable[[str], None]
) -> None:
    """Returns when no other run disturbs this one in its tables. Meanwhile the run is `pending` and says for whom it
    waits; in Prefect its state is named Waiting."""
    told: str | None = None
    while (reason := await with_database_retries(locks.acquire, tell=tell)) is not None:
        if reason != told:
            store.waits(run_id)
            await _set_prefect_state(Running(name=WAITING, message=reason))
            recorder.log("run", reason)  # last: who reads it finds the run waiting wherever they look next
            told = reason
        await asyncio.sleep(_LOOK_AGAIN_S)
    if told is not None:
        await _set_prefect_state(Running())


async def _set_prefect_state(state: State[Any]) -> None:
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    async with get_client() as client:
        # Not forced: a run that is being cancelled stays so.
        await client.set_flow_run_state(context.flow_run.id, state)


def _planned(store: RunStore, job: Job, recorder: CatalogRecorder, locks: TargetLocks) -> Execution:
    """Plans the run, and stores its plan once nothing is left that is counted by another."""
    sources = RunSources(store.sources, job, lambda told: recorder.log("extract", told, warning=True))
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


async def _begin(execution: Execution) -> None:
    try:
        await asyncio.to_thread(execution.begin)
    except BaseException:
        cancel_lock_wait(execution.prepared.job)  # the process ends when its threads have
        raise


async def _run(run_id: str, execution: Execution, store: RunStore) -> RunTotals:
    """All partitions and then all publications, as Prefect tasks, `parallelism` at a time; the first failure stops the
    others."""
    prepared = execution.prepared
    retry = prepared.ir.error_handling.retry
    at_once = asyncio.Semaphore(prepared.execution.parallelism)
    await _begin(execution)

    async def one(work: Task[[str, int, int], Any], name: str, piece: str, number: int, index: int) -> Resume:
        async with at_once:
            named = work.with_options(
                name=name,
                task_run_name=piece,
                retries=retry.max_attempts - 1,
                retry_delay_seconds=exponential_backoff(backoff_factor=2),
            )
            try:
                if cluster is None:
                    state = await named(run_id, number, index)
                else:
                    state = await cluster.run(named, run_id, number, index, publishes=work is publish_rows)
                return cast("Resume", await state.aresult())
            except BaseException as error:
                here.gives_up |= isinstance(error, Exception)  # others come from whoever stops the whole run
                execution.stop()
                raise

    left = {stage.index: len(stage.partitions) for stage in prepared.plan.stages}
    ended = {stage.index: asyncio.Event() for stage in prepared.plan.stages}
    for index, partitions in left.items():
        if not partitions:
            ended[index].set()

    async def in_turn(stage: Stage, index: int) -> Resume:
        for before in stage.after:
            await ended[before].wait()
        done = await one(load_partition, stage.name, stage.task_name(index), stage.index, index)
        left[stage.index] -= 1
        if not left[stage.index]:
            ended[stage.index].set()
        return done

    async def together(pieces: Iterable[Coroutine[Any, Any, Resume]]) -> list[Resume]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(piece) for piece in pieces]
        except BaseExceptionGroup as errors:
            raise _first_cause(errors) from errors
        return [task.result() for task in tasks]

    async with cluster_of(execution, store) as cluster:
        with ThreadPoolExecutor(prepared.execution.parallelism, thread_name_prefix="partition") as pool:
            here = _running[run_id] = InProcess(execution, pool)
            try:
                done = await together(
                    in_turn(stage, p.index) for stage in prepared.plan.stages for p in stage.partitions
                )
                publications = await asyncio.to_thread(execution.publications)
                done += await together(
                    one(publish_rows, load.publication_name, load.publication_name + piece, load.number, index)
                    for load, index, piece in publications
                )
            except BaseException:
                execution.stop()
                cancel_lock_wait(prepared.job)  # else the pool does not end before the lock is had
                raise
            finally:
                execution.stop()
                del _running[run_id]
    return await asyncio.to_thread(execution.finish, done)


def _first_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What made the run fail, rather than what stopped because of it."""
    causes = [error for error in errors.exceptions if not isinstance(error, Stopped | CancelledRun)]
    return next((error for error in causes if isinstance(error, EXPLAINED)), (causes or [*errors.exceptions])[0])


def _without_secrets(telling: RunReporter | None, reason: str) -> str:
    return reason if telling is None else telling.without_secrets(reason)


def _cause(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | TerminationSignal):
        if get_intent() == "cancel":
            return CANCELLED
        return "The run's process was told to stop, as when its worker shuts down; a retry goes on behind its ledger"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{type(error).__name__}: {error.strerror}"  # where on the server is not for whom it is told
    if isinstance(error, psycopg.Error | SQLAlchemyError):
        return f"The database failed: {error_message(error)}"
    return f"{type(error).__name__}: {error}"
