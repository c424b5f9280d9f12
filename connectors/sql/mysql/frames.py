"""Converts rows of text to frames: columns whose texts surely fit their type are parsed, the rest stay text.

Rows become columns a few at a time, while they are in the processor's cache, which takes a third of the time that a
whole frame's take at once; types are read of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.sql.mysql.session import Session
from headrace.connectors.sql.mysql.types import WEIGHT, WEIGHT_NO_PAD
from headrace.connectors.sql.relation import Column
from headrace.connectors.sql.select import Asked
from headrace.connectors.sql.stamps import read_dates, read_stamps

FRAME_BYTES = 16 * 1024 * 1024
"""The size limit of a frame in bytes, unless a single row is larger."""

FIRST = "0"
"""The constant that each row has before its columns."""

_FEW, _FIRST, _FEW_WIDE = 1024, 64, 512
_READ = frozenset(("smallint", "integer", "bigint", "decimal", "double"))
_BYTES = frozenset(("bit", "bytes", WEIGHT, WEIGHT_NO_PAD))
_WIDE = frozenset(("text", "bytes", "json"))
_NARROW = 100
"""The most characters of a narrow text."""


def frames(session: Session, asked: Sequence[Asked], rows: int) -> Iterator[pl.DataFrame]:
    """The rows that a session has begun to read, at most `rows` at a time and about FRAME_BYTES: the columns asked for,
    in that order. The statement selects a 1 before them. Raises SourceError."""
    most = _FEW_WIDE if any(_is_wide(each.column) for each in asked) else _FEW
    few, ended = _FIRST, False
    while not ended:
        taken: list[pl.DataFrame] = []
        left, size = rows, 0
        while left and size < FRAME_BYTES:
            count = min(few, left)
            found = session.some(count)
            if found:
                taken.append(_as_written(found, asked))
                size += int(taken[-1].estimated_size())
                left -= len(found)
                few = max(1, min(most, FRAME_BYTES // 4 * (rows - left) // max(1, size)))
            if ended := len(found) < count:
                break
        if taken:
            whole = pl.concat(taken)
            read = [_read(whole.get_column(each.column.name), each) for each in asked]
            yield pl.DataFrame(read) if read else whole


def _as_written(rows: Sequence[tuple[Any, ...]], asked: Sequence[Asked]) -> pl.DataFrame:
    first, *columns = zip(*rows, strict=True)
    if not asked:  # only the number of rows is needed
        return pl.DataFrame({FIRST: first})
    return pl.DataFrame(
        [
            pl.Series(each.column.name, values, dtype=pl.Binary if _is_binary(each) else pl.String)
            for values, each in zip(columns, asked, strict=True)
        ]
    )


def _read(values: pl.Series, asked: Asked) -> pl.Series:
    kind = asked.column.field.data_type
    if values.dtype == pl.Binary or asked.as_declared:
        return values
    if kind in _READ:
        return values.cast(polars_dtype(asked.column.field))
    if kind == "date":
        return read_dates(values)
    if kind in ("timestamp", "timestamptz"):
        return read_stamps(values, aware=kind == "timestamptz")
    return values


def _is_binary(asked: Asked) -> bool:
    return asked.column.kind in _BYTES and not (asked.column.kind == "bit" and asked.as_declared)


def _is_wide(column: Column) -> bool:
    length = column.field.precision if column.field.data_type == "varchar" else None
    return column.kind in _WIDE and (length is None or length > _NARROW)
