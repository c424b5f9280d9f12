"""`add_field`: a new column, constant or computed."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ir.base import ColumnName, SqlText
from ir.datatypes import DataType
from ir.ops.base import OpBase
from ir.problems import fault


class AddField(OpBase):
    """Adds `field` with a constant `value` or an `expression`, cast to `dataType` when given; it must not exist yet."""

    type: Literal["add_field"]
    field: ColumnName
    """The new column."""
    value: str | bool | int | float | None = None
    """A constant."""
    expression: SqlText | None = None
    """SQL over the row."""
    data_type: DataType | None = None
    """The type of the column; its value's own without one."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AddField:
        given = self.model_fields_set & {"value", "expression"}
        if len(given) != 1:
            raise fault(
                "value_or_expression", "add_field takes either a value or an expression", "give exactly one of them"
            )
        return self
