"""`trim`: take blanks off the ends of texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.ops.base import OpBase


class Trim(OpBase):
    """Removes white space, or every one of `characters`, from the ends of the texts of `fields`."""

    type: Literal["trim"]
    fields: tuple[ColumnName, ...] = Field(min_length=1)
    """The columns of texts."""
    side: Literal["both", "start", "end"] = "both"
    """Which ends."""
    characters: str | None = Field(default=None, min_length=1)
    """What to remove; white space without it."""
