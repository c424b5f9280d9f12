"""The IR's schedules as Prefect's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from ir.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

if TYPE_CHECKING:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import DeploymentSchedule

# Counted from a fixed instant, an interval keeps its beat when its deployment is sent again.
_ANCHOR = datetime(2020, 1, 1, tzinfo=UTC)


def to_prefect(
    schedule: Schedule | None, *, active: bool, known: list[DeploymentSchedule]
) -> list[DeploymentScheduleCreate]:
    """The schedules of a deployment. `known` are those it has now: an unchanged rrule keeps counting from its start."""
    from prefect.client.schemas import schedules as prefect_schedules
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    match schedule:
        case None:
            return []
        case CronSchedule():
            made: prefect_schedules.SCHEDULE_TYPES = prefect_schedules.CronSchedule(
                cron=schedule.expression, timezone=schedule.timezone
            )
        case IntervalSchedule():
            made = prefect_schedules.IntervalSchedule(
                interval=timedelta(minutes=schedule.minutes), anchor_date=_ANCHOR, timezone="UTC"
            )
        case RRuleSchedule():
            made = prefect_schedules.RRuleSchedule(rrule=_anchored(schedule, known), timezone=schedule.timezone)
    return [DeploymentScheduleCreate(schedule=made, active=active, slug="ir")]


def _anchored(schedule: RRuleSchedule, known: list[DeploymentSchedule]) -> str:
    """The rule with a DTSTART: without one Prefect counts from 2020, and a `COUNT=10` would long be over."""
    if "DTSTART" in schedule.rrule:
        return schedule.rrule
    rule = schedule.rrule if ":" in schedule.rrule else f"RRULE:{schedule.rrule}"
    for each in known:
        text = getattr(each.schedule, "rrule", "")
        if text.endswith(f"\n{rule}") and getattr(each.schedule, "timezone", None) == schedule.timezone:
            return str(text)
    start = datetime.now(ZoneInfo(schedule.timezone)).replace(second=0, microsecond=0)
    return f"DTSTART:{start:%Y%m%dT%H%M%S}\n{rule}"
