"""Creates the scheduled runs that Prefect missed while it was down. Prefect schedules about an hour ahead, and after a
longer downtime continues from the present. `schedule.catchup` decides whether they run (`flows.catchup`)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine

from headrace.catalog.deployment_changes import DeployedPipeline, DeploymentChanges
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused, UnknownDeployment
from headrace.ir.schedules.fire_times import last_fire
from headrace.ir.schedules.schedule import Schedule

_log = structlog.get_logger("headrace.schedules")

_EVERY_S = 30.0
"""A shorter downtime of Prefect leaves no gap."""
MAX_RUNS_AT_ONCE = 1000
"""The runs of one pipeline that are created at once; the next step creates the rest."""
_NEXT = timedelta(seconds=1)

_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)


class ScheduledRunsApi(Protocol):
    """The methods of `deployments.prefect.orchestrator.Orchestrator` that are used here."""

    def healthy(self) -> bool: ...

    def last_scheduled(self, deployment_id: str, before: datetime) -> datetime | None: ...

    def create_missed(self, deployment_id: str, since: datetime, until: datetime, most: int) -> None: ...


class MissedSchedules:
    """Works at start and after each downtime of Prefect. Safe in several processes: Prefect creates a run only once."""

    def __init__(self, engine: Engine, orchestrator: ScheduledRunsApi) -> None:
        self._changes, self._orchestrator = DeploymentChanges(engine), orchestrator
        self._due = True

    def step(self) -> float:
        """Checks once; returns the seconds until the next step. Raises OrchestratorAway."""
        if not self._orchestrator.healthy():
            self._due = True
            raise OrchestratorAway("Prefect does not answer")
        if self._due:
            self.fill()
            self._due = False
        return _EVERY_S

    def fill(self) -> int:
        """Creates missing runs; returns the number of pipelines that had some. Raises OrchestratorAway."""
        filled = 0
        for pipeline in list(self._changes.runnable()):
            try:
                filled += self._fill(pipeline, datetime.now(UTC))
            except (OrchestratorRefused, UnknownDeployment) as refusal:
                _log.warning("missed runs cannot be made", pipeline=pipeline.id, reason=str(refusal))
            except ValidationError:  # reported by the reconciler
                continue
        return filled

    def _fill(self, pipeline: DeployedPipeline, now: datetime) -> bool:
        # A change that is not applied yet: Prefect still has the previous schedule.
        if pipeline.live_schedule is None or pipeline.paused or not pipeline.deployment_id or pipeline.change:
            return False
        schedule = _SCHEDULES.validate_python(pipeline.live_schedule)
        # A paused pipeline has missed nothing before it was resumed.
        since = max(pipeline.scheduled_since or pipeline.updated_at, pipeline.updated_at)
        due = None if schedule.catchup == "none" else last_fire(schedule, since=since, before=now)
        if due is None:
            return False
        made = self._orchestrator.last_scheduled(pipeline.deployment_id, now)
        if made is not None and made >= due:
            return False
        first = due if schedule.catchup == "latest" else max(since, made or since) + _NEXT
        self._orchestrator.create_missed(pipeline.deployment_id, first, due + _NEXT, MAX_RUNS_AT_ONCE)
        _log.warning("missed runs are made", pipeline=pipeline.id, since=first.isoformat(), until=due.isoformat())
        return True
