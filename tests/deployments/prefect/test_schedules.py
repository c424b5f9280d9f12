"""Schedules of the IR fire at the same times in Prefect."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.server.schemas import schedules as server_schedules
from pydantic import ValidationError

from headrace.deployments.prefect.deployments import to_prefect
from headrace.ir.schedules.fire_times import next_fires
from headrace.ir.schedules.schedule import CronSchedule, IntervalSchedule, RRuleSchedule
from tests.effort import examples

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


MONTHS, DAYS = ["jan", "Feb", "mar", "SEP", "dec"], ["sun", "Mon", "tue", "FRI", "sat"]


def cron_fields(low: int, high: int, names: list[str]) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    step = st.integers(1, high)
    part = st.one_of(
        number.map(str),
        span,
        st.builds("{}/{}".format, st.one_of(st.just("*"), number, span), step),
        *([st.sampled_from(names)] if names else []),
    )
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=3).map(",".join))


CRONS = st.tuples(
    cron_fields(0, 59, []),
    cron_fields(0, 23, []),
    cron_fields(1, 31, []),
    cron_fields(1, 12, MONTHS),
    cron_fields(0, 7, DAYS),
).map(" ".join)


@settings(max_examples=examples(200))
@given(CRONS, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]))
@example("0 2 1,31 * *", "UTC")  # croniter: no 1 March
@example("0 2 */2 * mon", "UTC")  # croniter: OR
@example("0 2 * 11-11/3 1", "UTC")  # croniter: other months too
@example("0 0 31 6 0-5", "UTC")  # croniter: "failed to find next date"
def test_prefect_fires_when_we_say(expression: str, zone: str) -> None:
    try:
        schedule = CronSchedule(kind="cron", expression=expression, timezone=zone)
    except ValidationError:
        assume(False)
    start = datetime(2026, 2, 1, tzinfo=UTC)
    made = to_prefect(schedule, active=True, since=SET)
    # in UTC: times that the clock repeats are equal to nothing in another zone
    reported = sorted(at.astimezone(UTC) for each in made for at in fires(each, 30, start + timedelta(seconds=1)))
    assert reported[:30] == next_fires(schedule, since=start, after=start, count=30)


@pytest.mark.parametrize(
    "expression",
    [
        *("0 0 2 * * *", "0 2 * *", "* * * * * *", "@daily", "", "0 2 L * *", "0 2 * * 1#2", "0 2 ? * *", "H 2 * * *"),
        *(
            "0 2 30 2 *",
            "0 2 31 4,6 *",
            "60 * * * *",
            "* 24 * * *",
            "0 2 * * 8",
            "0 2 5-1 * *",
            "0 2 \u0661 * *",
            "1,,2 * * * *",
        ),
    ],
)
def test_what_is_not_five_fields_of_plain_cron_is_refused_when_it_is_saved(expression: str) -> None:
    with pytest.raises(ValidationError):
        CronSchedule(kind="cron", expression=expression)
