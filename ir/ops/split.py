"""`split`: one text into several columns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ir.base import ColumnName
from ir.ops.base import OpBase
from ir.problems import fault


class Split(OpBase):
    """Splits the text of `field` at `separator`, the last column of `into` taking the rest; or takes the groups of the
    regular expression `pattern` (Rust syntax), one for each column. A text with too few parts sends its row to the
    errors (`quarantine`), leaves what is missing null (`null`) or fails the run (`abort`); null and blank text give
    nulls."""

    type: Literal["split"]
    field: ColumnName
    """The column of the text."""
    separator: str | None = Field(default=None, min_length=1)
    """What stands between two parts."""
    pattern: str | None = Field(default=None, min_length=1)
    """A regular expression with a group for each column."""
    into: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns to write."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What becomes of a text with too few parts."""

    @property
    def makes(self) -> tuple[str, ...]:
        return self.into

    @field_validator("into")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise fault("duplicate_column", "'into' names a column twice", "give each part its own column")
        return names

    @model_validator(mode="after")
    def _one_of_both(self) -> Split:
        if (self.separator is None) == (self.pattern is None):
            hint = "for example 'separator': ',' or 'pattern': '^(\\w+)-(\\d+)$'"
            raise fault("separator_or_pattern", "split takes either a separator or a pattern", hint)
        return self
