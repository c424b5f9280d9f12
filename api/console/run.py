"""`/runs/{id}`: a run as it is now, live while it runs, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from starlette.responses import StreamingResponse

from headrace.api.console.formats import iso
from headrace.api.console.graph import graph_of
from headrace.api.console.guard import done_by, pages, plain, see_other, seen_by, session_is_valid
from headrace.api.console.rendering import fragment, render
from headrace.api.console.run_rows import node_rows, rows_bar, source_bars
from headrace.api.console.run_stages import gantt_of, timed_stages
from headrace.api.console.run_words import can_be_retried, explained
from headrace.api.context import Context, RequestContext
from headrace.api.requests.auth import READ, WRITE
from headrace.api.runs.cancel import cancel_run
from headrace.api.runs.report import RunReport, read_log, read_report, whole_log
from headrace.api.runs.retry import retry_run
from headrace.api.runs.service import pipeline_of
from headrace.api.runs.stream import progress_stream
from headrace.catalog.repositories.runs import LogFilter
from headrace.catalog.runs.records import TERMINAL, LogLevel, LogStage

router = pages()

_FIRST_ERRORS = 5
_RETRIED = ("pending", "running", "completed")
"""Of a retry: there is no use for another one."""


@router.get("/runs/{run_id}", name="console_run", openapi_extra=seen_by(*READ))
def show_run(request: Request, context: Context, run_id: str) -> Response:
    """The page."""
    report = read_report(context, run_id)
    return render(
        request,
        "run.html",
        title=f"{explained(report.run).state}: {report.pipeline_name}",
        log=read_log(context, run_id, LogFilter()),
        filtered=False,
        steps=get_args(LogStage),
        **_shown(context, report),
    )


@router.get("/runs/{run_id}/live", name="console_run_live", openapi_extra=seen_by(*READ))
def show_progress(context: Context, run_id: str) -> Response:
    """The parts of the page that change while the run goes on."""
    may_write = context.principal.role != "viewer"
    return plain(fragment("run_live.html", may_write=may_write, **_shown(context, read_report(context, run_id))))


@router.get("/runs/{run_id}/stream", name="console_run_stream", openapi_extra=seen_by(*READ))
def stream_run(request: Request, context: Context, run_id: str) -> StreamingResponse:
    """Server-sent events, as REST has them: one for each change. They end with the session."""
    token = getattr(request.state, "session_token", None)
    return progress_stream(
        context,
        pipeline_of(context, run_id),
        run_id,
        allowed=lambda: session_is_valid(context.services, token),
    )


def _chosen(
    q: Annotated[str, Query(max_length=200)] = "",
    level: LogLevel = "info",
    step: Annotated[str, Query(max_length=20)] = "",
) -> LogFilter:
    return LogFilter(q, level, step)


@router.get("/runs/{run_id}/log", name="console_run_log_part", openapi_extra=seen_by(*READ))
def show_log(context: Context, run_id: str, only: Annotated[LogFilter, Depends(_chosen)]) -> Response:
    """The newest lines of the log that match a filter."""
    filtered = only != LogFilter()
    return plain(fragment("run_log.html", log=read_log(context, run_id, only), filtered=filtered))


@router.get("/runs/{run_id}/log.txt", name="console_run_log", openapi_extra=seen_by(*READ))
def download_log(context: Context, run_id: str) -> StreamingResponse:
    """The whole log as text."""
    lines = whole_log(context, run_id)
    first = next(lines, None)  # errors are raised before the response starts

    def text() -> Iterator[str]:
        for line in () if first is None else (first, *lines):
            yield f"{iso(line.timestamp)} {line.level:<7} {line.stage:<9} {line.message}\n"

    headers = {"Content-Disposition": f'attachment; filename="{run_id}.log.txt"'}
    return StreamingResponse(text(), media_type="text/plain; charset=utf-8", headers=headers)


@router.post("/runs/{run_id}/retry", name="console_retry", openapi_extra=done_by(*WRITE, action="retry_run"))
def retry(context: Context, run_id: str) -> Response:
    """Retries the run, and goes on to the new one."""
    return see_other(f"/runs/{retry_run(context, pipeline_of(context, run_id), run_id).id}")


@router.post("/runs/{run_id}/cancel", name="console_cancel", openapi_extra=done_by(*WRITE, action="cancel_run"))
def cancel(context: Context, run_id: str) -> Response:
    """Cancels the run."""
    cancel_run(context, pipeline_of(context, run_id), run_id)
    return see_other(f"/runs/{run_id}")


def _shown(context: RequestContext, report: RunReport) -> dict[str, Any]:
    run = report.run
    errors = {
        node: f"/runs/{run.id}/errors?{urlencode({'node': node})}"
        for node, counts in run.nodes.items()
        if counts.get("failed") or counts.get("warned")
    }
    return {
        "run": run,
        "report": report,
        "live": run.status not in TERMINAL,
        "words": explained(run),
        "bar": rows_bar(run),
        "sources": source_bars(run, report.ir),
        "nodes": node_rows(run, report.ir),
        "graph": graph_of(report.ir, run.nodes, errors) if report.ir is not None else None,
        "stages": timed_stages(run),
        "gantt": gantt_of(run),
        "first_errors": run.first_errors[:_FIRST_ERRORS],
        "warned": sum(counts.get("warned", 0) for counts in run.nodes.values()),
        "retryable": can_be_retried(run) and not any(status in _RETRIED for _, status in report.retries),
        "seconds": _seconds(report),
        "prefect_url": prefect_url(context, run.id),
    }


def prefect_url(context: RequestContext, run_id: str) -> str:
    """The page of the run in Prefect's UI."""
    base = context.services.settings.prefect_api_url.rstrip("/").removesuffix("/api")
    digits = run_id.removeprefix("run_")
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return f"{base}/runs/flow-run/{'-'.join(parts)}"


def _seconds(report: RunReport) -> float | None:
    run = report.run
    if run.started_at is None:
        return None
    return ((run.finished_at or run.observed_at) - run.started_at).total_seconds()
