"""The fire times of schedules, next and last, as Prefect computes them. When clocks change, a skipped time of day fires
an hour later (for an rrule an hour earlier), and a repeated one fires only the first time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import islice, takewhile
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim
from dateutil.rrule import DAILY, HOURLY, MINUTELY, WEEKLY, rrule, rrulestr

from headrace.ir.schedules.recurrence import SEARCH_STEPS, Steps, StepsExhausted, fire_times, has_dtstart
from headrace.ir.schedules.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

INTERVAL_ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""Intervals are counted from a fixed instant, so that their times do not depend on anything else."""
_CLOCK_CHANGE = timedelta(hours=2)
"""The largest change of a clock."""


def next_fires(schedule: Schedule, *, since: datetime, after: datetime, count: int) -> list[datetime]:
    """Returns up to `count` fire times (aware, UTC) after `after`. `since` is when the schedule was set; an rrule
    without a DTSTART begins there."""
    match schedule:
        case CronSchedule():
            return list(islice(_cron(schedule, after), count))
        case IntervalSchedule():
            beat = timedelta(minutes=schedule.minutes)
            first = INTERVAL_ANCHOR + beat * ((after - INTERVAL_ANCHOR) // beat + 1)
            return [first + beat * number for number in range(count)]
        case RRuleSchedule():
            rule, zone = _rule(schedule, since, after)
            moment = _local(after, zone)
            # from earlier, because a clock that is set back shows earlier times
            following = (at for at in _found(rule) if at > moment - _CLOCK_CHANGE)
            return list(islice(_later((_utc(wall, zone) for wall in following), after), count))


def last_fire(schedule: Schedule, *, since: datetime, before: datetime) -> datetime | None:
    """Returns the latest fire time (aware, UTC) from `since` to `before`; None if there is none."""
    match schedule:
        case CronSchedule():
            found = _cron_back(schedule, before)
        case IntervalSchedule():
            beat = timedelta(minutes=schedule.minutes)
            found = INTERVAL_ANCHOR + beat * ((before - INTERVAL_ANCHOR) // beat)
        case RRuleSchedule():
            rule, zone = _rule(schedule, since, before)
            moment = _local(before, zone)
            reached = takewhile(lambda at: at <= moment + _CLOCK_CHANGE, _found(rule))
            found = max((at for wall in reached if (at := _utc(wall, zone)) <= before), default=None)
    return found if found is not None and found >= since else None


def with_dtstart(schedule: RRuleSchedule, since: datetime) -> str:
    """Returns the rule with a DTSTART: its own, else `since` truncated to the minute in the schedule's time zone.
    (Without one Prefect counts from 2020, and a `COUNT=10` would be over.)"""
    if has_dtstart(schedule.rrule):
        return schedule.rrule
    rule = schedule.rrule if ":" in schedule.rrule else f"RRULE:{schedule.rrule}"
    start = since.astimezone(ZoneInfo(schedule.timezone)).replace(second=0, microsecond=0)
    return f"DTSTART:{start:%Y%m%dT%H%M%S}\n{rule}"


def _cron(schedule: CronSchedule, after: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(schedule.timezone)
    with suppress(RuntimeError):  # a StopIteration of CronSim inside a generator
        walls = CronSim(schedule.expression, _local(after, zone) - _CLOCK_CHANGE)
        yield from _later(_ascending(walls, zone), after)


def _cron_back(schedule: CronSchedule, before: datetime) -> datetime | None:
    zone = ZoneInfo(schedule.timezone)
    now, found = _local(before, zone), None
    with suppress(StopIteration):
        for wall in CronSim(schedule.expression, now + _CLOCK_CHANGE, reverse=True):
            if (at := wall.replace(tzinfo=zone).astimezone(UTC)) <= before:
                found = at if found is None else max(found, at)
            # near a change of the clock, wall-clock times are not in the order of instants
            if found is not None and wall < now - _CLOCK_CHANGE:
                break
    return found


def _ascending(walls: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Yields the instants of ascending wall-clock times, in order; skipped times are an hour later."""
    waiting: list[datetime] = []
    for wall in walls:
        first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        heappush(waiting, first)
        while waiting and waiting[0] <= min(first, second):  # no later wall-clock time is an earlier instant
            yield heappop(waiting)
    while waiting:
        yield heappop(waiting)


def _later(moments: Iterator[datetime], after: datetime) -> Iterator[datetime]:
    """Yields the instants after `after`, without duplicates."""
    last = after
    for at in moments:
        if at > last:
            last = at
            yield at


def _found(rule: rrule | None) -> Iterator[datetime]:
    """Yields the fire times of a rule, within SEARCH_STEPS steps."""
    if rule is not None:
        with suppress(StepsExhausted):
            yield from fire_times(rule, Steps(SEARCH_STEPS))


def _rule(schedule: RRuleSchedule, since: datetime, around: datetime) -> tuple[rrule | None, ZoneInfo | None]:
    """Returns the rule, entered shortly before `around`, and the time zone of its times (None if its DTSTART is in
    UTC).

    A rule is not evaluated from its beginning, which could take minutes. It is None if it is over.
    """
    rule: Any = rrulestr(with_dtstart(schedule, since), cache=False)
    start: datetime = rule._dtstart
    zone = None if start.tzinfo is not None else ZoneInfo(schedule.timezone)
    moment = _local(around, zone)
    reach = _REACH.get(rule._freq)
    if reach is None:
        return _from_a_year(rule, moment.year - _REACH_YEARS), zone
    beat = reach.unit * rule._interval
    passed = max(0, (moment - reach.back - start) // beat)
    if rule._count is not None:  # it has to be counted from its start
        return (rule if rule._freq not in _FAST or not passed else None), zone
    return rule.replace(dtstart=start + beat * passed), zone


def _from_a_year(rule: Any, year: int) -> rrule:
    """Returns a rule by months or years with a start moved to about `year`, by whole intervals."""
    start: datetime = rule._dtstart
    passed = max(0, (year - start.year) // rule._interval) * rule._interval
    if rule._count is None and not (start.month == 2 and start.day == 29):
        rule = rule.replace(dtstart=start.replace(year=start.year + passed))
    found: rrule = rule
    return found


class _Reach(NamedTuple):
    unit: timedelta
    back: timedelta


_REACH_YEARS = 12
_REACH = {
    WEEKLY: _Reach(timedelta(days=7), timedelta(days=9 * 365)),
    DAILY: _Reach(timedelta(days=1), timedelta(days=9 * 365)),
    HOURLY: _Reach(timedelta(hours=1), timedelta(days=60)),
    MINUTELY: _Reach(timedelta(minutes=1), timedelta(days=7)),
}
"""How far back the last fire time of a rule is searched."""
_FAST = (HOURLY, MINUTELY)
"""Rules of these frequencies with a COUNT that began earlier are taken as over."""


def _local(at: datetime, zone: ZoneInfo | None) -> datetime:
    return at if zone is None else at.astimezone(zone).replace(tzinfo=None)


def _utc(wall: datetime, zone: ZoneInfo | None) -> datetime:
    if zone is None:
        return wall.astimezone(UTC)
    first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    skipped = second.utcoffset() > first.utcoffset()  # type: ignore[operator]
    return (second if skipped else first).astimezone(UTC)
