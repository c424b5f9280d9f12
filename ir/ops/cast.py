"""`cast`: change a column's type."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.datatypes import DataType
from ir.ops.base import OpBase


class Cast(OpBase):
    """Casts `field` to `to`; `format` is strptime-like for text to date or time. A value that cannot be cast sends its
    row to the errors (`quarantine`), becomes null (`null`), or fails the run (`abort`)."""

    type: Literal["cast"]
    field: ColumnName
    """The column."""
    to: DataType
    """Its new type."""
    precision: int | None = Field(default=None, ge=1, le=38)
    """Digits of a decimal in all."""
    scale: int | None = Field(default=None, ge=0, le=38)
    """Digits behind its point."""
    format: str | None = None
    """For example `%d.%m.%Y`."""
    on_error: Literal["quarantine", "null", "abort"] = "quarantine"
    """What becomes of a value that cannot be cast."""
