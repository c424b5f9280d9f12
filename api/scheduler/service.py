"""The state of schedules, computed without Prefect: when they were last due and when they fire next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import TypeAdapter

from headrace.api.context import RequestContext
from headrace.api.pagination import PageRequest, page_of
from headrace.api.scheduler.schemas import ScheduledPipeline, SchedulerStatus
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.ir.schedules.fire_times import last_fire, next_fires
from headrace.ir.schedules.schedule import Schedule

_FIRES = 5
_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)


def scheduler_status(context: RequestContext, request: PageRequest) -> SchedulerStatus:
    """A page of the tenant's scheduled pipelines, newest first."""
    now = datetime.now(UTC)
    prefect = "ok" if context.orchestrator.healthy() else "away"
    with context.catalog() as catalog:
        total = catalog.pipelines.count()
        page = catalog.pipelines.page(limit=request.limit, after=request.after, where=catalog.pipelines.scheduled())
        found = statuses(catalog, page.items, now)
        shown = page_of(page, request, lambda each: found[each.id])
    return SchedulerStatus(
        data=shown.data,
        pagination=shown.pagination,
        checked_at=now,
        prefect=prefect,
        total_pipelines=total,
        scheduled=page.total,
    )


def statuses(
    catalog: TenantCatalog, pipelines: Sequence[Pipeline], now: datetime, fires: int = _FIRES
) -> dict[str, ScheduledPipeline]:
    """The state of the schedules of these pipelines, by id, with the next `fires` times; those without a schedule are
    left out."""
    scheduled = [each for each in pipelines if each.live_schedule is not None]
    ids = [each.id for each in scheduled]
    begun, waiting = catalog.pipelines.last_starts(ids), catalog.pipelines.waiting_since(ids)
    return {each.id: _status(each, begun.get(each.id), waiting.get(each.id), now, fires) for each in scheduled}


def _status(
    pipeline: Pipeline, begun: datetime | None, waiting: datetime | None, now: datetime, fires: int
) -> ScheduledPipeline:
    schedule = _SCHEDULES.validate_python(pipeline.live_schedule)
    since = pipeline.scheduled_since or pipeline.created_at
    due = last_fire(schedule, since=since, before=now)
    lag = None
    paused = pipeline.status == "paused"
    if due is not None and not paused:
        # Lag is measured from the oldest waiting run: the latest fire of a frequent schedule is always recent.
        late = now - waiting if waiting is not None else now - due
        lag = 0 if waiting is None and begun is not None and begun >= due else int(late.total_seconds())
    return ScheduledPipeline(
        pipeline_id=pipeline.id,
        name=pipeline.name,
        status=pipeline.status,
        schedule=schedule.model_dump(mode="json"),
        last_run_at=pipeline.last_run_at,
        last_run_status=pipeline.last_run_status,
        last_due_at=due,
        lag_seconds=lag,
        next_fires=[] if paused else next_fires(schedule, since=since, after=now, count=fires),
    )
