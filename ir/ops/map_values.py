"""`map_values`: put other values in place of known ones."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.ops.base import OpBase

MappedValue = str | bool | int | float | None


class MapValues(OpBase):
    """Replaces the values of `field` that `mapping` names, each key read as the field's own type. The others stay as
    they are, or become `default` when it is given; null stays null. With `to` the result is a new column."""

    type: Literal["map_values"]
    field: ColumnName
    """The column."""
    mapping: dict[str, MappedValue] = Field(min_length=1)
    """Value → what takes its place."""
    default: MappedValue = None
    """What the others become."""
    to: ColumnName | None = None
    """A new column for the result."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.to or self.field,)

    @property
    def has_default(self) -> bool:
        """A default of null is one too."""
        return "default" in self.model_fields_set
