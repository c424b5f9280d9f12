"""Ops that turn rows into columns or columns into rows: pivot, unpivot, explode."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from headrace.ir.base import ColumnName, Doc, Shorthand
from headrace.ir.ops.base import OpBase
from headrace.ir.ops.grouping import AggregateFn
from headrace.ir.ops.rows import Columns
from headrace.ir.problems import fault
from headrace.ir.schema import DataType


class PivotValue(Doc):
    """A value of the pivoted column, and the name of the column it becomes (by default the value)."""

    value: str
    """The value, as text."""
    name: ColumnName | None = Field(default=None, alias="as")
    """The name of the column; by default the value."""

    @property
    def output(self) -> str:
        """The name of the column."""
        return self.name or self.value


def _named(value: Any) -> Any:
    if isinstance(value, bool):
        return {"value": str(value).lower()}
    return {"value": str(value)} if isinstance(value, str | int | float) else value


_ALONE: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_Value = Annotated[PivotValue, BeforeValidator(_named), Shorthand(lambda _: _ALONE)]


class Pivot(OpBase):
    """Makes one row for each group of `groupBy`, with a column for each of `values`: `fn` over `field` in the rows of
    the group where `on` has that value. Rows with other values only add their group."""

    type: Literal["pivot"]
    group_by: Columns = ()
    """The columns to group by."""
    on: ColumnName
    """The column whose values become columns."""
    values: Annotated[tuple[_Value, ...], Field(min_length=1, max_length=500)]
    """The values that become columns, each as an object or as the value."""
    field: ColumnName
    """The column that the new columns take their values from."""
    fn: AggregateFn = "first"
    """The aggregate function over the rows of a group with the same value."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(each.output for each in self.values)

    @field_validator("values")
    @classmethod
    def _distinct(cls, values: tuple[PivotValue, ...]) -> tuple[PivotValue, ...]:
        if len({each.output for each in values}) < len(values):
            raise fault("duplicate_column", "'values' makes a column twice", "give one another name: {value, as}")
        return values


class Unpivot(OpBase):
    """Replaces each row by one row for each of `fields`, with its name in the column `nameTo` and its value in
    `valueTo`; the other columns are repeated. Fields of different types become text."""

    type: Literal["unpivot"]
    fields: Annotated[Columns, Field(min_length=1)]
    """The columns that become rows."""
    name_to: ColumnName = "name"
    """The column for their names."""
    value_to: ColumnName = "value"
    """The column for their values."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.name_to, self.value_to)


class Explode(OpBase):
    """Replaces each row by one row for each element of the list in `field`: a list column, a JSON list as text, or,
    with `separator`, separated text. Elements are text (those of a list column keep their type) or are read as
    `dataType`. They are written to `to`, or in place of the list, and their positions, from 1, to `positionTo`.

    A row without elements is kept with null (`keepEmpty`) or skipped. Text that is not a JSON list, or an element that
    is not of the type, makes an error row (`quarantine`), gives null (`null`) or fails the run (`abort`). A list with
    more than `maxElements` never gives null."""

    type: Literal["explode"]
    field: ColumnName
    """The column of the list."""
    to: ColumnName | None = None
    """The column for the elements."""
    separator: str | None = Field(default=None, min_length=1)
    """The separator of the elements of a text."""
    data_type: DataType | None = None
    """The type of the elements."""
    position_to: ColumnName | None = None
    """The column for their positions."""
    keep_empty: bool = True
    """Whether a row without elements is kept."""
    max_elements: int = Field(default=100_000, ge=1, le=10_000_000)
    """The largest allowed number of elements."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What to do with text that is not a list, and elements that are not of the type."""

    @property
    def makes(self) -> tuple[str, ...]:
        made = (self.to or self.field, self.position_to)
        return tuple(name for name in made if name is not None)
