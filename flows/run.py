"""The one flow behind every pipeline. Prefect gives state, retries and task runs; what happens to rows stands in
`flows.runtime`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from prefect import State, Task, flow, get_client, get_run_logger, task
from prefect._internal.control_listener import get_intent
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.exceptions import CancelledRun, TerminationSignal
from prefect.states import Cancelled, Completed, Failed, Running
from prefect.tasks import exponential_backoff

from catalog.credentials import CredentialsUnreadable
from catalog.engine import make_engine
from catalog.errors import NoIr, PipelineMissing
from catalog.runs import RunStore
from catalog.settings import settings
from connectors.base import Resume, SourceError, TargetError
from flows.asked import Asked, job_of, looked_at_again
from flows.compile import Stage
from flows.prefect.blocks import with_blocks
from flows.prefect.cluster import cluster_of
from flows.prefect.cluster_worker import Joined, joined
from flows.prefect.telling import RunTelling
from flows.runtime.anew import make_way
from flows.runtime.arrival import Arrival, arrive
from flows.runtime.catalog_journal import CatalogJournal
from flows.runtime.execute import Execution, RunTotals
from flows.runtime.job import Job
from flows.runtime.limits import RunFailed
from flows.runtime.locks import TargetLocks
from flows.runtime.partition import Stopped
from flows.runtime.prepare import prepare, stored_plan
from flows.runtime.tally import AccountingError
from flows.state_names import CANCELLED, COMPLETED_WITH_ERRORS, WAITING

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

_running: dict[str, InProcess] = {}
"""By run id: task parameters carry ids only."""


async def _part_of(run_id: str, token: int | None) -> InProcess | Joined:
    """The run as this process has it. `token` is given where the process may be one of a cluster."""
    if token is None or run_id in _running:
        return _running[run_id]
    return await joined(run_id, token)


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


async def _done(running: InProcess | Joined, work: Callable[[], Resume]) -> Resume | None:
    """What came of the work; None when it was broken off because another part of the run has failed. Prefect would
    call that a crash, and tell it in the log twice, beside the one line that matters."""
    try:
        return await running.threaded(work)
    except (asyncio.CancelledError, Stopped):
        if isinstance(running, InProcess) and running.gives_up:
            return None
        raise


_BROKEN_OFF = "stopped, because another part of the run failed"


@task(name="partition", persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_worth_retrying)
async def load_partition(run_id: str, stage: int, index: int, token: int | None = None) -> State[Resume]:
    """One partition of one stage, in a thread: it continues behind what its ledger row says is committed."""
    running = await _part_of(run_id, token)
    execution = running.execution
    done = await _done(running, lambda: execution.partition(execution.prepared.plan.stages[stage], index))
    if done is None:
        return Cancelled(message=_BROKEN_OFF)
    message = f"{done.rows_loaded:,} rows loaded, {done.rows_failed:,} failed, {done.rows_skipped:,} skipped"
    return Completed(message=f"{message} of {done.rows_done:,}", data=done)


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
        raise RuntimeError("run_pipeline runs under Prefect; without it, use flows.runtime.execute")
    run_id = f"run_{context.flow_run.id.hex}"
    engine = make_engine(settings().database_url)
    store = RunStore(engine)
    logger = get_run_logger()
    arrival: Arrival | None = None
    telling: RunTelling | None = None
    try:
        asked = Asked(pipeline_id, tenant_id, ir_version, retry_of, parameters or {})
        job = await asyncio.to_thread(with_blocks, job_of(store, run_id, asked))
        telling = RunTelling(context.flow_run, job, store=store, engine=engine, api_url=settings().api_url)
        await telling.begins(logger)
        journal = telling.journal(logger)
        arrival = await _arrived(store, run_id, job, journal)
        if arrival.missed is not None:
            store.finished(run_id, status="completed", failure_reason=None)
            await telling.ended("completed", logger, missed=arrival.missed.sentence)
            return Completed(message=arrival.missed.sentence)
        job = arrival.job
        locks = TargetLocks(job)
        try:
            await _take_tables(store, run_id, locks, journal)
            # Another attempt of the same chain may have had the tables until now: what it committed is known only here.
            job = await asyncio.to_thread(looked_at_again, store, job, asked)
            execution = await asyncio.to_thread(_planned, store, job, journal, locks)
            async with telling.progress(execution.prepared, logger):
                totals = await _run(run_id, execution, store)
        finally:
            locks.release()
        await asyncio.to_thread(arrival.completed)
    except EXPLAINED as error:
        reason = str(error) if arrival is None else arrival.failed(error)
        logger.error("%s", reason)
        store.log(run_id, "run", reason)
        store.finished(run_id, status="failed", failure_reason=reason)
        if telling is not None:
            await telling.ended("failed", logger, code=getattr(error, "code", None))
        return Failed(message=reason)
    except BaseException as error:
        # A cancelled or killed run, or a fault of Headrace: Prefect names the state, the catalog keeps the cause.
        reason = _cause(error)
        store.finished(run_id, status="failed", failure_reason=reason)
        if telling is not None:
            await telling.broken_off("cancelled" if reason == CANCELLED else "failed", logger)
        raise
    status = "completed_with_errors" if totals.failed else "completed"
    store.finished(run_id, status=status, failure_reason=None)
    await telling.ended(status, logger)
    return Completed(
        message=f"{totals.rows_out:,} rows loaded, {totals.failed:,} failed, {totals.skipped:,} skipped "
        f"of {totals.rows_in:,}",
        name=COMPLETED_WITH_ERRORS if totals.failed else "Completed",
    )


async def _arrived(store: RunStore, run_id: str, job: Job, journal: CatalogJournal) -> Arrival:
    """What has arrived for the run. While it waits the run is `pending`; in Prefect its state is named Waiting."""
    waited = False

    async def waits(reason: str) -> None:
        nonlocal waited
        if not waited:
            store.waits(run_id)
            await _tell_prefect(Running(name=WAITING, message=reason))
            waited = True

    arrival = await arrive(job, journal, waits)
    if waited:
        await _tell_prefect(Running())
    return arrival


async def _take_tables(store: RunStore, run_id: str, locks: TargetLocks, journal: CatalogJournal) -> None:
    """Returns when no other run disturbs this one in its tables. Meanwhile the run is `pending` and says for whom it
    waits; in Prefect its state is named Waiting."""
    told: str | None = None
    while (reason := await asyncio.to_thread(locks.acquire)) is not None:
        if reason != told:
            store.waits(run_id)
            await _tell_prefect(Running(name=WAITING, message=reason))
            journal.log("run", reason)  # last: who reads it finds the run waiting wherever they look next
            told = reason
        await asyncio.sleep(_LOOK_AGAIN_S)
    if told is not None:
        await _tell_prefect(Running())


async def _tell_prefect(state: State[Any]) -> None:
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    async with get_client() as client:
        await client.set_flow_run_state(context.flow_run.id, state, force=True)


def _planned(store: RunStore, job: Job, journal: CatalogJournal, locks: TargetLocks) -> Execution:
    """Plans the run, and stores its plan once nothing is left that is counted by another."""
    execution = Execution(prepare(job), journal, locks)
    make_way(job, journal)
    prepared = execution.prepared
    store.started(
        job.run_id,
        total_rows=prepared.total_rows,
        fingerprint=prepared.fingerprints,
        plan=stored_plan(prepared),
        partitions=[(stage.index, p.index, p.rows) for stage in prepared.plan.stages for p in stage.partitions],
    )
    return execution


async def _run(run_id: str, execution: Execution, store: RunStore) -> RunTotals:
    """All partitions and then all publications, as Prefect tasks, `parallelism` at a time; the first failure stops the
    others."""
    prepared = execution.prepared
    retry = prepared.ir.error_handling.retry
    at_once = asyncio.Semaphore(prepared.execution.parallelism)
    await asyncio.to_thread(execution.begin)

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
            finally:
                execution.stop()
                del _running[run_id]
    return await asyncio.to_thread(execution.finish, done)


def _first_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What made the run fail, rather than what stopped because of it."""
    causes = [error for error in errors.exceptions if not isinstance(error, Stopped | CancelledRun)]
    return next((error for error in causes if isinstance(error, EXPLAINED)), (causes or [*errors.exceptions])[0])


def _cause(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | TerminationSignal):
        if get_intent() == "cancel":
            return CANCELLED
        return "The run's process was told to stop, as when its worker shuts down; a retry goes on behind its ledger"
    return f"{type(error).__name__}: {error}"
