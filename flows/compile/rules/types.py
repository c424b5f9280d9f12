"""Row rules on data types: `type`, `date`."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from polars.exceptions import PolarsError

from headrace.flows.compile.casting import ImpossibleCast, expected, readable
from headrace.flows.compile.rules.base import Column, Condition
from headrace.ir.rules import IsDate, OfType
from headrace.ir.schema import Field


def of_type(rule: OfType, column: Column) -> Condition:
    """Fails when the value cannot be read as the type; the column itself stays as it is."""
    to = Field(column.name, rule.data_type)
    try:
        check, _ = readable("type", column.name, column.dtype, to)
    except ImpossibleCast as error:
        raise column.scope.fault("rule", "impossible_cast", f"'{column.name}': {error}") from None
    return Condition(check.fails, expected(to))


_DAY = datetime(2023, 11, 22, 13, 45, 56)
"""A date whose parts all differ, so that none can be read as another."""


def is_date(rule: IsDate, column: Column) -> Condition:
    """Fails for text that is not a date in the format; a column of dates always passes."""
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        column.text("date")
    if rule.format is not None and not _reads_dates(rule.format):
        message = f"'{rule.format}' does not contain year, month and day"
        raise column.scope.fault("rule", "rule_arguments", message, "for example 'date:%d.%m.%Y'")
    to = Field(column.name, "date", format=rule.format)
    check, _ = readable("date", column.name, column.dtype, to)
    return Condition(check.fails, expected(to))


def _reads_dates(form: str) -> bool:
    """Whether a date written in the format is read as the same date."""
    try:
        written = pl.Series([_DAY]).dt.to_string(form)
    except PolarsError:
        return False
    return bool(written.str.to_date(form, strict=False).item() == _DAY.date())
