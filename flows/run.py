"""The one flow behind every pipeline. Prefect gives state, retries and task runs; what happens to rows stands in
`flows.runtime`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from prefect import State, flow, get_run_logger, task
from prefect._internal.control_listener import get_intent
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed
from prefect.tasks import exponential_backoff

from catalog.credentials import CredentialsUnreadable
from catalog.engine import make_engine
from catalog.errors import NoIr, PipelineMissing
from catalog.load_strategy import LOAD_STRATEGIES, load_strategy
from catalog.run_records import RunPipeline
from catalog.runs import RunStore
from catalog.settings import settings
from connectors.base import Resume, SourceError, TargetError
from flows.report import run_report
from flows.resume import Continuation, begun_before, retried
from flows.runtime.catalog_journal import CatalogJournal
from flows.runtime.execute import Execution, RunTotals
from flows.runtime.job import Job
from flows.runtime.journal import LogStage
from flows.runtime.limits import RunFailed
from flows.runtime.partition import Stopped
from flows.runtime.prepare import prepare, stored_plan
from flows.runtime.tally import AccountingError
from ir.parameters import ParameterValue

RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]

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


class Running(NamedTuple):
    """A run in this process, and the threads its partitions use."""

    execution: Execution
    pool: ThreadPoolExecutor


class _LoggedJournal(CatalogJournal):
    """The run's log lines go to Prefect's log too: that is where people with its UI look."""

    def __init__(self, store: RunStore, run_id: str, root_run_id: str, logger: RunLogger) -> None:
        super().__init__(store, run_id, root_run_id)
        self._logger = logger

    def log(self, stage: LogStage, message: str) -> None:
        super().log(stage, message)
        self._logger.info("%s: %s", stage, message)


_running: dict[str, Running] = {}
"""By run id: task parameters carry ids only."""


def _worth_retrying(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Only what might go away by itself, such as a lost connection."""
    try:
        state.result(raise_on_failure=True)
    except TargetError as error:
        return error.code in ("database_unavailable", "database_unreachable")
    except (*EXPLAINED, Stopped):
        return False
    except Exception:  # noqa: BLE001 (whatever else it was, Prefect keeps it in the state)
        return True
    return False


@task(name="partition", persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_worth_retrying)
async def load_partition(run_id: str, stage: int, index: int) -> State[Resume]:
    """One partition of one stage, in a thread: it continues behind what its ledger row says is committed."""
    running = _running[run_id]
    loop = asyncio.get_running_loop()
    stages = running.execution.prepared.plan.stages
    done = await loop.run_in_executor(running.pool, running.execution.partition, stages[stage], index)
    message = f"{done.rows_loaded:,} rows loaded, {done.rows_failed:,} failed, {done.rows_skipped:,} skipped"
    return Completed(message=f"{message} of {done.rows_done:,}", data=done)


@flow(name="headrace", persist_result=False, validate_parameters=True)
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
    store = RunStore(make_engine(settings().database_url))
    logger = get_run_logger()
    try:
        asked = Asked(pipeline_id, tenant_id, ir_version, retry_of, parameters or {})
        job = _job(store, run_id, asked)
        journal = _LoggedJournal(store, run_id, job.root_run_id, logger)
        execution = Execution(await asyncio.to_thread(prepare, job), journal)
        _started(store, run_id, execution)
        totals = await _run(run_id, execution)
    except EXPLAINED as error:
        reason = str(error)
        logger.error("%s", reason)
        store.log(run_id, "run", reason)
        store.finished(run_id, status="failed", failure_reason=reason)
        return Failed(message=reason)
    except BaseException as error:
        # A cancelled or killed run, or a fault of Headrace: Prefect names the state, the catalog keeps the cause.
        store.finished(run_id, status="failed", failure_reason=_cause(error))
        raise
    status = "completed_with_errors" if totals.failed else "completed"
    store.finished(run_id, status=status, failure_reason=None)
    await _report(store, run_id, job.pipeline)
    message = (
        f"{totals.rows_out:,} rows loaded, {totals.failed:,} failed, {totals.skipped:,} skipped of {totals.rows_in:,}"
    )
    logger.info(message)
    return Completed(message=message, name="CompletedWithErrors" if totals.failed else "Completed")


class Asked(NamedTuple):
    """The parameters of the flow."""

    pipeline_id: str
    tenant_id: str
    ir_version: int | None
    retry_of: str | None
    parameters: Mapping[str, ParameterValue]


