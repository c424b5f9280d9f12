"""`parse_json`: typed columns out of JSON text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ir.base import ColumnName, Doc
from ir.datatypes import DataType
from ir.ops.base import OpBase
from ir.problems import fault


class JsonColumn(Doc):
    """A column `field` read from `path` (`$.address.city`, `$.items[0]`; the column's own name without one) as
    `dataType`. An object or a list there becomes its JSON text."""

    field: ColumnName
    """The column to write."""
    path: str | None = Field(default=None, pattern=r"^\$", max_length=1000)
    """Where in the JSON; `$.<field>` without one."""
    data_type: DataType = "text"
    """What it is read as."""


class ParseJson(OpBase):
    """Reads columns out of the JSON of `field`; what is not there is null. Text that is not JSON, or a value that is
    not of its type, sends the row to the errors (`quarantine`), gives null (`null`) or fails the run (`abort`)."""

    type: Literal["parse_json"]
    field: ColumnName
    """The column of the text."""
    into: tuple[JsonColumn, ...] = Field(min_length=1)
    """The columns to write."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What becomes of text that is not JSON, or not of the type."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(column.field for column in self.into)

    @field_validator("into")
    @classmethod
    def _distinct(cls, columns: tuple[JsonColumn, ...]) -> tuple[JsonColumn, ...]:
        if len({column.field for column in columns}) < len(columns):
            raise fault("duplicate_column", "'into' names a column twice", "give each value its own column")
        return columns
