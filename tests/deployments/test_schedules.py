"""The IR's schedules as Prefect's, down to when they fire."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.server.schemas import schedules as server_schedules

from deployments.schedules import to_prefect
from ir.schedule import CronSchedule, IntervalSchedule, RRuleSchedule

SET = datetime(2026, 1, 5, 9, 30, 20, tzinfo=UTC)


def fires(created: DeploymentScheduleCreate, count: int, start: datetime) -> list[datetime]:
    kind = getattr(server_schedules, type(created.schedule).__name__)
    schedule = kind.model_validate(created.schedule.model_dump())
    return list(asyncio.run(schedule.get_dates(count, start)))


def test_no_schedule_is_none() -> None:
    assert to_prefect(None, active=True, since=SET) == []


def test_cron_keeps_its_time_zone() -> None:
    (made,) = to_prefect(
        CronSchedule(kind="cron", expression="0 2 * * *", timezone="America/Los_Angeles"), active=True, since=SET
    )
    assert fires(made, 1, datetime(2026, 1, 1, tzinfo=UTC)) == [datetime(2026, 1, 1, 10, tzinfo=UTC)]


def test_an_interval_keeps_its_beat_however_often_it_is_sent() -> None:
    schedule = IntervalSchedule(kind="interval", minutes=45)
    first, second = (to_prefect(schedule, active=True, since=SET)[0] for _ in range(2))
    start = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert fires(first, 3, start) == fires(second, 3, start)
    assert fires(first, 2, start)[1] - fires(first, 1, start)[0] == timedelta(minutes=45)


def test_a_counted_rule_begins_when_it_was_set_and_ends_after_its_count() -> None:
    rule = RRuleSchedule(kind="rrule", rrule="FREQ=DAILY;COUNT=10", timezone="Europe/Paris")
    (made,) = to_prefect(rule, active=True, since=SET)
    found = fires(made, 100, SET - timedelta(minutes=2))
    assert found == [SET.replace(second=0) + timedelta(days=day) for day in range(10)]


def test_a_rule_with_its_own_start_is_left_alone() -> None:
    rule = "DTSTART:20260101T090000Z\nRRULE:FREQ=WEEKLY"
    assert to_prefect(RRuleSchedule(kind="rrule", rrule=rule), active=True, since=SET)[0].schedule.rrule == rule
