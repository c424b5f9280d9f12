"""`fill_null`: a value where there is none."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ir.base import ColumnName
from ir.ops.base import OpBase
from ir.problems import fault


class FillNull(OpBase):
    """Puts `value`, or what stands in the column `from`, where one of `fields` is null; with `blank`, also where its
    text is empty or blank."""

    type: Literal["fill_null"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns with gaps."""
    value: str | bool | int | float | None = None
    """A constant."""
    source: ColumnName | None = Field(default=None, alias="from")
    """The column to take it from."""
    blank: bool = False
    """Whether blank text is a gap too."""

    @model_validator(mode="after")
    def _one_of_both(self) -> FillNull:
        if (self.value is None) == (self.source is None):
            raise fault("value_or_from", "fill_null takes either a value or a column", "give 'value' or 'from'")
        return self
