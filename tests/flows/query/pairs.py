"""A table with cells, and queries rewritten for it as the op does."""

from __future__ import annotations

import polars as pl

from headrace.flows.compile.ops.sql import with_cells
from headrace.flows.query.cell_pairs import value_type
from headrace.flows.query.result_types import result_columns
from headrace.ir.sql.queries.query import Query

COLUMNS: dict[str, pl.DataType] = {"id": pl.Int64(), "v": pl.Int64(), "u": pl.Int64(), "g": pl.String()}


def compiled(author: Query) -> tuple[Query, frozenset[str], dict[str, pl.DataType], str]:
    """The rewritten query, the columns that it takes as structures, its result and its SQL. Those that are not needed
    as values are text."""
    needed = author.cells(["v", "u"], [*COLUMNS]).values
    columns = {name: pl.String() if name in "vu" and name not in needed else have for name, have in COLUMNS.items()}
    rewritten, types = with_cells(author, columns, sorted(needed), ["v", "u"])
    made, sql = result_columns(rewritten, types)
    return rewritten, frozenset(name for name, dtype in types.items() if value_type(dtype) is not None), made, sql
