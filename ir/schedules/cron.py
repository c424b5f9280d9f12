"""Cron expressions: which are accepted, and how they are written for Prefect.

The meaning is that of Vixie cron, as CronSim computes it. Prefect uses croniter, which differs in three ways:
- after a short month it can miss days (`1,31`: no 1 March);
- the day of the month and the day of the week are joined with OR even where one of them begins with `*`, unless
  `day_or` is false;
- some ranges with steps have another meaning (`11-11/3`, `2/5`).
`for_prefect` writes an expression so that both fire at the same times.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime
from typing import NamedTuple

from cronsim import CronSim, CronSimError

from headrace.ir.problems import fault

FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_HINT = "five fields: minute hour day-of-month month day-of-week, for example '0 2 * * *'"
_MAX_LENGTH = 200
_VALUE = r"(?:\d{1,2}|[A-Za-z]{3})"
_PART = re.compile(rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/\d{{1,2}})?", re.ASCII)
_PLAIN = re.compile(rf"\*(?:/\d{{1,2}})?|{_VALUE}(?:,{_VALUE})*|({_VALUE})-(?!\1){_VALUE}", re.ASCII | re.IGNORECASE)
"""Fields that both read the same way."""
_SHORTEST = 28
_WEEK = set(range(7))


class PrefectCron(NamedTuple):
    """`CronSchedule(cron=expression, day_or=day_or)` of Prefect."""

    expression: str
    day_or: bool


def valid_cron(expression: str) -> str:
    """Returns the expression. Raises a fault (`invalid_cron`) unless it is a five-field cron expression of numbers,
    names, `*`, ranges, steps and lists."""
    fields = expression.split()
    if len(fields) != len(FIELDS):
        what = f"has {len(fields)} field{'' if len(fields) == 1 else 's'}, not five"
        raise fault("invalid_cron", f"'{expression[:80]}' {what}", _HINT)
    if len(expression) > _MAX_LENGTH:
        raise fault("invalid_cron", f"A cron expression has {_MAX_LENGTH} characters at most", _HINT)
    for name, field in zip(FIELDS, fields, strict=True):
        for part in field.split(","):
            if not _PART.fullmatch(part):
                raise fault("invalid_cron", f"'{part}' is not a {name} of a cron expression", _HINT)
    try:
        next(CronSim(expression, datetime(2026, 1, 1)))
    except CronSimError as error:
        raise fault("invalid_cron", f"'{expression}' is not a cron expression: {error}", _HINT) from None
    except StopIteration:
        message = f"'{expression}' names a day that its months do not have: it would never fire"
        raise fault("invalid_cron", message, _HINT) from None
    return expression


def for_prefect(expression: str) -> tuple[PrefectCron, ...]:
    """Returns a valid expression as schedules for Prefect that fire at the times of `ir.schedules.fire_times`: one
    schedule, or two that never fire together. Fields of one part are kept as written, others become lists of
    numbers."""
    meant = CronSim(expression, datetime(2026, 1, 1))
    weekdays = {day % 7 for day in meant.weekdays if isinstance(day, int)}  # `1#2` is refused
    values = (meant.minutes, meant.hours, meant.days, meant.months, weekdays)
    fields = expression.split()
    minute, hour, day, month, weekday = (
        field if _PLAIN.fullmatch(field) else _listed(numbers) for field, numbers in zip(fields, values, strict=True)
    )
    either = not any(field.startswith("*") for field in (fields[2], fields[4]))
    longest = max(29 if each == 2 else monthrange(2026, each)[1] for each in meant.months)
    days = {each for each in meant.days if each <= longest}
    if not days:  # no month has these days: the weekdays alone
        return (PrefectCron(f"{minute} {hour} * {month} {weekday}", day_or=False),)
    if not _skips(days):
        return (PrefectCron(f"{minute} {hour} {day} {month} {weekday}", either),)
    early = {each for each in days if each <= _SHORTEST}
    others = _listed(_WEEK - weekdays) if either else weekday  # the first schedule fires on these weekdays
    found = [PrefectCron(f"{minute} {hour} {_listed(early)} {month} {weekday}", either)]
    if others:
        found.append(PrefectCron(f"{minute} {hour} {_listed(days - early)} {month} {others}", day_or=False))
    return tuple(found)


def _skips(days: set[int]) -> bool:
    """Whether croniter misses a day: from the end of a month without the next of these days it counts on into the
    following month, and skips what it should find there (`1,31`: no 1 March)."""
    for length in (28, 29, 30):
        following = min((day for day in days if day > length), default=None)
        if following is not None and length not in days and min(days) < following - length:
            return True
    return False


def _listed(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))
