"""`rename`: give a column another name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ir.base import ColumnName
from ir.ops.base import OpBase


class Rename(OpBase):
    """Renames `from` to `to`; `to` must not exist yet."""

    type: Literal["rename"]
    source: ColumnName = Field(alias="from")
    """The name it has."""
    to: ColumnName
    """The name it gets."""
