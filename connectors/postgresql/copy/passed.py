"""Rows that a source passes on as its server wrote them: what the target fills in, and the COPY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import psycopg
from psycopg import sql

from headrace.connectors.postgresql.tables.describe import Table
from headrace.connectors.source import BESIDE, PASSED, ROW, NotPassed

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"


def check_types(table: Table, types: Mapping[str, str]) -> None:
    """Raises NotPassed where a column of the table is of another type than its values."""
    for name, native in types.items():
        column = table.column(name)
        if column is None or column.sql_type != native:
            raise NotPassed(f"{table.qualified} has changed: '{name}' is not {native} any more")


def copy_passed(
    connection: psycopg.Connection[Any],
    table: sql.Composable,
    frame: pl.DataFrame,
    columns: Sequence[str],
    load_id: int,
    partition: int | None,
) -> None:
    """Copies the rows of a frame (PASSED, ROW) in the caller's transaction. `columns` are those of the data;
    `partition` is that of a staging table, which has the row's number and partition besides the load's id. Raises
    NotPassed where they are not as many rows as they are said to be."""
    beside = [name for name, _ in BESIDE][: 1 if partition is None else len(BESIDE)]
    names = sql.SQL(", ").join(sql.Identifier(name) for name in [*columns, *beside])
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, names)
    values = [np.array([load_id], np.int64)]
    if partition is not None:
        values += [frame.get_column(ROW).to_numpy(), np.array([partition], np.int32)]
    cursor = connection.cursor()
    with cursor.copy(statement) as copy:
        copy.write(_HEADER)
        copy.write(_filled(frame.get_column(PASSED), values).data)
        copy.write(_END)
    if cursor.rowcount != frame.height:  # a source's server may be anybody's
        raise NotPassed(f"{cursor.rowcount:,} rows came where {frame.height:,} were counted")


def _filled(rows: pl.Series, values: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """All rows, with the values of their last fields: one for each row, or one for all."""
    cells = rows.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, begins, content = cells.buffers()
    offsets = np.frombuffer(begins, np.int64)[cells.offset : cells.offset + len(cells) + 1]
    filled = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]].copy()
    at = offsets[1:] - offsets[0]
    for each in reversed(values):
        at = at - each.itemsize
        # the numbers that begin at each byte: they overlap, and those at `at` do not
        anywhere = np.ndarray(filled.size - each.itemsize + 1, each.dtype.newbyteorder(">"), filled.data, strides=(1,))
        anywhere[at] = each
        at = at - 4  # the field's size
    return filled
