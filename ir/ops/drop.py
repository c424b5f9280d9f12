"""`drop`: leave columns out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.ops.base import OpBase


class Drop(OpBase):
    """Removes `fields`; each must exist."""

    type: Literal["drop"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns to leave out."""
