"""The pipelines of a tenant at a glance: what needs attention, and a page of all with their newest runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace.api.context import RequestContext
from headrace.api.pagination import PageRequest
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import Position
from headrace.catalog.repositories.runs import RunSummary

RECENT = 12
"""Newest runs that are listed with each pipeline."""
_MAX_LISTED = 20
_WAITS_AFTER = timedelta(minutes=1)
"""A run that has been pending for this long waits for something."""
_LATE_AFTER = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class PipelineGlance:
    """A pipeline with its newest runs, newest first."""

    id: str
    name: str
    status: str
    connector: str
    table: str
    last_run_at: datetime | None
    last_run_status: str | None
    runs: Sequence[RunSummary]
    due_at: datetime | None
    """When its schedule wants the next run; None without one, and while it is paused."""
    late_s: int
    """For how many seconds a run has been due that has not begun; 0 for the first two minutes."""


@dataclass(frozen=True, slots=True)
class Attention:
    """What somebody should look at: pipelines whose last run ended badly, those whose run is late (pipeline id, name,
    when it was due), runs that wait, and sources that have changed (pipeline id, name, node). Each list has at most 20
    entries; `bad_in_all` counts all pipelines of the first."""

    ended_badly: Sequence[PipelineGlance]
    bad_in_all: int
    late: Sequence[tuple[str, str, datetime]]
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
            ended_badly=[_glance(each, runs.get(each.id, []), None, now) for each in worst],
            bad_in_all=catalog.pipelines.count(catalog.pipelines.ended_badly()),
            late=catalog.pipelines.late(now - _LATE_AFTER, _MAX_LISTED),
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
        due, now = catalog.pipelines.due([each.id for each in page.items]), datetime.now(UTC)
        items = [_glance(each, runs.get(each.id, []), due.get(each.id), now) for each in page.items]
        return PipelinesPage(items, page.total, page.next)


def _glance(pipeline: Pipeline, runs: Sequence[RunSummary], due_at: datetime | None, now: datetime) -> PipelineGlance:
    late = due_at is not None and now - due_at > _LATE_AFTER
    return PipelineGlance(
        id=pipeline.id,
        name=pipeline.name,
        status=pipeline.status,
        connector=pipeline.connector.name,
        table=pipeline.data_schema.table_name,
        last_run_at=pipeline.last_run_at,
        last_run_status=pipeline.last_run_status,
        runs=runs,
        due_at=due_at,
        late_s=int((now - due_at).total_seconds()) if due_at is not None and late else 0,
    )
