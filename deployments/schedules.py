"""The IR's schedules as Prefect's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ir.fires import INTERVAL_ANCHOR, anchored
from ir.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

if TYPE_CHECKING:
    from prefect.client.schemas.actions import DeploymentScheduleCreate


def to_prefect(schedule: Schedule | None, *, active: bool, since: datetime) -> list[DeploymentScheduleCreate]:
    """The schedules of a deployment. `since` is when the schedule was set: there an rrule begins to count."""
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
                interval=timedelta(minutes=schedule.minutes), anchor_date=INTERVAL_ANCHOR, timezone="UTC"
            )
        case RRuleSchedule():
            made = prefect_schedules.RRuleSchedule(rrule=anchored(schedule, since), timezone=schedule.timezone)
    # Without a slug: then the UI says when it fires.
    return [DeploymentScheduleCreate(schedule=made, active=active)]
