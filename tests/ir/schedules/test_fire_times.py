"""Fire times of schedules, next and previous, compared with Prefect."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from prefect.server.schemas import schedules as server_schedules
from pydantic import TypeAdapter

from headrace.deployments.prefect.deployments import to_prefect
from headrace.ir.schedules.fire_times import last_fire, next_fires
from headrace.ir.schedules.schedule import Schedule

SINCE = datetime(2026, 1, 5, 9, 30, 20, tzinfo=UTC)
NOW = datetime(2026, 3, 27, 12, 7, 3, tzinfo=UTC)

SCHEDULES: list[dict[str, Any]] = [
    {"kind": "cron", "expression": "*/15 * * * *"},
    {"kind": "cron", "expression": "30 4 * * *", "timezone": "Europe/Paris"},  # over the change on 29 March
    {"kind": "cron", "expression": "0 9 1 * *", "timezone": "America/Los_Angeles"},
    {"kind": "interval", "minutes": 45},
    {"kind": "rrule", "rrule": "FREQ=DAILY", "timezone": "Europe/Paris"},
    {"kind": "rrule", "rrule": "FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=7;BYMINUTE=0;BYSECOND=0"},
    {"kind": "rrule", "rrule": "DTSTART:20260101T090000Z\nRRULE:FREQ=MINUTELY;INTERVAL=7"},
    {"kind": "rrule", "rrule": "FREQ=HOURLY;INTERVAL=5;BYMINUTE=10,40", "timezone": "Asia/Tokyo"},
    {"kind": "rrule", "rrule": "DTSTART:20260101T090000Z\nRRULE:FREQ=WEEKLY"},
]


def schedule(raw: dict[str, Any]) -> Any:
    return TypeAdapter(Schedule).validate_python(raw)


@pytest.mark.parametrize(
    "raw", SCHEDULES, ids=lambda raw: str(raw.get("expression") or raw.get("rrule") or raw["kind"])
)
def test_the_next_fires_are_prefects_and_each_is_the_last_one_of_its_moment(raw: dict[str, Any]) -> None:
    made = to_prefect(schedule(raw), active=True, since=SINCE)[0].schedule
    theirs = getattr(server_schedules, type(made).__name__).model_validate(made.model_dump())
    found = next_fires(schedule(raw), since=SINCE, after=NOW, count=5)
    assert found == sorted(asyncio.run(theirs.get_dates(5, NOW)))
    assert len(found) == 5
    for at, following in pairwise(found):
        assert last_fire(schedule(raw), since=SINCE, before=at) == at
        assert last_fire(schedule(raw), since=SINCE, before=following - timedelta(seconds=1)) == at


def test_what_was_due_before_the_schedule_was_set_is_no_fire() -> None:
    daily = schedule({"kind": "cron", "expression": "0 9 * * *"})
    assert last_fire(daily, since=SINCE, before=SINCE + timedelta(hours=1)) is None
    assert last_fire(daily, since=SINCE, before=SINCE + timedelta(days=1)) == datetime(2026, 1, 6, 9, tzinfo=UTC)


def test_a_rule_that_is_over_fires_no_more() -> None:
    rule = schedule({"kind": "rrule", "rrule": "FREQ=DAILY;COUNT=3"})
    assert next_fires(rule, since=SINCE, after=NOW, count=5) == []
    assert last_fire(rule, since=SINCE, before=NOW) is None or last_fire(rule, since=SINCE, before=NOW) < NOW
    assert len(next_fires(rule, since=SINCE, after=SINCE - timedelta(days=1), count=5)) == 3


def test_a_fast_rule_that_began_long_ago_is_answered_at_once() -> None:
    rule = schedule({"kind": "rrule", "rrule": "DTSTART:20200101T000000Z\nRRULE:FREQ=MINUTELY;INTERVAL=3"})
    assert next_fires(rule, since=SINCE, after=NOW, count=1) == [NOW.replace(minute=9, second=0)]
    assert last_fire(rule, since=SINCE, before=NOW) == NOW.replace(minute=6, second=0)


NEW_YORK = {"timezone": "America/New_York"}
SPRING, AUTUMN = datetime(2026, 3, 8, 0, 0, 3, tzinfo=UTC), datetime(2026, 11, 1, 0, 0, 3, tzinfo=UTC)
"""The clock goes from 2:00 to 3:00 at 7:00 UTC; from 2:00 back to 1:00 at 6:00 UTC."""


@pytest.mark.parametrize(
    ("raw", "before", "expected"),
    [
        ({"kind": "cron", "expression": "30 2 * * *", **NEW_YORK}, SPRING, ["08 07:30", "09 06:30", "10 06:30"]),
        ({"kind": "cron", "expression": "30,45 2,3 * * *", **NEW_YORK}, SPRING, ["08 07:30", "08 07:45", "09 06:30"]),
        ({"kind": "cron", "expression": "0,30 * 8 3 *", **NEW_YORK}, SPRING.replace(hour=6), ["08 06:30", "08 07:00"]),
        ({"kind": "cron", "expression": "30 2 * * *", **NEW_YORK}, AUTUMN, ["01 07:30", "02 07:30", "03 07:30"]),
        ({"kind": "cron", "expression": "30 1 * * *", **NEW_YORK}, AUTUMN, ["01 05:30", "02 06:30", "03 06:30"]),
        (
            {"kind": "cron", "expression": "30 0-3 * * *", **NEW_YORK},
            SPRING,
            ["08 05:30", "08 06:30", "08 07:30", "09 04:30"],
        ),
        (
            {"kind": "cron", "expression": "30 0-3 * * *", **NEW_YORK},
            AUTUMN,
            ["01 04:30", "01 05:30", "01 07:30", "01 08:30"],
        ),
        (
            {"kind": "rrule", "rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0", **NEW_YORK},
            SPRING,
            ["08 06:30", "09 06:30", "10 06:30"],
        ),
        (
            {"kind": "rrule", "rrule": "FREQ=DAILY;BYHOUR=1;BYMINUTE=30;BYSECOND=0", **NEW_YORK},
            AUTUMN,
            ["01 05:30", "02 06:30", "03 06:30"],
        ),
        (
            {"kind": "rrule", "rrule": "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=30;BYSECOND=0", **NEW_YORK},
            SPRING,
            ["08 06:30", "08 07:30", "09 05:30"],
        ),
        ({"kind": "interval", "minutes": 720}, SPRING, ["08 12:00", "09 00:00", "09 12:00"]),
    ],
)
def test_over_a_change_of_the_clock_each_time_of_day_fires_once_and_prefect_agrees(
    raw: dict[str, Any], before: datetime, expected: list[str]
) -> None:
    found = next_fires(schedule(raw), since=SINCE, after=before, count=len(expected))
    assert [f"{at:%d %H:%M}" for at in found] == expected
    made = to_prefect(schedule(raw), active=True, since=SINCE)[0].schedule
    theirs = getattr(server_schedules, type(made).__name__).model_validate(made.model_dump())
    they_say = sorted(asyncio.run(theirs.get_dates(len(expected), before)))
    assert found == [at.astimezone(UTC) for at in they_say]
    for at, following in pairwise(found):
        assert last_fire(schedule(raw), since=SINCE, before=following - timedelta(seconds=1)) == at
