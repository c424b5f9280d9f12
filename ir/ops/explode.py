"""`explode`: a list becomes rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.datatypes import DataType
from ir.ops.base import OpBase


class Explode(OpBase):
    """Each row becomes one for each element of the list in `field`: a list column, the text of a JSON list, or, with
    `separator`, separated text. Elements are text (those of a list column keep their type), or are read as `dataType`;
    they stand in `to`, or in place of the list, and their numbers, from 1, in `positionTo`.

    A row without elements stays, with null (`keepEmpty`), or is skipped. Text that is no JSON list, and an element that
    is not of its type, is an error row (`quarantine`), gives null (`null`) or fails the run (`abort`). A list of more
    than `maxElements` is never taken for null."""

    type: Literal["explode"]
    field: ColumnName
    """The column of the list."""
    to: ColumnName | None = None
    """The column for the elements."""
    separator: str | None = Field(default=None, min_length=1)
    """What stands between two elements of a text."""
    data_type: DataType | None = None
    """What elements are read as."""
    position_to: ColumnName | None = None
    """The column for their numbers."""
    keep_empty: bool = True
    """Whether a row without elements stays."""
    max_elements: int = Field(default=100_000, ge=1, le=10_000_000)
    """A longer list is refused."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What becomes of what is no list, or not of the type."""

    @property
    def makes(self) -> tuple[str, ...]:
        made = (self.to or self.field, self.position_to)
        return tuple(name for name in made if name is not None)
