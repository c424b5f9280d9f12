"""`unpivot`: columns become rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ir.base import ColumnName
from ir.ops.base import OpBase
from ir.ops.ordering import Columns


class Unpivot(OpBase):
    """Each row becomes one for each of `fields`, with its name in the column `nameTo` and its value in `valueTo`; the
    other columns are repeated. Fields of several types become text."""

    type: Literal["unpivot"]
    fields: Annotated[Columns, Field(min_length=1)]
    """The columns that become rows."""
    name_to: ColumnName = "name"
    """The column for their names."""
    value_to: ColumnName = "value"
    """The column for their values."""

    @property
    def makes(self) -> tuple[str, ...]:
        return (self.name_to, self.value_to)
