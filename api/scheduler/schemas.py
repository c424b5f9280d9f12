"""Response models of the state of schedules."""

from __future__ import annotations

from typing import Any, Literal

from headrace.api.pagination import PageOf
from headrace.api.wire import PipelineId, ResponseModel, Timestamp
from headrace.catalog.models.pipelines import PipelineStatus
from headrace.catalog.runs.records import RunStatus


class ScheduledPipeline(ResponseModel):
    """A pipeline with a schedule."""

    pipeline_id: PipelineId
    name: str
    """The pipeline's name."""
    status: PipelineStatus
    """`draft` until a run has completed, then `active`. The schedule of a `paused` one does not fire."""
    schedule: dict[str, Any]
    """The schedule as in the IR: `kind` is `cron`, `interval` or `rrule`."""
    last_run_at: Timestamp | None
    """When the last run began, of those that have ended; null without one."""
    last_run_status: RunStatus | None
    """The status of that run; null without one."""
    last_due_at: Timestamp | None
    """When the schedule last fired or should have; null before the first time."""
    lag_seconds: int | None
    """Seconds since its oldest pending run was created, or since `lastDueAt` if there is no run yet: 0 when nothing
    waits; null before the first time, and while it is paused."""
    next_fires: list[Timestamp]
    """The next five times; empty while it is paused."""


class SchedulerStatus(PageOf[ScheduledPipeline]):
    """A page of the pipelines with a schedule, and whether schedules can fire."""

    checked_at: Timestamp
    """The time of the answer, to which `lagSeconds` and `nextFires` refer."""
    prefect: Literal["ok", "away"]
    """Whether Prefect can be reached; while it is `away`, no schedule fires."""
    total_pipelines: int
    """The number of the tenant's pipelines, with and without a schedule."""
    scheduled: int
    """The number of pipelines with a schedule, on all pages."""
