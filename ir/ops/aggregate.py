"""`aggregate`: one row for each group, with what its rows amount to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ir.base import ColumnName, Doc
from ir.ops.base import OpBase
from ir.ops.ordering import Columns
from ir.problems import fault

AggregateFn = Literal["count", "count_distinct", "sum", "mean", "min", "max", "first", "last", "median", "stddev"]


class Aggregation(Doc):
    """`fn` over the values of `field`, as a column. Nulls are left out, but for `first` and `last`, which go by the
    order in the source; without any value the result is null, or 0 for counts. `count` without a field counts rows."""

    field: ColumnName | None = None
    """Whose values; only `count` can do without."""
    fn: AggregateFn
    """What is made of them."""
    name: ColumnName = Field(alias="as")
    """The column it becomes."""

    @model_validator(mode="after")
    def _has_field(self) -> Aggregation:
        if self.field is None and self.fn != "count":
            raise fault("missing_field", f"'{self.fn}' needs a 'field'", "only 'count' can do without")
        return self


class Aggregate(OpBase):
    """Rows with equal values of `groupBy` (nulls are equal) become one; without `groupBy` all of them do."""

    type: Literal["aggregate"]
    group_by: Columns = ()
    """The columns whose equal values make a group."""
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
