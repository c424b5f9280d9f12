"""The op lookup_join: columns from the table of a registered schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from headrace.ir.base import ColumnName, Doc, Shorthand, TableName
from headrace.ir.ops.base import OpBase
from headrace.ir.problems import fault


class LookupKey(Doc):
    """A pair of columns that must be equal: the row's `field` and the table's `key`."""

    field: ColumnName
    """A column of the row."""
    key: ColumnName
    """A column of the table."""


class LookupColumn(Doc):
    """A column of the table, added to the row under its own name or as `as`."""

    column: ColumnName
    """A column of the table."""
    name: ColumnName | None = Field(default=None, alias="as")
    """Its name in the row; by default its own."""

    @property
    def output(self) -> str:
        """The name of the column in the row."""
        return self.name or self.column


def _named(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _name(_: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1}


class LookupJoin(OpBase):
    """Looks up every row in `table` by `on` and adds the columns of `select`. A row without a match gets nulls
    (`null`), is skipped and counted (`drop`), or becomes an error (`quarantine`). Keys must be unique in the table."""

    type: Literal["lookup_join"]
    table: TableName
    """The table of a registered schema."""
    on: tuple[LookupKey, ...] = Field(min_length=1)
    """The columns that must be equal."""
    select: tuple[Annotated[LookupColumn, BeforeValidator(_named), Shorthand(_name)], ...] = ()
    """The columns to add, each as an object or as its name."""
    on_miss: Literal["null", "drop", "quarantine"] = "null"
    """What to do with a row without a match."""

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
