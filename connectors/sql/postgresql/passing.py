"""Rows of a binary COPY as they are, for a PostgreSQL that takes them: which columns, and the values of a key.

The types are those whose binary form says the same to every server, whatever its settings: not money, whose digits are
the database's, and none whose oid is. A value that a batch has no place for (`unreadable`) is noticed by the source, so
that a row is loaded or reported as it would be if its values had been read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa

from headrace.connectors.errors import SourceError
from headrace.connectors.source import BESIDE, PASSED, NotPassed
from headrace.connectors.sql.postgresql.copying import Rows
from headrace.connectors.sql.relation import Column, Scalar

_SCALARS = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "numeric": "numeric",
    "bool": "boolean",
    "text": "text",
    "varchar": "character varying",
    "bpchar": "character",
    "bytea": "bytea",
    "uuid": "uuid",
    "date": "date",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "interval": "interval",
    "json": "json",
    "jsonb": "jsonb",
    "inet": "inet",
    "cidr": "cidr",
}
_NAMES: Mapping[str, str] = {**_SCALARS, **{f"_{kind}": f"{name}[]" for kind, name in _SCALARS.items()}}
"""pg_type's name → the type's as `format_type` writes it, without a modifier. A domain of the same kind has another."""

_EPOCH = datetime(2000, 1, 1)


def _other_rows() -> SourceError:
    return SourceError("query_failed", "The server's rows are not those that were asked for.")


def _moment(cell: bytes) -> datetime:
    return _EPOCH + timedelta(microseconds=_whole(cell))


def _whole(cell: bytes) -> int:
    return int.from_bytes(cell, "big", signed=True)


KEYS: Mapping[str, Callable[[bytes], Scalar]] = {
    "int2": _whole,
    "int4": _whole,
    "int8": _whole,
    "text": lambda cell: cell.decode(),
    "varchar": lambda cell: cell.decode(),
    "uuid": lambda cell: str(uuid.UUID(bytes=cell)),
    "date": lambda cell: (date(2000, 1, 1) + timedelta(days=_whole(cell))).isoformat(),
    "timestamp": lambda cell: _moment(cell).isoformat(" "),
    "timestamptz": lambda cell: _moment(cell).replace(tzinfo=UTC).isoformat(" "),
}
"""By kind, a value of a key as positions have it."""


def passable(column: Column, unreadable: str | None) -> bool:
    """Whether the values of a column can be passed on; `unreadable` is the condition for those that may not."""
    head, _, rest = column.native.partition("(")
    return _NAMES.get(column.kind) == head + rest.partition(")")[2] and (column.sure or unreadable is not None)


def beside(unreadable: Sequence[str], count: int) -> list[str]:
    """The expressions that are selected after the columns. The first is not zero in a row with an unreadable value."""
    conditions = " OR ".join(f"({each})" for each in unreadable)
    first = f"CASE WHEN {conditions} THEN 1::int8 ELSE 0::int8 END" if conditions else "0::int8"
    return [first, *(f"0::int{size}" for _, size in BESIDE[1:count])]


def frames(rows: Iterator[Rows], fields: int, count: int) -> Iterator[pl.DataFrame]:
    """The rows as frames of the column PASSED. `fields` is how many each has, `count` of them after the columns.
    Raises NotPassed, and SourceError for rows that are none."""
    trailing = sum(4 + size for _, size in BESIDE[:count])
    for each in rows:
        begins = each.ends - each.sizes
        short = each.sizes.min() < 2 + trailing
        if short or (each.bytes[begins] != fields >> 8).any() or (each.bytes[begins + 1] != fields & 0xFF).any():
            raise _other_rows()
        if each.bytes[each.ends - trailing + 4 + 7].any():  # the last byte of the first of them
            raise NotPassed("a value has no place in the column's type")
        offsets = np.concatenate([[0], each.ends]).astype(np.int64)
        cells = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(each.ends), [None, pa.py_buffer(offsets), pa.py_buffer(each.bytes)]
        )
        series = pl.from_arrow(cells)
        assert isinstance(series, pl.Series)
        yield series.alias(PASSED).to_frame()


def last_values(rows: pl.DataFrame, places: Sequence[tuple[int, str]]) -> list[Scalar]:
    """Values of the last row of a frame: of the fields at these places, each with its kind."""
    row = rows.get_column(PASSED)[-1]
    cells, at = [], 2
    for _ in range(max(place for place, _ in places) + 1):
        size = _whole(row[at : at + 4])
        cells.append(row[at + 4 : at + 4 + max(0, size)])
        at += 4 + max(0, size)
    try:
        return [KEYS[kind](cells[place]) for place, kind in places]
    except (ValueError, OverflowError):
        raise _other_rows() from None
