"""`expression`: compute a column from a SQL expression."""

from __future__ import annotations

from typing import Literal

from ir.base import ColumnName, SqlText
from ir.ops.base import OpBase


class Expression(OpBase):
    """Creates or replaces `field` with a scalar SQL expression over the row's columns."""

    type: Literal["expression"]
    field: ColumnName
    """The column, new or not."""
    expression: SqlText
    """SQL over the row, in the polars dialect."""
