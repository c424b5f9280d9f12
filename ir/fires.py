"""When a schedule fires: the next times and the last one, as Prefect will have it (but for a time of day that daylight
saving skips: there the two choose different minutes)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim
from dateutil.rrule import HOURLY, MINUTELY, SECONDLY, rrule, rruleset, rrulestr

from ir.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

INTERVAL_ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)
"""Counted from a fixed instant, an interval keeps its beat whatever else changes."""


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
            following = rule.xafter(_local(after, zone), count=count)
            return [_utc(at, zone) for at in following]


def last_fire(schedule: Schedule, *, since: datetime, before: datetime) -> datetime | None:
    """The latest time (aware, UTC) from `since` up to `before`; None when there is none."""
    match schedule:
        case CronSchedule():
            found = next(_cron(schedule, before + timedelta(seconds=1), reverse=True), None)
        case IntervalSchedule():
            beat = timedelta(minutes=schedule.minutes)
            found = INTERVAL_ANCHOR + beat * ((before - INTERVAL_ANCHOR) // beat)
        case RRuleSchedule():
            rule, zone = _rule(schedule, since, before)
            at = rule.before(_local(before, zone), inc=True)
            found = None if at is None else _utc(at, zone)
    return found if found is not None and found >= since else None


def anchored(schedule: RRuleSchedule, since: datetime) -> str:
    """The rule with a DTSTART: its own, else `since` to the minute in the schedule's zone. (Without one Prefect counts
    from 2020, and a `COUNT=10` would long be over.)"""
    if "DTSTART" in schedule.rrule:
        return schedule.rrule
    rule = schedule.rrule if ":" in schedule.rrule else f"RRULE:{schedule.rrule}"
    start = since.astimezone(ZoneInfo(schedule.timezone)).replace(second=0, microsecond=0)
    return f"DTSTART:{start:%Y%m%dT%H%M%S}\n{rule}"


def _cron(schedule: CronSchedule, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    local = start.astimezone(ZoneInfo(schedule.timezone))
    try:
        for at in CronSim(schedule.expression, local, reverse=reverse):
            yield at.astimezone(UTC)
    except StopIteration:
        return


def _rule(schedule: RRuleSchedule, since: datetime, around: datetime) -> tuple[rrule | rruleset, ZoneInfo | None]:
    """The rule within reach of a moment, and the zone its wall clock is in; None when its own DTSTART says (`Z`, TZID).

    A rule by the hour or faster is followed for days, not from its beginning: looking must not take minutes.
    """
    rule = rrulestr(anchored(schedule, since), cache=False)
    if not isinstance(rule, rrule):
        first = next(iter(rule), None)
        return rule, None if first is not None and first.tzinfo is not None else ZoneInfo(schedule.timezone)
    start: datetime = rule._dtstart  # type: ignore[attr-defined]
    zone = None if start.tzinfo is not None else ZoneInfo(schedule.timezone)
    moment = _local(around, zone)
    reach = _REACH.get(rule._freq)  # type: ignore[attr-defined]
    if reach is None:
        return rule, zone
    beat = reach.unit * rule._interval  # type: ignore[attr-defined]
    behind = max(0, (moment - reach.back - start) // beat)
    if behind and rule._count is not None:  # type: ignore[attr-defined]
        return rruleset(), zone  # it cannot be entered halfway: one that began so long ago counts as over
    return rule.replace(dtstart=start + beat * behind), zone


class _Reach(NamedTuple):
    unit: timedelta
    back: timedelta


_REACH = {
    HOURLY: _Reach(timedelta(hours=1), timedelta(days=60)),
    MINUTELY: _Reach(timedelta(minutes=1), timedelta(days=7)),
    SECONDLY: _Reach(timedelta(seconds=1), timedelta(hours=2)),
}
"""How far back the last fire of a fast rule is looked for."""


def _local(at: datetime, zone: ZoneInfo | None) -> datetime:
    return at if zone is None else at.astimezone(zone).replace(tzinfo=None)


def _utc(at: datetime, zone: ZoneInfo | None) -> datetime:
    return (at if zone is None else at.replace(tzinfo=zone)).astimezone(UTC)
