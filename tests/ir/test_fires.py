"""When schedules fire, looked at from both sides, and that Prefect would say the same."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from prefect.server.schemas import schedules as server_schedules
from pydantic import TypeAdapter

from deployments.schedules import to_prefect
from ir.fires import last_fire, next_fires
from ir.schedule import Schedule

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
    rule = schedule({"kind": "rrule", "rrule": "DTSTART:19800101T000000Z\nRRULE:FREQ=SECONDLY;INTERVAL=10"})
    assert next_fires(rule, since=SINCE, after=NOW, count=1) == [NOW.replace(second=10)]
    assert last_fire(rule, since=SINCE, before=NOW) == NOW.replace(second=0)
