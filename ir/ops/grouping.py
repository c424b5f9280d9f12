"""Ops that group rows: aggregate, summarize."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from headrace.ir.base import ColumnName, Doc
from headrace.ir.ops.base import OpBase
from headrace.ir.ops.rows import Columns
from headrace.ir.problems import fault

AggregateFn = Literal["count", "count_distinct", "sum", "mean", "min", "max", "first", "last", "median", "stddev"]


class Aggregation(Doc):
    """`fn` over the values of `field`, as a column. Nulls are ignored, except by `first` and `last`, which follow the
    order of the source. Without any value the result is null, or 0 for counts. `count` without a field counts rows."""

    field: ColumnName | None = None
    """The column to aggregate; optional for `count` only."""
    fn: AggregateFn
    """The aggregate function."""
    name: ColumnName = Field(alias="as")
    """The name of the result column."""

    @model_validator(mode="after")
    def _has_field(self) -> Aggregation:
        if self.field is None and self.fn != "count":
            raise fault("missing_field", f"'{self.fn}' needs a 'field'", "only 'count' works without a field")
        return self


class Aggregate(OpBase):
    """Combines rows with equal values of `groupBy` (nulls are equal) into one; without `groupBy`, all rows."""

    type: Literal["aggregate"]
    group_by: Columns = ()
    """The columns to group by."""
    aggregations: Annotated[tuple[Aggregation, ...], Field(min_length=1, max_length=200)]
    """The other columns of the result."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.aggregations)

    @field_validator("aggregations")
    @classmethod
    def _distinct(cls, aggregations: tuple[Aggregation, ...]) -> tuple[Aggregation, ...]:
        if len({each.name for each in aggregations}) < len(aggregations):
            raise fault("duplicate_column", "'aggregations' makes a column twice", "give each its own 'as'")
        return aggregations


Stat = Literal["count", "nulls", "distinct", "min", "max", "mean", "p50", "p95"]
STATS: tuple[Stat, ...] = ("count", "nulls", "distinct", "min", "max", "mean", "p50", "p95")


class Summarize(OpBase):
    """Makes one row for each group and each of `fields` (by default all columns except those of `groupBy`): the columns
    of the group, `field` with the name, and one column per statistic. `count` counts values; `min` and `max` are text;
    `mean`, `p50` and `p95` are null if the field is not numeric."""

    type: Literal["summarize"]
    fields: Columns = ()
    """The columns to summarize; by default all."""
    group_by: Columns = ()
    """The columns to group by."""
    stats: Annotated[tuple[Stat, ...], Field(min_length=1)] = STATS
    """The statistics."""

    @property
    def makes(self) -> tuple[str, ...]:
        return ("field", *self.stats)
