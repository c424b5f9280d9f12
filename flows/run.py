"""The Prefect flow that runs every pipeline, and its two tasks. Prefect provides state, retries and task runs; rows are
processed in `flows.runtime`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled, Completed
from prefect.tasks import exponential_backoff

from headrace.catalog.runs.store import RunStore
from headrace.catalog.settings import settings
from headrace.connectors.target import Resume
from headrace.flows.prefect.blocks import opened_pipeline
from headrace.flows.prefect.cluster.dispatch import cluster_of
from headrace.flows.prefect.cluster.worker import JoinedRun, join_run
from headrace.flows.prefect.database_retries import retrying_engine, with_database_retries
from headrace.flows.prefect.events import last_event
from headrace.flows.prefect.lock_waits import cancel_lock_wait
from headrace.flows.prefect.out_of_memory import MemoryGuard
from headrace.flows.prefect.report import partition_message, publication_message
from headrace.flows.prefect.run_lifecycle import EXPLAINED, FlowRunScope, run_to_end
from headrace.flows.prefect.scheduled_runs import CHECKED_BY_WORKER, let_go
from headrace.flows.run_job import RunRequest, open_job
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.partition import Stopped
from headrace.flows.runtime.scheduler import Part, run_parts


@dataclass(slots=True)
class InProcess:
    """A run in this process, and the threads that run its parts. `failed` once one of them has raised an error."""

    execution: Execution
    pool: ThreadPoolExecutor
    failed: bool = False

    async def threaded(self, work: Callable[[], Resume]) -> Resume:
        """Runs a part in a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)


_STOPPED = "stopped, because another part of the run failed"

_running: dict[str, InProcess] = {}
"""The runs of this process by id. Task parameters carry ids only."""


async def _run_of(run_id: str, token: int | None) -> InProcess | JoinedRun:
    """The run in this process. `token` is given where the process may be a worker of a cluster."""
    if token is None or run_id in _running:
        return _running[run_id]
    return await join_run(run_id, token)


async def _worth_retrying(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Whether Prefect retries the task: after errors without an explanation, which may not happen again. Errors of the
    database have been retried inside the partition already; explained errors would be the same."""
    try:
        await state.aresult(raise_on_failure=True)
    except (*EXPLAINED, Stopped):
        return False
    except Exception:  # noqa: BLE001 (Prefect keeps the error in the state)
        return True
    return False


async def _completed(running: InProcess | JoinedRun, work: Callable[[], Resume]) -> Resume | None:
    """The result; None when the part was stopped because another part failed. Prefect would call that a crash, and log
    it twice next to the line that says what failed."""
    try:
        return await running.threaded(work)
    except (asyncio.CancelledError, Stopped):
        if isinstance(running, InProcess) and running.failed:
            return None
        raise


@task(name="partition", persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_worth_retrying)
async def load_partition(run_id: str, stage: int, index: int, token: int | None = None) -> State[Resume]:
    """One partition of one stage, in a thread. It continues after the rows that its ledger row says are committed."""
    running = await _run_of(run_id, token)
    execution = running.execution
    planned = execution.prepared.plan.stages[stage]
    done = await _completed(running, lambda: execution.partition(planned, index))
    if done is None:
        return Cancelled(message=_STOPPED)
    held = [target for target, mode in execution.prepared.modes.items() if mode.publications()]
    return Completed(message=partition_message(planned, done, held), data=done)


@task(name="publish", persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_worth_retrying)
async def publish_rows(run_id: str, load: int, index: int, token: int | None = None) -> State[Resume]:
    """Makes rows visible that the load mode of a target held back until every partition was read."""
    running = await _run_of(run_id, token)
    execution = running.execution
    done = await _completed(running, lambda: execution.publication(execution.prepared.plan.loads[load], index))
    if done is None:
        return Cancelled(message=_STOPPED)
    return Completed(message=publication_message(done), data=done)


# No results are stored; without a place for them, Prefect opens another client to ask its server for one.
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

    Ends Completed, with the tag `rows-failed` when rows were rejected, or Failed with the reason.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("run_pipeline runs under Prefect; without it, use headrace.flows.runtime.execute")
    with last_event(context.flow_run):
        return await _run_pipeline(
            context.flow_run, RunRequest(pipeline_id, tenant_id, ir_version, retry_of, parameters or {})
        )


async def _run_pipeline(flow_run: FlowRun, request: RunRequest) -> State[Any]:
    run_id = f"run_{flow_run.id.hex}"
    logger = get_run_logger()
    engine = retrying_engine(settings().for_runs, run_id, logger.warning)
    scope = FlowRunScope(flow_run, run_id, request, engine, RunStore(engine), logger)
    if CHECKED_BY_WORKER not in os.environ and (skipped := await _skipped_state(scope)) is not None:
        logger.info("%s", skipped.message)
        return skipped
    guard = MemoryGuard(flow_run.id, run_id, scope.store, logger)
    with guard.watching():
        return await run_to_end(scope, guard, partial(_run, scope))


async def _skipped_state(scope: FlowRunScope) -> State[Any] | None:
    """The final state of a run that its schedule skips; None when it starts. Raises Abort as `let_go` does."""
    message = await let_go(scope.flow_run, lambda: scope.store.begun(scope.run_id))
    if message is None:
        return None
    # stores the run in the catalog
    await with_database_retries(
        open_job, scope.store, scope.run_id, scope.request, opened_pipeline, warn=scope.logger.warning
    )
    scope.store.skipped(scope.run_id, message)
    return Cancelled(message=message)


async def _run(scope: FlowRunScope, execution: Execution) -> RunTotals:
    """Runs all parts as Prefect tasks, `parallelism` at a time. The first failure stops the others."""
    run_id, prepared = scope.run_id, execution.prepared
    retries = prepared.ir.error_handling.retry.max_attempts - 1
    await _begin(execution)

    async def one(part: Part) -> Resume:
        work = (publish_rows if part.publishes else load_partition).with_options(
            name=part.group,
            task_run_name=part.name,
            retries=retries,
            retry_delay_seconds=exponential_backoff(backoff_factor=2),
        )
        try:
            if cluster is None:
                state = await work(run_id, part.number, part.index)
            else:
                state = await cluster.run(work, run_id, part.number, part.index, publishes=part.publishes)
            return await state.aresult()
        except CancelledRun as error:
            raise Stopped(_STOPPED) from error
        except Exception:  # BaseExceptions stop the whole run
            here.failed = True
            raise

    async with cluster_of(execution, scope.store) as cluster:
        with ThreadPoolExecutor(prepared.execution.parallelism, thread_name_prefix="partition") as pool:
            here = _running[run_id] = InProcess(execution, pool)
            try:
                done = await run_parts(execution, one, at_once=prepared.execution.parallelism, explained=EXPLAINED)
            except BaseException:
                execution.stop()
                cancel_lock_wait(prepared.job)  # the pool ends only when its threads have the locks or give up
                raise
            finally:
                execution.stop()
                del _running[run_id]
    return await asyncio.to_thread(execution.finish, done)


async def _begin(execution: Execution) -> None:
    try:
        await asyncio.to_thread(execution.begin)
    except BaseException:
        cancel_lock_wait(execution.prepared.job)  # the process ends only when its threads have ended
        raise
