"""Response models of the state of schedules."""

from __future__ import annotations

from typing import Any

from headrace.api.pagination import PageOf
from headrace.api.wire import ResponseModel, Timestamp


class ScheduledPipeline(ResponseModel):
    """A pipeline with a schedule. `lagSeconds` is the time since its oldest pending run was created, or since
    its latest fire if that has no run yet: 0 when nothing waits, null before the first fire. A paused pipeline has
    neither lag nor next fires."""

    pipeline_id: str
    name: str
    status: str
    schedule: dict[str, Any]
    last_run_at: Timestamp | None
    last_run_status: str | None
    last_due_at: Timestamp | None
    lag_seconds: int | None
    next_fires: list[Timestamp]


class SchedulerStatus(PageOf[ScheduledPipeline]):
    """The state of schedules at `checkedAt`; `prefect`: whether Prefect is reachable, without which none fires."""

    checked_at: Timestamp
    prefect: str
    total_pipelines: int
    scheduled: int
