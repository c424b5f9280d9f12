"""Ops on columns: add_field, drop, rename, cast, expression, merge."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headrace.ir.base import ColumnName, SqlText
from headrace.ir.ops.base import OpBase
from headrace.ir.problems import fault
from headrace.ir.schema import DataType


class AddField(OpBase):
    """Adds `field` with a constant `value` or an `expression`, cast to `dataType` if given; it must not exist yet."""

    type: Literal["add_field"]
    field: ColumnName
    """The new column."""
    value: str | bool | int | float | None = None
    """A constant."""
    expression: SqlText | None = None
    """SQL over the row."""
    data_type: DataType | None = None
    """The type of the column; by default that of the value."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AddField:
        given = self.model_fields_set & {"value", "expression"}
        if len(given) != 1:
            raise fault(
                "value_or_expression", "add_field takes either a value or an expression", "give exactly one of them"
            )
        return self


class Drop(OpBase):
    """Removes `fields`; each must exist."""

    type: Literal["drop"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns to remove."""


class Rename(OpBase):
    """Renames `from` to `to`; `to` must not exist yet."""

    type: Literal["rename"]
    source: ColumnName = Field(alias="from")
    """The current name."""
    to: ColumnName
    """The new name."""


class Cast(OpBase):
    """Casts `field` to `to`; `format` is strptime-like for text to date or time. A value that cannot be cast makes
    its row an error (`quarantine`), becomes null (`null`), or fails the run (`abort`)."""

    type: Literal["cast"]
    field: ColumnName
    """The column."""
    to: DataType
    """Its new type."""
    precision: int | None = Field(default=None, ge=1, le=38)
    """The total number of digits of a decimal."""
    scale: int | None = Field(default=None, ge=0, le=38)
    """The number of digits after the decimal point."""
    format: str | None = None
    """The format of dates and times in text, for example `%d.%m.%Y`."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What to do with a value that cannot be cast."""


class Expression(OpBase):
    """Creates or replaces `field` with the value of a scalar SQL expression over the row's columns."""

    type: Literal["expression"]
    field: ColumnName
    """The column, new or existing."""
    expression: SqlText
    """A scalar SQL expression over the row."""


class Merge(OpBase):
    """Joins the values of `fields`, as text, with `separator` into `to`, which is new or one of them. Nulls are left
    out; if all are null, the result is null."""

    type: Literal["merge"]
    fields: tuple[ColumnName, ...] = Field(min_length=2)
    """The columns to join, in this order."""
    to: ColumnName
    """The column to write."""
    separator: str = " "
    """The text between two values."""
