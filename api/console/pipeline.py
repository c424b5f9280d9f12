"""`/pipelines/{id}`: the newest runs of a pipeline and its schedule; starting a run, pausing, resuming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Form, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from headrace.api.console.guard import done_by, pages, see_other, seen_by
from headrace.api.console.rendering import render
from headrace.api.context import Context
from headrace.api.errors import ApiError, answer_of
from headrace.api.pipelines.history import PipelineHistory, history
from headrace.api.pipelines.schemas import UpdatePipeline
from headrace.api.pipelines.service import update_pipeline
from headrace.api.requests.auth import READ, WRITE
from headrace.api.runs.schemas import RunRequest
from headrace.api.runs.service import check_idempotency_key, start_run
from headrace.catalog.repositories.runs import RunSummary

router = pages()

RUNS = 30
_STRIP_HEIGHT = 56
_FIELD = "parameter."
TABS = (
    ("", "Runs"),
    ("graph", "Graph"),
    ("edit", "Edit"),
    ("versions", "Versions"),
    ("lineage", "Lineage"),
    ("plan", "Plan and preview"),
    ("settings", "Settings"),
)
"""The tabs of a pipeline: the last part of the path, and the text."""


@dataclass(frozen=True, slots=True)
class Column:
    """A run in the strip: as high as it took long; `x` and sizes are percent and pixels."""

    run: RunSummary
    status: str
    x: float
    width: float
    height: float


def head_of(found: PipelineHistory, tab: str) -> dict[str, Any]:
    """What the head of every tab shows."""
    return {
        "title": found.detail.name,
        "pipeline": found.detail,
        "found": found,
        "tabs": TABS,
        "tab": tab,
        "request_key": f"console-{token_hex(12)}",
    }


@router.get("/pipelines/{pipeline_id}", name="console_pipeline", openapi_extra=seen_by(*READ))
def show_pipeline(request: Request, context: Context, pipeline_id: str) -> Response:
    """The tab with the runs."""
    found = history(context, pipeline_id, runs=RUNS)
    return render(
        request,
        "pipeline.html",
        **head_of(found, ""),
        strip=strip(found.runs),
        series=series(found.runs),
        fires=fires(found),
    )


@router.post(
    "/pipelines/{pipeline_id}/run", name="console_start_run", openapi_extra=done_by(*WRITE, action="start_run")
)
async def start(request: Request, context: Context, pipeline_id: str) -> Response:
    """Starts a run with the parameters of the form; the same form sent twice starts one run."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    parameters = {name.removeprefix(_FIELD): value for name, value in form.items() if name.startswith(_FIELD)}
    body = validated(RunRequest, {"parameters": parameters})
    key = check_idempotency_key(form.get("request_key") or None)
    run, _ = await run_in_threadpool(start_run, context, pipeline_id, body, key)
    return see_other(f"/runs/{run.id}")


@router.post(
    "/pipelines/{pipeline_id}/status", name="console_pause", openapi_extra=done_by(*WRITE, action="update_pipeline")
)
def set_status(context: Context, pipeline_id: str, status: Annotated[str, Form(max_length=20)]) -> Response:
    """Pauses or resumes the schedule."""
    update_pipeline(context, validated(UpdatePipeline, {"id": pipeline_id, "status": status}))
    return see_other(f"/pipelines/{pipeline_id}")


def strip(runs: Sequence[RunSummary]) -> list[Column]:
    """The runs from left to right, oldest first, as high as they took long compared with the longest."""
    longest = max((run.seconds or 0 for run in runs), default=0)
    width = 100 / RUNS
    columns = []
    for index, run in enumerate(reversed(runs)):
        share = (run.seconds or 0) / longest if longest else 0
        status = "skipped" if run.skip_reason else run.status
        x = (RUNS - len(runs) + index) * width
        columns.append(
            Column(run, status, round(x, 2), round(width * 0.72, 2), round(6 + (_STRIP_HEIGHT - 6) * share, 1))
        )
    return columns


def series(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Rows over time for the chart: seconds since 1970, and counts of the runs that have ended."""
    ended = [run for run in reversed(runs) if run.finished_at is not None and run.skip_reason is None]
    return {
        "at": [int(run.created_at.timestamp()) for run in ended],
        "loaded": [run.rows_out for run in ended],
        "failed": [run.failed_rows for run in ended],
        "skipped": [run.skipped_rows for run in ended],
    }


def fires(found: PipelineHistory) -> list[tuple[datetime, str]]:
    """The next times of the schedule: in UTC, and as a clock in the schedule's zone shows them."""
    if found.schedule is None:
        return []
    zone = ZoneInfo(str(found.schedule.schedule.get("timezone", "UTC")))
    return [(at, at.astimezone(zone).strftime("%a %Y-%m-%d %H:%M")) for at in found.schedule.next_fires]


def validated(model: Any, facts: Mapping[str, Any]) -> Any:
    """The model of a form's fields. Raises ApiError 400."""
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        status, message, problems = answer_of(error)
        raise ApiError(status, message, details=problems) from None
