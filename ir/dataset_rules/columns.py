"""Rules on the values that a column has in all rows together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ir.base import ColumnName
from ir.dataset_rules.base import Bounded, DatasetRule
from ir.ops.ordering import Columns

StatisticFn = Literal["min", "max", "mean", "sum", "median", "stddev", "count", "count_distinct"]


class NullRate(DatasetRule):
    """At most this share of the rows, 0 to 1, may have no value in the field."""

    field: ColumnName
    """The column."""
    max: float = Field(ge=0, le=1)
    """The greatest share of nulls."""


class Uniqueness(DatasetRule):
    """At least this share of the rows, 0 to 1, must differ from all others in the fields: the number of different
    combinations, nulls being equal, divided by the number of rows."""

    fields: Annotated[Columns, Field(min_length=1)]
    """The columns that tell rows apart."""
    min: float = Field(default=1.0, ge=0, le=1)
    """The smallest share of different rows; all of them without it."""


class Freshness(DatasetRule):
    """The newest value of the field, a date or a time, may be so many hours old when the rule is judged. A time without
    a zone is taken as UTC, a date as its end."""

    field: ColumnName
    """The column."""
    max_age_hours: float = Field(gt=0)
    """How old the newest value may be."""


class Statistic(Bounded):
    """What `fn` makes of the field's values, nulls left out, must lie between `min` and `max`. Where there is no value
    the rule is broken, unless `fn` counts."""

    field: ColumnName
    """The column."""
    fn: StatisticFn
    """What is measured."""
