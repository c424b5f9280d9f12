"""`/pipelines/{id}/run` and `/pipelines/{id}/runs`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.auth import READ, WRITE, allow, guarded_router
from api.context import Context
from api.runs import service
from api.runs.cancel import cancel_run
from api.runs.csv_export import errors_as_csv
from api.runs.negotiation import prefers_csv
from api.runs.progress import detail_of, progress_of
from api.runs.retry import replay_newest, retry_run
from api.runs.schemas import Progress, RetriedRun, RunDetail, RunErrors, RunItem, RunRequest, StartedRun
from api.runs.stream import progress_stream

router = guarded_router("runs")


@router.post(
    "/pipelines/{pipeline_id}/run",
    status_code=201,
    responses={200: {"model": StartedRun, "description": "The run that the same `Idempotency-Key` started before"}},
    openapi_extra=allow(*WRITE),
)
def start_run(
    context: Context,
    pipeline_id: str,
    response: Response,
    body: RunRequest | None = None,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> StartedRun:
    """Starts a run. With an `Idempotency-Key` that started one before: that run, with 200."""
    key = service.check_idempotency_key(idempotency_key)
    if body is not None and body.replay_dlq_only:
        retried = replay_newest(context, pipeline_id)
        return service.started(context, pipeline_id, retried.id)
    run, new = service.start_run(context, pipeline_id, body or RunRequest(), key)
    response.status_code = 201 if new else 200
    return run


@router.get("/pipelines/{pipeline_id}/runs", openapi_extra=allow(*READ))
def list_runs(context: Context, pipeline_id: str) -> list[RunItem]:
    """The newest 20 runs, whoever started them."""
    return service.list_runs(context, pipeline_id)


@router.get("/pipelines/{pipeline_id}/runs/{run_id}", openapi_extra=allow(*READ))
def get_run(context: Context, request: Request, pipeline_id: str, run_id: str) -> RunDetail:
    """One run with statistics and per-node results."""
    base = request.url.path.rpartition("/runs/")[0]
    return detail_of(service.watch(context, pipeline_id, run_id), base=base)


@router.get(
    "/pipelines/{pipeline_id}/runs/{run_id}/progress", openapi_extra=allow(*READ), response_model_exclude_unset=True
)
def get_progress(context: Context, pipeline_id: str, run_id: str) -> Progress:
    """Where a run stands."""
    return progress_of(service.watch(context, pipeline_id, run_id))


@router.get(
    "/pipelines/{pipeline_id}/runs/{run_id}/errors",
    openapi_extra=allow(*READ),
    response_model=RunErrors,
    response_model_exclude_unset=True,
    responses={200: {"content": {"text/csv": {}}}},
)
def get_errors(
    context: Context,
    pipeline_id: str,
    run_id: str,
    accept: Annotated[str, Header()] = "*/*",
    limit: Annotated[int | None, Query(ge=1, le=service.ERRORS_LIMIT)] = None,
    cursor: Annotated[str | None, Query()] = None,
) -> RunErrors | Response:
    """A run's rejected cells: JSON, or with `Accept: text/csv` all of them as a CSV file."""
    if prefers_csv(accept):
        return errors_as_csv(context, pipeline_id, run_id)
    return service.read_errors(context, pipeline_id, run_id, limit=limit, cursor=cursor)


@router.get(
    "/pipelines/{pipeline_id}/runs/{run_id}/progress/stream",
    openapi_extra=allow(*READ),
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def stream_progress(context: Context, pipeline_id: str, run_id: str) -> StreamingResponse:
    """Where a run stands, as server-sent events until it has ended."""
    return progress_stream(context, pipeline_id, run_id)


@router.post(
    "/pipelines/{pipeline_id}/runs/{run_id}/retry", name="retry_run", status_code=201, openapi_extra=allow(*WRITE)
)
def retry(context: Context, pipeline_id: str, run_id: str) -> RetriedRun:
    """Runs a failed run on behind what it committed, or the failed rows of a completed one again."""
    return retry_run(context, pipeline_id, run_id)


@router.post(
    "/pipelines/{pipeline_id}/runs/{run_id}/cancel", name="cancel_run", status_code=202, openapi_extra=allow(*WRITE)
)
def cancel(context: Context, pipeline_id: str, run_id: str) -> RunItem:
    """Stops a run; what it committed stays, and a retry goes on behind it."""
    return cancel_run(context, pipeline_id, run_id)
