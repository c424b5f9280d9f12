"""`deduplicate`: one row for each key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ir.ops.base import OpBase
from ir.ops.ordering import Columns, Orders


class Deduplicate(OpBase):
    """Of rows with equal `keys` (nulls are equal) the first or the last is kept: by `orderBy`, where a null never wins
    against a value, and by the order in the source. The others are skipped, and counted."""

    type: Literal["deduplicate"]
    keys: Annotated[Columns, Field(min_length=1)]
    """The columns that tell rows apart."""
    keep: Literal["first", "last"] = "first"
    """Which of equal ones stays."""
    order_by: Orders = ()
    """The order by which one is first; that of the source without it."""
