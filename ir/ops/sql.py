"""The op sql: a SELECT over all rows."""

from __future__ import annotations

from typing import Literal

from headrace.ir.base import SqlText
from headrace.ir.ops.base import OpBase


class Sql(OpBase):
    """Runs a SELECT (DuckDB's dialect) over the table `input`, which holds all rows of the previous step. Rows that do
    not fit into memory are written to a folder. Without an ORDER BY the result is ordered by its columns."""

    type: Literal["sql"]
    query: SqlText
    """One SELECT over `input`."""
