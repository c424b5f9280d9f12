"""`merge`: several columns into one text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.ops.base import OpBase


class Merge(OpBase):
    """Joins the values of `fields`, as text, with `separator` into `to`, which is new or one of them. Nulls are left
    out; where all are null, so is the result."""

    type: Literal["merge"]
    fields: tuple[ColumnName, ...] = Field(min_length=2)
    """The columns to join, in this order."""
    to: ColumnName
    """The column to write."""
    separator: str = " "
    """What stands between two values."""
