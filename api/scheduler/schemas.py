"""The shapes of the schedules' state on the wire."""

from __future__ import annotations

from typing import Any

from api.pagination import PageOf
from api.wire import Shown, Timestamp


class ScheduledPipeline(Shown):
    """A pipeline that a schedule fires. `lagSeconds` is how long its latest fire has been waiting for a run: 0 when it
    has one, null when none was due yet. A paused one has neither lag nor next fires."""

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
    """The schedules as of `checkedAt`; `prefect` says whether they can fire at all."""

    checked_at: Timestamp
    prefect: str
    total_pipelines: int
    scheduled: int
