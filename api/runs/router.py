"""`/pipelines/{id}/run` and `/pipelines/{id}/runs`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from headrace.api.context import Context
from headrace.api.pagination import Cursor
from headrace.api.parameters import IdempotencyKey, PipelineIdPath, RunIdPath
from headrace.api.requests.auth import READ, WRITE, allow, guarded_router
from headrace.api.runs import service
from headrace.api.runs.cancel import cancel_run
from headrace.api.runs.csv_export import errors_as_csv, prefers_csv
from headrace.api.runs.error_schemas import RunErrors, RunErrorsSummary
from headrace.api.runs.log import read_lines
from headrace.api.runs.log_schemas import RunLogPage
from headrace.api.runs.progress import detail_of, progress_of
from headrace.api.runs.progress_schemas import Progress
from headrace.api.runs.retry import replay_newest, retry_run
from headrace.api.runs.retry_trial import dry_run
from headrace.api.runs.schemas import RetriedRun, RunDetail, RunItem, RunRequest, StartedRun
from headrace.api.runs.stream import progress_stream
from headrace.api.runs.trial_schemas import RetryTrial, RetryTrialRequest
from headrace.catalog.repositories.runs import ErrorFilter, LogFilter
from headrace.catalog.runs.records import LogLevel, LogStage

router = guarded_router("runs")


@router.post(
    "/pipelines/{pipeline_id}/run",
    status_code=201,
    responses={200: {"model": StartedRun, "description": "The run that the same `Idempotency-Key` started before"}},
    openapi_extra=allow(*WRITE),
)
def start_run(
    context: Context,
    pipeline_id: PipelineIdPath,
    response: Response,
    body: RunRequest | None = None,
    idempotency_key: IdempotencyKey = None,
) -> StartedRun:
    """Starts a run. An `Idempotency-Key` that started a run before returns that run, with 200. 429 when the tenant has
    reached its limit of waiting runs, 409 when the pipeline is streaming already."""
    key = service.check_idempotency_key(idempotency_key)
    if body is not None and body.replay_dlq_only:
        run, new = replay_newest(context, pipeline_id, key)
    else:
        run, new = service.start_run(context, pipeline_id, body or RunRequest(), key)
    response.status_code = 201 if new else 200
    return run


@router.get("/pipelines/{pipeline_id}/runs", openapi_extra=allow(*READ))
def list_runs(context: Context, pipeline_id: PipelineIdPath) -> list[RunItem]:
    """The newest 20 runs, including those of schedules and of Prefect's UI."""
    return service.list_runs(context, pipeline_id)


@router.get("/pipelines/{pipeline_id}/runs/{run_id}", openapi_extra=allow(*READ))
def get_run(context: Context, request: Request, pipeline_id: PipelineIdPath, run_id: RunIdPath) -> RunDetail:
    """One run with statistics and per-node results."""
    base = request.url.path.rpartition("/runs/")[0]
    return detail_of(service.watch(context, pipeline_id, run_id), base=base)


@router.get(
    "/pipelines/{pipeline_id}/runs/{run_id}/progress", openapi_extra=allow(*READ), response_model_exclude_unset=True
)
def get_progress(context: Context, pipeline_id: PipelineIdPath, run_id: RunIdPath) -> Progress:
    """The progress of a run."""
    return progress_of(service.watch(context, pipeline_id, run_id))


def _log_filter(
    q: Annotated[str, Query(max_length=200, description="Only lines with this text, in any case")] = "",
    level: Annotated[LogLevel, Query(description="Only lines of at least this level")] = "info",
    stage: Annotated[LogStage | None, Query(description="Only lines about this part of the run")] = None,
) -> LogFilter:
    return LogFilter(q, level, stage or "")


@router.get("/pipelines/{pipeline_id}/runs/{run_id}/log", openapi_extra=allow(*READ))
def get_log(
    context: Context,
    pipeline_id: PipelineIdPath,
    run_id: RunIdPath,
    only: Annotated[LogFilter, Depends(_log_filter)],
    limit: Annotated[int, Query(ge=1, le=1000, description="The most lines of a page")] = 1000,
    after: Annotated[int, Query(ge=0, lt=2**63, description="The `last` of the page before")] = 0,
    tail: Annotated[
        int | None, Query(ge=1, le=10_000, description="The newest so many lines, instead of a page from the oldest on")
    ] = None,
) -> RunLogPage:
    """The log of a run, page by page. To follow it, ask again with `after` until it has `ended`."""
    return read_lines(context, pipeline_id, run_id, only, limit=limit, after=after, tail=tail)


