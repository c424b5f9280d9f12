"""The schedule of a pipeline: cron, interval or rrule. Each becomes a Prefect schedule of the same kind."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from headrace.ir.base import Doc
from headrace.ir.problems import fault
from headrace.ir.schedules.cron import valid_cron
from headrace.ir.schedules.recurrence import has_utc_dtstart, valid_rrule


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(
            "unknown_timezone", f"Unknown time zone '{name}'", "use an IANA name such as Europe/Paris"
        ) from None
    return name


Timezone = Annotated[str, AfterValidator(_known_timezone)]

CatchUp = Literal["all", "latest", "none"]


class ScheduleBase(Doc):
    """The base of schedules."""

    catchup: CatchUp = "latest"
    """Which missed runs start later: runs that did not begin within a minute of their time, because there was no worker
    or an earlier run was still running. `all`, oldest first; only the `latest`; or `none`. Runs that are started by
    hand are never skipped."""


class CronSchedule(ScheduleBase):
    """Fires when the five-field cron expression matches, in the given time zone."""

    kind: Literal["cron"]
    expression: Annotated[str, AfterValidator(valid_cron)]
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: Timezone = "UTC"
    """An IANA name such as `Europe/Paris`."""


class IntervalSchedule(ScheduleBase):
    """Fires every `minutes` minutes (1 to 1440)."""

    kind: Literal["interval"]
    minutes: int = Field(ge=1, le=1440)
    """The minutes between one run and the next."""


class RRuleSchedule(ScheduleBase):
    """Fires by an RFC 5545 recurrence rule, in the given time zone."""

    kind: Literal["rrule"]
    rrule: Annotated[str, AfterValidator(valid_rrule)]
    """One RRULE, with an optional DTSTART before it; without one it begins when it is saved. At most once a minute."""
    timezone: Timezone = "UTC"
    """An IANA name such as `Europe/Paris`."""

    @model_validator(mode="after")
    def _one_zone(self) -> Self:
        if has_utc_dtstart(self.rrule) and self.timezone != "UTC":
            raise fault(
                "zone_conflict",
                f"The DTSTART of '{self.rrule}' is in UTC, the schedule in {self.timezone}",
                "write the local time without the Z, or leave the timezone out",
            )
        return self


Schedule = Annotated[CronSchedule | IntervalSchedule | RRuleSchedule, Field(discriminator="kind")]
