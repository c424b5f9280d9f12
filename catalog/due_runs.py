"""When schedules want their next runs, so that late ones are found without computing all schedules.

The time of a pipeline is set when its schedule is, and moved on once a run has begun since; it is late while it stays
in the past. What was due while a pipeline was paused is not wanted any more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from headrace.catalog.models import DueRun
from headrace.ir.schedules.fire_times import next_fires
from headrace.ir.schedules.recurrence import StepsExhausted
from headrace.ir.schedules.schedule import Schedule

BEGUN = """(EXISTS (
        SELECT FROM (SELECT r.started_at, r.finished_at, r.lags, r.status FROM headrace.pipeline_runs r
                     WHERE r.pipeline_id = p.id ORDER BY r.created_at DESC, r.id DESC LIMIT 20) run
        WHERE coalesce(run.started_at, run.finished_at) >= d.due_at
           OR run.lags IS NOT NULL AND run.status IN ('pending', 'running')))"""
"""SQL: a run of the pipeline `p` has begun since it was due (`d`), or it follows its sources all the time."""

_PAUSE_S = 10.0
_MISSING_S = 600.0
_AT_ONCE = 500
_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)

_PAST = text(f"""
    SELECT p.id, p.tenant_id, p.live_schedule, coalesce(p.scheduled_since, p.created_at) AS since
    FROM headrace.due_runs d JOIN headrace.pipelines p ON p.id = d.pipeline_id
    WHERE d.due_at <= now() AND (p.status = 'paused' OR p.live_version IS NULL OR {BEGUN})
    ORDER BY d.due_at LIMIT {_AT_ONCE}
""")  # noqa: S608

_MISSING = text(f"""
    SELECT p.id, p.tenant_id, p.live_schedule, coalesce(p.scheduled_since, p.created_at) AS since
    FROM headrace.pipelines p
    WHERE p.live_schedule IS NOT NULL AND NOT EXISTS (SELECT FROM headrace.due_runs d WHERE d.pipeline_id = p.id)
    LIMIT {_AT_ONCE}
""")  # noqa: S608


def set_due(session: Session, pipeline_id: str, tenant_id: str, schedule: Mapping[str, Any] | None) -> None:
    """Sets when the next run is due from now on, in the caller's transaction; nothing is due without a schedule."""
    now = datetime.now(UTC)
    at = None if schedule is None else _next(schedule, since=now, after=now)
    if at is None:
        session.execute(delete(DueRun).where(DueRun.pipeline_id == pipeline_id))
        return
    statement = insert(DueRun).values(pipeline_id=pipeline_id, tenant_id=tenant_id, due_at=at)
    session.execute(statement.on_conflict_do_update(index_elements=[DueRun.pipeline_id], set_={"due_at": at}))


class DueRuns:
    """Moves the times on. Safe to run in several processes at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._look_for_missing = datetime.min.replace(tzinfo=UTC)

    def step(self) -> float:
        """Moves on those whose run has begun; returns the seconds until the next step."""
        now = datetime.now(UTC)
        moved = self._move(_PAST, now)
        if (now - self._look_for_missing).total_seconds() > _MISSING_S:  # those of earlier releases
            found = self._move(_MISSING, now)
            self._look_for_missing = now if found < _AT_ONCE else self._look_for_missing
            moved = max(moved, found)
        return _PAUSE_S if moved < _AT_ONCE else 0.0

    def _move(self, query: Any, now: datetime) -> int:
        with Session(self._engine) as session, session.begin():
            found = session.execute(query).all()
            for each in found:
                at = _next(each.live_schedule, since=each.since, after=now) if each.live_schedule else None
                if at is None:  # it never fires again
                    session.execute(delete(DueRun).where(DueRun.pipeline_id == each.id))
                    continue
                statement = insert(DueRun).values(pipeline_id=each.id, tenant_id=each.tenant_id, due_at=at)
                again = statement.on_conflict_do_update(index_elements=[DueRun.pipeline_id], set_={"due_at": at})
                session.execute(again)
            return len(found)


def _next(schedule: Mapping[str, Any], *, since: datetime, after: datetime) -> datetime | None:
    try:
        found = next_fires(_SCHEDULES.validate_python(schedule), since=since, after=after, count=1)
    except (ValidationError, StepsExhausted):  # of an earlier release; other pages say so
        return None
    return found[0] if found else None
