"""Running a failed or partly failed run again, as the page on pipeline runs says."""

from __future__ import annotations

from datetime import UTC, datetime

from api.context import RequestContext
from api.errors import ApiError
from api.pipelines.deployment import Runnable, runnable
from api.pipelines.service import owned_pipeline
from api.runs.launch import Chain, launch
from api.runs.schemas import LogEntry, RetriedRun, RetryMetadata
from api.runs.service import watch
from catalog.run_records import RunSnapshot
from flows.check import check_types
from flows.resume import Continuation, retried
from flows.runtime.job import Job
from flows.runtime.limits import RunFailed
from flows.runtime.prepare import check_sources

RETRYABLE = ("failed", "completed_with_errors")
RESUMABLE = ("append", "upsert")


def retry_run(context: RequestContext, pipeline_id: str, run_id: str) -> RetriedRun:
    """Starts a run that goes on behind what a failed one committed, or runs the failed rows of a completed one again.

    Raises ApiError: 404, 422 when the run's status, a later retry, its source or its IR forbids it; OrchestratorAway.
    """
    original = watch(context, pipeline_id, run_id)
    if original.status not in RETRYABLE:
        raise ApiError(422, f"A run that is {original.status} cannot be retried: only failed or partly failed runs can")
    _check_not_retried(context, original)
    try:
        continues = retried(original, context.store, "", context.services.settings.database_url)
        chosen = _chosen(context, pipeline_id, continues)
        _check_sources(context, pipeline_id, chosen, continues)
    except RunFailed as error:
        raise ApiError(422, str(error)) from None
    chain = Chain(run_id, original.created_at, continues.root_run_id or None, continues.origin_run_id)
    accepted = launch(context, pipeline_id, chosen, chain=chain, parameters=continues.parameters)
    message = _message(original, continues, chosen.version)
    context.store.log(accepted.run_id, "retry", message)
    return RetriedRun(
        id=accepted.run_id,
        pipeline_id=pipeline_id,
        status="pending",
        load_strategy=chosen.load_strategy,
        metadata=RetryMetadata(
            retry_of=run_id,
            resume_from_row=continues.committed,
            resumable=chosen.load_strategy in RESUMABLE and not continues.anew,
        ),
        log=[LogEntry(stage="retry", message=message, timestamp=datetime.now(UTC))],
    )


def replay_newest(context: RequestContext, pipeline_id: str) -> RetriedRun:
    """Retries the pipeline's newest run that completed with errors; 422 when there is none."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        newest = catalog.runs.newest_with_status(pipeline.id, "completed_with_errors")
    if newest is None:
        raise ApiError(422, "No run of the pipeline completed with errors: there is nothing to replay")
    return retry_run(context, pipeline_id, newest.id)


def _check_not_retried(context: RequestContext, original: RunSnapshot) -> None:
    with context.catalog() as catalog:
        later = catalog.runs.retries_of(original.id)
    for run in later:
        if run.status not in ("failed", "completed_with_errors"):
            state = "has completed it" if run.status == "completed" else "is on its way"
            raise ApiError(422, f"The run has been retried: {run.id} {state}")


def _chosen(context: RequestContext, pipeline_id: str, continues: Continuation) -> Runnable:
    with context.catalog() as catalog:
        chosen = runnable(catalog, owned_pipeline(catalog, pipeline_id), continues.ir_version)
    if problems := check_types(chosen.ir):
        raise ApiError(422, "The pipeline cannot run", details=problems)
    return chosen


def _check_sources(context: RequestContext, pipeline_id: str, chosen: Runnable, continues: Continuation) -> None:
    settings = context.services.settings
    pipeline = context.store.load_pipeline(pipeline_id, chosen.version)
    parameters = continues.parameters or {}
    check_sources(Job("", pipeline, settings.database_url, settings.files_root, continues, parameters))


def _message(original: RunSnapshot, continues: Continuation, version: int) -> str:
    if continues.open_rows is not None:
        rows = sum(len(found.rows) for found in continues.open_rows.values())
        return f"Replaying {rows} failed rows (original run: {original.id})"
    why = ""
    if continues.anew:
        why = f" under IR version {version}, because a dataset rule held back every row"
    elif continues.visible:
        seen = ", ".join(continues.visible)
        why = f" under IR version {version} again, and its dataset rules, because rows are visible in {seen}"
    if continues.committed:
        return f"Resuming from row {continues.committed}{why} (original run: {original.id})"
    return f"Starting from the beginning{why} (original run: {original.id})"
