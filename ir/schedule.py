"""When a pipeline runs: cron, interval or rrule. They become Prefect schedules of the same kind."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from ir.base import Doc
from ir.problems import fault
from ir.recurrence import starts_in_utc, valid_rrule


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(
            "unknown_timezone", f"Unknown time zone '{name}'", "use an IANA name such as Europe/Paris"
        ) from None
    return name


def valid_cron(expression: str) -> str:
    """The expression itself; raises a fault when it is not a five-field cron expression."""
    try:
        CronSim(expression, datetime(2026, 1, 1))
    except CronSimError as error:
        raise fault(
            "invalid_cron",
            f"'{expression}' is not a cron expression: {error}",
            "five fields: minute hour day-of-month month day-of-week, for example '0 2 * * *'",
        ) from None
    return expression


Timezone = Annotated[str, AfterValidator(_known_timezone)]


class CronSchedule(Doc):
    """Fires when the five-field cron expression matches, in the given time zone."""

    kind: Literal["cron"]
    expression: Annotated[str, AfterValidator(valid_cron)]
    """Minute, hour, day of the month, month, day of the week."""
    timezone: Timezone = "UTC"
    """An IANA name such as `Europe/Paris`."""


class IntervalSchedule(Doc):
    """Fires every `minutes` minutes (1 to 1440)."""

    kind: Literal["interval"]
    minutes: int = Field(ge=1, le=1440)
    """Between one run and the next."""


class RRuleSchedule(Doc):
    """Fires as an RFC 5545 recurrence rule says, in the given time zone."""

    kind: Literal["rrule"]
    rrule: Annotated[str, AfterValidator(valid_rrule)]
    """One RRULE, with a DTSTART before it or beginning when it is saved; `FREQ=MINUTELY` at the fastest."""
    timezone: Timezone = "UTC"
    """An IANA name such as `Europe/Paris`."""

    @model_validator(mode="after")
    def _one_zone(self) -> Self:
        if starts_in_utc(self.rrule) and self.timezone != "UTC":
            raise fault(
                "zone_conflict",
                f"The DTSTART of '{self.rrule}' is in UTC, the schedule in {self.timezone}",
                "write the local time without the Z, or leave the timezone out",
            )
        return self


Schedule = Annotated[CronSchedule | IntervalSchedule | RRuleSchedule, Field(discriminator="kind")]
