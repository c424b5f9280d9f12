"""What can be said of schedules without asking whoever keeps them: when they were due, and when they will be."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import TypeAdapter

from api.context import RequestContext
from api.pagination import PageRequest, page_of
from api.scheduler.schemas import ScheduledPipeline, SchedulerStatus
from catalog.models import Pipeline
from ir.fires import last_fire, next_fires
from ir.schedule import Schedule

_FIRES = 5
_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)


def scheduler_status(context: RequestContext, request: PageRequest) -> SchedulerStatus:
    """A page of the tenant's scheduled pipelines, newest first."""
    now = datetime.now(UTC)
    prefect = "ok" if context.orchestrator.healthy() else "away"
    with context.catalog() as catalog:
        total = catalog.pipelines.count()
        page = catalog.pipelines.page(limit=request.limit, after=request.after, where=catalog.pipelines.scheduled())
        begun = catalog.pipelines.last_starts([pipeline.id for pipeline in page.items])
        shown = page_of(page, request, lambda pipeline: _status(pipeline, begun.get(pipeline.id), now))
    return SchedulerStatus(
        data=shown.data,
        pagination=shown.pagination,
        checked_at=now,
        prefect=prefect,
        total_pipelines=total,
        scheduled=page.total,
    )


def _status(pipeline: Pipeline, begun: datetime | None, now: datetime) -> ScheduledPipeline:
    schedule = _SCHEDULES.validate_python(pipeline.live_schedule)
    since = pipeline.scheduled_since or pipeline.created_at
    due = last_fire(schedule, since=since, before=now)
    lag = None
    paused = pipeline.status == "paused"
    if due is not None and not paused:
        lag = 0 if begun is not None and begun >= due else int((now - due).total_seconds())
    return ScheduledPipeline(
        pipeline_id=pipeline.id,
        name=pipeline.name,
        status=pipeline.status,
        schedule=schedule.model_dump(mode="json"),
        last_run_at=pipeline.last_run_at,
        last_run_status=pipeline.last_run_status,
        last_due_at=due,
        lag_seconds=lag,
        next_fires=[] if paused else next_fires(schedule, since=since, after=now, count=_FIRES),
    )
