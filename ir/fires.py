"""When a schedule fires: the next times and the last one, as Prefect will have it, over changes of the clock too: a
time of day that the clock skips fires an hour earlier, one that it repeats fires the first time only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim
from dateutil.rrule import DAILY, HOURLY, MINUTELY, WEEKLY, rrule, rrulestr

from ir.recurrence import LOOK_STEPS, OutOfSteps, Steps, fires, starts_itself
from ir.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

INTERVAL_ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""Counted from a fixed instant, an interval keeps its beat whatever else changes."""
_CLOCK_CHANGE = timedelta(hours=2)
"""Clocks are not set forward or back by more."""


def next_fires(schedule: Schedule, *, since: datetime, after: datetime, count: int) -> list[datetime]:
    """Up to `count` times (aware, UTC) later than `after`. `since` is when the schedule was set: an rrule without a
    DTSTART begins there."""
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
            # from an hour before: where the clock is set back, wall clocks say less than they should
            following = (at for at in _found(rule) if at > moment - _CLOCK_CHANGE)
            return list(islice(_later(following, zone, after), count))


def last_fire(schedule: Schedule, *, since: datetime, before: datetime) -> datetime | None:
    """The latest time (aware, UTC) from `since` up to `before`; None when there is none."""
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


def anchored(schedule: RRuleSchedule, since: datetime) -> str:
    """The rule with a DTSTART: its own, else `since` to the minute in the schedule's zone. (Without one Prefect counts
    from 2020, and a `COUNT=10` would long be over.)"""
    if starts_itself(schedule.rrule):
        return schedule.rrule
    rule = schedule.rrule if ":" in schedule.rrule else f"RRULE:{schedule.rrule}"
    start = since.astimezone(ZoneInfo(schedule.timezone)).replace(second=0, microsecond=0)
    return f"DTSTART:{start:%Y%m%dT%H%M%S}\n{rule}"


def _cron(schedule: CronSchedule, after: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(schedule.timezone)
    with suppress(RuntimeError):  # what a generator makes of CronSim's end
        yield from _later(CronSim(schedule.expression, _local(after, zone) - _CLOCK_CHANGE), zone, after)


def _cron_back(schedule: CronSchedule, before: datetime) -> datetime | None:
    zone = ZoneInfo(schedule.timezone)
    now, found = _local(before, zone), None
    with suppress(StopIteration):
        for wall in CronSim(schedule.expression, now + _CLOCK_CHANGE, reverse=True):
            if (at := _utc(wall, zone)) <= before:
                found = at if found is None else max(found, at)
            # near a change of the clock the wall clock's order is not that of the moments
            if found is not None and wall < now - _CLOCK_CHANGE:
                break
    return found


def _later(walls: Iterator[datetime], zone: ZoneInfo | None, after: datetime) -> Iterator[datetime]:
    """The moments of ascending wall-clock times behind `after`, each once and ascending."""
    last = after
    for wall in walls:
        if (at := _utc(wall, zone)) > last:
            last = at
            yield at


def _found(rule: rrule | None) -> Iterator[datetime]:
    """The fires of a rule for as long as looking for them is worth it."""
    if rule is not None:
        with suppress(OutOfSteps):
            yield from fires(rule, Steps(LOOK_STEPS))


def _rule(schedule: RRuleSchedule, since: datetime, around: datetime) -> tuple[rrule | None, ZoneInfo | None]:
    """The rule within reach of a moment, and the zone its wall clock is in; None when its own DTSTART says (`Z`).

    A rule is followed for a while, not from its beginning: looking must not take minutes. None is a rule that is over.
    """
    rule: Any = rrulestr(anchored(schedule, since), cache=False)
    start: datetime = rule._dtstart
    zone = None if start.tzinfo is not None else ZoneInfo(schedule.timezone)
    moment = _local(around, zone)
    reach = _REACH.get(rule._freq)
    if reach is None:
        return _from_a_year(rule, moment.year - _REACH_YEARS), zone
    beat = reach.unit * rule._interval
    behind = max(0, (moment - reach.back - start) // beat)
    if rule._count is not None:  # it cannot be entered halfway
        return (rule if rule._freq not in _FAST or not behind else None), zone
    return rule.replace(dtstart=start + beat * behind), zone


def _from_a_year(rule: Any, year: int) -> rrule:
    """A rule by months or years from about a year on, where its interval still falls on the same ones."""
    start: datetime = rule._dtstart
    behind = max(0, (year - start.year) // rule._interval) * rule._interval
    if rule._count is None and not (start.month == 2 and start.day == 29):
        rule = rule.replace(dtstart=start.replace(year=start.year + behind))
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
"""How far back the last fire of a rule is looked for."""
_FAST = (HOURLY, MINUTELY)
"""A counted rule of these that began before that counts as over."""


def _local(at: datetime, zone: ZoneInfo | None) -> datetime:
    return at if zone is None else at.astimezone(zone).replace(tzinfo=None)


def _utc(wall: datetime, zone: ZoneInfo | None) -> datetime:
    if zone is None:
        return wall.astimezone(UTC)
    first, second = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    skipped = second.utcoffset() > first.utcoffset()  # type: ignore[operator]
    return (second if skipped else first).astimezone(UTC)
