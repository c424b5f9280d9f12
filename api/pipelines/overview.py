"""The pipelines of a tenant at a glance: what needs attention, and a page of all with their newest runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace.api.context import RequestContext
from headrace.api.pagination import PageRequest
from headrace.api.scheduler.schemas import ScheduledPipeline
from headrace.api.scheduler.service import statuses
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import Position
from headrace.catalog.repositories.runs import RunSummary

RECENT = 12
"""Newest runs that are listed with each pipeline."""
_MAX_LISTED = 20
_WAITS_AFTER = timedelta(minutes=1)
"""A run that has been pending for this long waits for something."""
_LATE_AFTER_S = 120


@dataclass(frozen=True, slots=True)
class PipelineGlance:
    """A pipeline with its newest runs, newest first, and the state of its schedule if it has one."""

    id: str
    name: str
    status: str
    connector: str
    table: str
    last_run_at: datetime | None
    last_run_status: str | None
    runs: Sequence[RunSummary]
    schedule: ScheduledPipeline | None

    @property
    def next_fire(self) -> datetime | None:
        """When its schedule starts a run next."""
        return self.schedule.next_fires[0] if self.schedule is not None and self.schedule.next_fires else None

    @property
    def late_s(self) -> int:
        """For how many seconds a run has been due that has not begun; 0 for the first two minutes."""
        lag = self.schedule.lag_seconds if self.schedule is not None else None
        return lag if lag is not None and lag > _LATE_AFTER_S else 0


@dataclass(frozen=True, slots=True)
class Attention:
    """What somebody should look at: pipelines whose last run ended badly, runs that wait, and sources that have changed
    (pipeline id, name, node). Each list has at most 20 entries; `bad_in_all` counts all pipelines of the first."""

    ended_badly: Sequence[PipelineGlance]
    bad_in_all: int
    waiting: Sequence[tuple[RunSummary, str]]
    running: Sequence[tuple[RunSummary, str]]
    drifted: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class PipelinesPage:
    """A page of pipelines, newest first, and how many there are in all."""

    items: Sequence[PipelineGlance]
    total: int
    next: Position | None


def attention(context: RequestContext) -> Attention:
    """What needs attention now."""
    now = datetime.now(UTC)
    with context.reading() as catalog:
        worst = catalog.pipelines.worst(_MAX_LISTED)
        waiting = catalog.runs.unfinished_runs("pending", _MAX_LISTED)
        runs = catalog.runs.recent([each.id for each in worst], 1)
        return Attention(
            ended_badly=[_glance(each, runs.get(each.id, []), None) for each in worst],
            bad_in_all=catalog.pipelines.count(catalog.pipelines.ended_badly()),
            waiting=[each for each in waiting if now - each[0].created_at > _WAITS_AFTER],
            running=catalog.runs.unfinished_runs("running", _MAX_LISTED),
            drifted=catalog.pipelines.drifted(_MAX_LISTED),
        )


def glance(
    context: RequestContext, request: PageRequest, *, q: str | None = None, status: str | None = None
) -> PipelinesPage:
    """A page of the pipelines with their newest runs. `q` is a part of the name; `status` is one of a pipeline."""
    with context.reading() as catalog:
        where = catalog.pipelines.matching(q=q, status=status)
        page = catalog.pipelines.page(limit=request.limit, after=request.after, where=where)
        runs = catalog.runs.recent([each.id for each in page.items], RECENT)
        schedules = statuses(catalog, page.items, datetime.now(UTC), fires=1)
        items = [_glance(each, runs.get(each.id, []), schedules.get(each.id)) for each in page.items]
        return PipelinesPage(items, page.total, page.next)


def _glance(pipeline: Pipeline, runs: Sequence[RunSummary], schedule: ScheduledPipeline | None) -> PipelineGlance:
    return PipelineGlance(
        id=pipeline.id,
        name=pipeline.name,
        status=pipeline.status,
        connector=pipeline.connector.name,
        table=pipeline.data_schema.table_name,
        last_run_at=pipeline.last_run_at,
        last_run_status=pipeline.last_run_status,
        runs=runs,
        schedule=schedule,
    )