def _job(store: RunStore, run_id: str, asked: Asked) -> Job:
    """The pinned pipeline and what the run takes over from earlier ones; makes the run known to the catalog."""
    database_url = settings().database_url
    before = store.snapshot(run_id)
    if before is not None and before.plan is not None:
        continues = begun_before(before, database_url)
    elif asked.retry_of is not None:
        original = store.snapshot(asked.retry_of)
        if original is None or (original.tenant_id, original.pipeline_id) != (asked.tenant_id, asked.pipeline_id):
            raise RunFailed(f"There is no run {asked.retry_of} to retry")
        continues = retried(original, store, run_id, database_url)
    else:
        continues = Continuation(root_run_id=run_id)
    pipeline = store.load_pipeline(asked.pipeline_id, continues.ir_version or asked.ir_version)
    if pipeline.tenant_id != asked.tenant_id:
        raise PipelineMissing(f"There is no pipeline {asked.pipeline_id}")
    parameters = asked.parameters if continues.parameters is None else continues.parameters
    store.open(
        run_id,
        tenant_id=pipeline.tenant_id,
        pipeline_id=pipeline.id,
        ir_version=pipeline.ir_version,
        root_run_id=continues.root_run_id,
        retry_of=continues.retry_of,
        origin_run_id=continues.origin_run_id,
        parameters=parameters,
        load_strategy=load_strategy(_load_modes(pipeline.ir)),
        status="running",
    )
    return Job(run_id, pipeline, database_url, settings().files_root, continues, parameters)


def _load_modes(ir: dict[str, Any]) -> list[str]:
    """The load modes of the targets; read leniently, because a faulty document is reported by `prepare`."""
    nodes = [node for node in ir.get("nodes", ()) if isinstance(node, dict)]
    modes = [node.get("loadMode", "append") for node in nodes if node.get("kind") == "target"]
    return [mode for mode in modes if mode in LOAD_STRATEGIES]


def _started(store: RunStore, run_id: str, execution: Execution) -> None:
    prepared = execution.prepared
    store.started(
        run_id,
        total_rows=prepared.total_rows,
        fingerprint=prepared.fingerprints,
        plan=stored_plan(prepared),
        partitions=[(stage.index, p.index, p.rows) for stage in prepared.plan.stages for p in stage.partitions],
    )


async def _run(run_id: str, execution: Execution) -> RunTotals:
    """All partitions, as Prefect tasks, `parallelism` at a time; the first failure stops the others."""
    prepared = execution.prepared
    retry = prepared.ir.error_handling.retry
    at_once = asyncio.Semaphore(prepared.execution.parallelism)
    await asyncio.to_thread(execution.begin)

    async def one(stage: int, index: int) -> Resume:
        async with at_once:
            name = prepared.plan.stages[stage].task_name(index)
            named = load_partition.with_options(
                name=prepared.plan.stages[stage].name,
                task_run_name=name,
                retries=retry.max_attempts - 1,
                retry_delay_seconds=exponential_backoff(backoff_factor=2),
            )
            try:
                state = await named(run_id, stage, index)
                return await state.aresult()
            except BaseException:
                execution.stop()
                raise

    with ThreadPoolExecutor(prepared.execution.parallelism, thread_name_prefix="partition") as pool:
        _running[run_id] = Running(execution, pool)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(one(stage.index, p.index))
                    for stage in prepared.plan.stages
                    for p in stage.partitions
                ]
        except BaseExceptionGroup as errors:
            raise _first_cause(errors) from errors
        finally:
            execution.stop()
            del _running[run_id]
    return await asyncio.to_thread(execution.finish, [done.result() for done in tasks])


def _first_cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What made the run fail, rather than what stopped because of it."""
    causes = [error for error in errors.exceptions if not isinstance(error, Stopped)]
    return next((error for error in causes if isinstance(error, EXPLAINED)), (causes or [*errors.exceptions])[0])


def _cause(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | TerminationSignal):
        if get_intent() == "cancel":
            return "cancelled"
        return "The run's process was told to stop, as when its worker shuts down; a retry goes on behind its ledger"
    return f"{type(error).__name__}: {error}"


async def _report(store: RunStore, run_id: str, pipeline: RunPipeline) -> None:
    """The run's report as an artifact of the flow run, one series per pipeline."""
    snapshot = store.snapshot(run_id)
    if snapshot is not None:
        key = f"report-{pipeline.id}".lower().replace("_", "-")
        await acreate_markdown_artifact(
            key=key, markdown=run_report(pipeline.name, snapshot), description=f"Report of {pipeline.name}"
        )
