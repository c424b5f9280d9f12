"""A week of runs: those that were, and the times at which schedules start the next ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pydantic import TypeAdapter

from headrace.api.context import RequestContext
from headrace.api.pagination import PageRequest
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import Position
from headrace.catalog.repositories.runs import RunsOfDay
from headrace.ir.schedules.fire_times import next_fires
from headrace.ir.schedules.schedule import Schedule

DAYS = 7
LISTED = 8
"""Fire times that are listed of a day; of more often ones there is only a count that is a lower limit."""
_SCHEDULES: TypeAdapter[Schedule] = TypeAdapter(Schedule)


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day, in UTC: its runs by state, and its fire times that are still to come; with `more` there are others."""

    day: date
    runs: Sequence[RunsOfDay]
    fires: Sequence[datetime]
    more: bool


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A pipeline, and seven days of it."""

    pipeline_id: str
    name: str
    paused: bool
    days: Sequence[CalendarDay]


@dataclass(frozen=True, slots=True)
class CalendarPage:
    """A page of pipelines, newest first, and how many there are in all."""

    rows: Sequence[CalendarRow]
    total: int
    next: Position | None


def week(context: RequestContext, request: PageRequest, first: date, *, scheduled: bool, now: datetime) -> CalendarPage:
    """Seven days from `first` on, of the pipelines with a schedule or of all."""
    days = [first + timedelta(days=number) for number in range(DAYS)]
    with context.reading() as catalog:
        where = catalog.pipelines.scheduled() if scheduled else []
        page = catalog.pipelines.page(limit=request.limit, after=request.after, where=where)
        ids = [each.id for each in page.items]
        counted = catalog.runs.by_day(ids, _midnight(first), _midnight(first + timedelta(days=DAYS)))
        rows = [_row(each, days, counted.get(each.id, {}), now) for each in page.items]
        return CalendarPage(rows, page.total, page.next)


def _row(
    pipeline: Pipeline, days: Sequence[date], counted: Mapping[date, Sequence[RunsOfDay]], now: datetime
) -> CalendarRow:
    paused = pipeline.status == "paused"
    fires = {} if paused else _fires(pipeline, days, now)
    shown = [
        CalendarDay(day, counted.get(day, ()), fires.get(day, [])[:LISTED], len(fires.get(day, ())) > LISTED)
        for day in days
    ]
    return CalendarRow(pipeline.id, pipeline.name, paused, shown)


def _fires(pipeline: Pipeline, days: Sequence[date], now: datetime) -> dict[date, list[datetime]]:
    """The fire times after `now` by day, of each day at most one more than are listed. A few are computed at a time:
    they are enough for the week of most schedules, and the rest of a day that is full is passed over."""
    end = _midnight(days[-1] + timedelta(days=1))
    found: dict[date, list[datetime]] = {}
    if pipeline.live_schedule is None:
        return found
    schedule = _SCHEDULES.validate_python(pipeline.live_schedule)
    since = pipeline.scheduled_since or pipeline.created_at
    after = max(now, _midnight(days[0]) - timedelta(microseconds=1))
    while after < end and (some := next_fires(schedule, since=since, after=after, count=LISTED + 1)):
        for at in some:
            of_day = found.setdefault(at.date(), [])
            if len(of_day) <= LISTED:
                of_day.append(at)
        after = some[-1]
        if len(found[after.date()]) > LISTED:
            after = _midnight(after.date() + timedelta(days=1)) - timedelta(microseconds=1)
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
