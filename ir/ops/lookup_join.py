"""`lookup_join`: columns from the table of a registered schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ir.base import ColumnName, Doc, Shorthand, TableName
from ir.ops.base import OpBase
from ir.problems import fault


class LookupKey(Doc):
    """The row's `field` must equal the table's column `key`."""

    field: ColumnName
    """A column of the row."""
    key: ColumnName
    """A column of the table."""


class LookupColumn(Doc):
    """The table's `column`, which comes into the row under its own name or as `as`."""

    column: ColumnName
    """A column of the table."""
    name: ColumnName | None = Field(default=None, alias="as")
    """Its name in the row; its own without one."""

    @property
    def output(self) -> str:
        """The name it has in the row."""
        return self.name or self.column


def _named(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _name(_: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1}


class LookupJoin(OpBase):
    """Looks every row up in `table` by `on` and takes over the columns of `select`. A row without a match gets nulls
    (`null`), is skipped and counted (`drop`), or becomes an error (`quarantine`). Keys are unique in the table."""

    type: Literal["lookup_join"]
    table: TableName
    """The table of a registered schema."""
    on: tuple[LookupKey, ...] = Field(min_length=1)
    """The columns that must be equal."""
    select: tuple[Annotated[LookupColumn, BeforeValidator(_named), Shorthand(_name)], ...] = ()
    """The columns to take over; a name alone does."""
    on_miss: Literal["null", "drop", "quarantine"] = "null"
    """What becomes of a row without a match."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(column.output for column in self.select)

    @field_validator("select")
    @classmethod
    def _distinct(cls, columns: tuple[LookupColumn, ...]) -> tuple[LookupColumn, ...]:
        if len({column.output for column in columns}) < len(columns):
            raise fault("duplicate_column", "'select' gives a column twice", "rename one: {column, as}")
        return columns

    @field_validator("on")
    @classmethod
    def _distinct_keys(cls, keys: tuple[LookupKey, ...]) -> tuple[LookupKey, ...]:
        if len({key.key for key in keys}) < len(keys):
            raise fault("duplicate_column", "'on' names a key twice", "name each column of the table once")
        return keys
