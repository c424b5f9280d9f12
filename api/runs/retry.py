"""Retries of failed and partly failed runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from headrace.api.context import RequestContext
from headrace.api.databases import ledgers_of
from headrace.api.errors import ApiError
from headrace.api.pipelines.deployment import Runnable, runnable
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.runs.launch import RetryChain, launch
from headrace.api.runs.log_schemas import LogEntry
from headrace.api.runs.schemas import RetriedRun, RetryMetadata, StartedRun
from headrace.api.runs.service import started, started_before, watch
from headrace.catalog.advisory_locks import RETRY_LOCKS, advisory_lock
from headrace.catalog.runs.records import RunSnapshot
from headrace.connectors.errors import TargetError
from headrace.flows.resume.continuation import Continuation, reload_reasons, retried
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.input.inspection import check_sources
from headrace.flows.runtime.job import Job
from headrace.flows.tenant_files import files_of
from headrace.flows.validation.check import check_types
from headrace.ir.load_modes import RESUMABLE

RETRYABLE = ("failed", "completed_with_errors")


def retry_run(context: RequestContext, pipeline_id: str, run_id: str) -> RetriedRun:
    """Starts a run that resumes a failed one after its committed rows, or runs the failed rows of a completed one.

    Raises ApiError: 404, 422 when the run's status, a later retry, its source or its IR does not allow it;
    OrchestratorAway.
    """
    with advisory_lock(context.services.engine, RETRY_LOCKS, run_id, wait=False) as mine:
        if not mine:
            raise ApiError(422, "The run is being retried by another request")
        return _retry(context, pipeline_id, run_id)


def _retry(context: RequestContext, pipeline_id: str, run_id: str, idempotency_key: str | None = None) -> RetriedRun:
    original = watch(context, pipeline_id, run_id)
    if original.status not in RETRYABLE:
        if original.skip_reason is not None:
            raise ApiError(422, f"The run never started: start a new one instead of retrying. {original.skip_reason}")
        raise ApiError(422, f"A run that is {original.status} cannot be retried: only failed or partly failed runs can")
    check_not_retried(context, original)
    try:
        ledgers = ledgers_of(context, pipeline_id)
        continues = retried(original, context.store, "", ledgers)
        chosen = _version_to_run(context, pipeline_id, continues)
        _check_sources(context, pipeline_id, chosen, continues)
        again = reload_reasons(continues, ledgers)
    except (RunFailed, TargetError) as error:
        raise ApiError(422, str(error)) from None
    chain = RetryChain(run_id, original.created_at, continues.root_run_id or None, continues.origin_run_id)
    accepted = launch(
        context,
        pipeline_id,
        chosen,
        chain=chain,
        parameters=continues.parameters,
        idempotency_key=idempotency_key,
    )
    message = _message(original, continues, chosen.version, again)
    context.store.log(accepted.run_id, "retry", message)
    return RetriedRun(
        id=accepted.run_id,
        pipeline_id=pipeline_id,
        status="pending",
        load_strategy=chosen.load_strategy,
        metadata=RetryMetadata(
            retry_of=run_id,
            resume_from_row=0 if again else continues.committed,
            resumable=chosen.load_strategy in RESUMABLE and not continues.reloads and not again,
        ),
        log=[LogEntry(stage="retry", message=message, timestamp=datetime.now(UTC))],
    )


def replay_newest(context: RequestContext, pipeline_id: str, idempotency_key: str | None) -> tuple[StartedRun, bool]:
    """Retries the pipeline's newest run that completed with errors; the same key returns the same run. The second value
    is true if it is new. Raises ApiError 422 when there is none, and as `retry_run` does."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if (run := started_before(catalog, pipeline_id, idempotency_key)) is not None:
            return run, False
        newest = catalog.runs.newest_with_status(pipeline.id, "completed_with_errors")
    if newest is None:
        raise ApiError(422, "No run of the pipeline completed with errors: there is nothing to replay")
    # A request with a key waits for another with the same key, to answer with its run.
    wait = idempotency_key is not None
    with advisory_lock(context.services.engine, RETRY_LOCKS, newest.id, wait=wait) as mine:
        if not mine:
            raise ApiError(422, "The run is being retried by another request")
        with context.catalog() as catalog:
            if (run := started_before(catalog, pipeline_id, idempotency_key)) is not None:
                return run, False
        retried_as = _retry(context, pipeline_id, newest.id, idempotency_key)
        with context.catalog() as catalog:
            if idempotency_key is not None:
                catalog.runs.remember_request(pipeline_id, idempotency_key, retried_as.id)
    return started(context, pipeline_id, retried_as.id), True


def check_not_retried(context: RequestContext, original: RunSnapshot) -> None:
    """Raises ApiError 422 for a run that has been retried already."""
    with context.catalog() as catalog:
        later = catalog.runs.retries_of(original.id)
    for run in later:
        if run.status not in ("failed", "completed_with_errors"):
            state = "has completed it" if run.status == "completed" else "is on its way"
            raise ApiError(422, f"The run has been retried: {run.id} {state}")


def _version_to_run(context: RequestContext, pipeline_id: str, continues: Continuation) -> Runnable:
    with context.catalog() as catalog:
        chosen = runnable(catalog, owned_pipeline(catalog, pipeline_id), continues.ir_version)
    if problems := check_types(chosen.ir):
        raise ApiError(422, "The pipeline cannot run", details=problems)
    return chosen


def _check_sources(context: RequestContext, pipeline_id: str, chosen: Runnable, continues: Continuation) -> None:
    settings = context.services.settings
    pipeline = context.store.pipelines.load(pipeline_id, chosen.version)
    parameters = continues.parameters or {}
    root = files_of(settings, pipeline.tenant_id)
    networks = settings.connector_networks
    check_sources(Job("", pipeline, settings.database_url, root, continues, parameters, networks=networks))


def _message(original: RunSnapshot, continues: Continuation, version: int, again: Sequence[str]) -> str:
    if continues.open_rows is not None:
        rows = sum(len(found.rows) for found in continues.open_rows.values())
        return f"Replaying {rows} failed rows (original run: {original.id})"
    why = ""
    if continues.reloads:
        why = f" under IR version {version}, because a dataset rule held back every row"
    elif continues.visible:
        seen = ", ".join(continues.visible)
        why = f" under IR version {version} again, and its dataset rules, because rows are visible in {seen}"
    if again:
        return f"Starting from the beginning{why}: {'; '.join(again)} (original run: {original.id})"
    if continues.committed:
        return f"Resuming from row {continues.committed}{why} (original run: {original.id})"
    return f"Starting from the beginning{why} (original run: {original.id})"
