"""`pivot`: values of a column become columns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ir.base import ColumnName, Doc, Shorthand
from ir.ops.aggregate import AggregateFn
from ir.ops.base import OpBase
from ir.ops.ordering import Columns
from ir.problems import fault


class PivotValue(Doc):
    """A value of the column that is turned, and the name of the column it becomes (its own unless said otherwise)."""

    value: str
    """As text."""
    name: ColumnName | None = Field(default=None, alias="as")
    """The column; named by the value without one."""

    @property
    def output(self) -> str:
        """The column."""
        return self.name or self.value


def _named(value: Any) -> Any:
    if isinstance(value, bool):
        return {"value": str(value).lower()}
    return {"value": str(value)} if isinstance(value, str | int | float) else value


_ALONE: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_Value = Annotated[PivotValue, BeforeValidator(_named), Shorthand(lambda _: _ALONE)]


class Pivot(OpBase):
    """A row for each group of `groupBy`, with a column for each of `values`: `fn` over `field` in the rows of the group
    whose `on` is that value. Rows with other values count for their group only."""

    type: Literal["pivot"]
    group_by: Columns = ()
    """The columns whose equal values make a row."""
    on: ColumnName
    """The column that is turned."""
    values: Annotated[tuple[_Value, ...], Field(min_length=1, max_length=500)]
    """Its values that become columns; a value alone does."""
    field: ColumnName
    """The column whose values fill them."""
    fn: AggregateFn = "first"
    """What is made of several."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(each.output for each in self.values)

    @field_validator("values")
    @classmethod
    def _distinct(cls, values: tuple[PivotValue, ...]) -> tuple[PivotValue, ...]:
        if len({each.output for each in values}) < len(values):
            raise fault("duplicate_column", "'values' makes a column twice", "give one another name: {value, as}")
        return values
