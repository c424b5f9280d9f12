"""`date`"""

from __future__ import annotations

from datetime import datetime

import polars as pl
from polars.exceptions import PolarsError

from flows.compile.casting import expected, readable
from flows.compile.rules.base import Column, Condition
from ir.rules import IsDate
from ir.schema import Field

_DAY = datetime(2023, 11, 22, 13, 45, 56)
"""No part of it can be taken for another."""


def is_date(rule: IsDate, column: Column) -> Condition:
    """Fails for text that is no date in the format. A column of dates holds nothing else."""
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        column.text("date")
    if rule.format is not None and not _reads_dates(rule.format):
        message = f"'{rule.format}' does not tell year, month and day"
        raise column.scope.fault("rule", "rule_arguments", message, "for example 'date:%d.%m.%Y'")
    to = Field(column.name, "date", format=rule.format)
    check, _ = readable("date", column.name, column.dtype, to)
    return Condition(check.fails, expected(to))


def _reads_dates(form: str) -> bool:
    """Whether a day written in the format is read as the same day."""
    try:
        written = pl.Series([_DAY]).dt.to_string(form)
    except PolarsError:
        return False
    return bool(written.str.to_date(form, strict=False).item() == _DAY.date())
