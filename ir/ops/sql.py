"""`sql`: a query over all rows."""

from __future__ import annotations

from typing import Literal

from ir.base import SqlText
from ir.ops.base import OpBase


class Sql(OpBase):
    """A SELECT (polars' dialect) over the one table `input`, which holds all rows before it: they must fit in memory.
    Without an ORDER BY the result is ordered by its columns."""

    type: Literal["sql"]
    query: SqlText
    """One SELECT over `input`."""
