"""The op parse_json: typed columns from JSON text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from headrace.ir.base import ColumnName, Doc
from headrace.ir.ops.base import OpBase
from headrace.ir.problems import fault
from headrace.ir.schema import DataType


class JsonColumn(Doc):
    """A column `field` read from `path` (`$.address.city`, `$.items[0]`; by default `$.<field>`) as `dataType`. An
    object or a list becomes JSON text."""

    field: ColumnName
    """The column to write."""
    path: str | None = Field(default=None, pattern=r"^\$", max_length=1000)
    """The path in the JSON; by default `$.<field>`."""
    data_type: DataType = "text"
    """The type of the column."""


class ParseJson(OpBase):
    """Reads columns from the JSON of `field`; a path that does not exist gives null. Text that is not JSON, or a value
    that is not of its type, makes the row an error (`quarantine`), gives null (`null`) or fails the run (`abort`)."""

    type: Literal["parse_json"]
    field: ColumnName
    """The column of the text."""
    into: tuple[JsonColumn, ...] = Field(min_length=1)
    """The columns to write."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What to do with text that is not JSON, and values that are not of the type."""

    @property
    def makes(self) -> tuple[str, ...]:
        return tuple(column.field for column in self.into)

    @field_validator("into")
    @classmethod
    def _distinct(cls, columns: tuple[JsonColumn, ...]) -> tuple[JsonColumn, ...]:
        if len({column.field for column in columns}) < len(columns):
            raise fault("duplicate_column", "'into' names a column twice", "give each value its own column")
        return columns