def _error_filter(
    node: Annotated[str | None, Query(max_length=300, description="Only errors of this node")] = None,
    rule: Annotated[str | None, Query(max_length=300, description="Only errors of this rule")] = None,
    column: Annotated[str | None, Query(max_length=300, description="Only this column; empty: whole rows")] = None,
    kind: Annotated[
        Literal["failed", "warned", "all"] | None,
        Query(description="Rows that failed, rows that passed with a warning, or both"),
    ] = None,
    file: Annotated[str | None, Query(max_length=4096, description="Only rows of this file")] = None,
    stage: Annotated[int | None, Query(ge=-(2**31), lt=2**31, description="Only this stage of the plan")] = None,
) -> ErrorFilter:
    return ErrorFilter(node, rule, column, kind, file, stage)


Meant = Annotated[ErrorFilter, Depends(_error_filter)]


@router.get(
    "/pipelines/{pipeline_id}/runs/{run_id}/errors",
    openapi_extra=allow(*READ),
    response_model=RunErrors,
    response_model_exclude_unset=True,
    responses={200: {"content": {"text/csv": {}}}},
)
def get_errors(
    context: Context,
    pipeline_id: PipelineIdPath,
    run_id: RunIdPath,
    meant: Meant,
    accept: Annotated[str, Header(description="`text/csv` for a CSV file of all errors; else JSON")] = "*/*",
    limit: Annotated[
        int | None,
        Query(ge=1, le=service.ERRORS_LIMIT, description="JSON: the most errors of a page; 1,000 by default"),
    ] = None,
    cursor: Cursor = None,
    details: Annotated[bool, Query(description="CSV: also node, rule, kind, stage, file and sources")] = False,
) -> RunErrors | Response:
    """The rejected cells of a run as JSON, or with `Accept: text/csv` all of them as a CSV file. Rows that passed
    with a warning are not included; `kind=warned` returns those, `kind=all` both."""
    only = replace(meant, kind=None if meant.kind == "all" else meant.kind or "failed")
    if prefers_csv(accept):
        return errors_as_csv(context, pipeline_id, run_id, only, details=details)
    return service.read_errors(context, pipeline_id, run_id, only, limit=limit, cursor=cursor)


@router.get("/pipelines/{pipeline_id}/runs/{run_id}/errors/summary", openapi_extra=allow(*READ))
def summarise_errors(
    context: Context, pipeline_id: PipelineIdPath, run_id: RunIdPath, meant: Meant
) -> RunErrorsSummary:
    """Numbers of cells and rows that broke rules of a run, by node, rule, kind, column and file; failed and warned,
    unless `kind` selects one."""
    only = replace(meant, kind=None if meant.kind == "all" else meant.kind)
    return service.summarise_errors(context, pipeline_id, run_id, only)


@router.get(
    "/pipelines/{pipeline_id}/runs/{run_id}/progress/stream",
    openapi_extra=allow(*READ),
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def stream_progress(context: Context, pipeline_id: PipelineIdPath, run_id: RunIdPath) -> StreamingResponse:
    """The progress of a run as server-sent events: `progress` on each change, `end` when the run has ended, and
    `closed` with a `reason` when the stream ends earlier (its key is no longer valid, or the server stops)."""
    return progress_stream(context, pipeline_id, run_id)


@router.post(
    "/pipelines/{pipeline_id}/runs/{run_id}/retry", name="retry_run", status_code=201, openapi_extra=allow(*WRITE)
)
def retry(context: Context, pipeline_id: PipelineIdPath, run_id: RunIdPath) -> RetriedRun:
    """Resumes a failed run after the rows it committed, or runs the failed rows of a completed run again."""
    return retry_run(context, pipeline_id, run_id)


@router.post(
    "/pipelines/{pipeline_id}/runs/{run_id}/retry/dry-run",
    name="try_retry",
    openapi_extra=allow(*WRITE, recorded=False),
)
async def try_retry(
    context: Context,
    request: Request,
    pipeline_id: PipelineIdPath,
    run_id: RunIdPath,
    body: RetryTrialRequest | None = None,
) -> RetryTrial:
    """How many failed rows of a completed run would pass if they ran again: they are read, and go through the stages up
    to the checks of the target. Nothing is written. 422 with the reason where they cannot run again."""
    return await dry_run(context, request, pipeline_id, run_id, body or RetryTrialRequest())


@router.post(
    "/pipelines/{pipeline_id}/runs/{run_id}/cancel", name="cancel_run", status_code=202, openapi_extra=allow(*WRITE)
)
def cancel(context: Context, pipeline_id: PipelineIdPath, run_id: RunIdPath) -> RunItem:
    """Cancels a run; rows it committed stay, and a retry resumes after them."""
    return cancel_run(context, pipeline_id, run_id)
