"""`sort`: the order in which rows are loaded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ir.ops.base import OpBase
from ir.ops.ordering import Orders


class Sort(OpBase):
    """Orders all rows by `by`, nulls last; equal ones as in the source. They are loaded by one partition then."""

    type: Literal["sort"]
    by: Annotated[Orders, Field(min_length=1)]
    """The columns, the first before the others."""
