"""The base of formats whose columns have types (Parquet, ORC, Avro)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from headrace.connectors.casting.columns import ALWAYS_READABLE, cast_columns, cast_native
from headrace.connectors.casting.nested import to_json
from headrace.connectors.datatypes import MAX_PRECISION, polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import missing_fields
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.source import ROW, Batch, Wanted
from headrace.ir.schema import Schema


def typed_inspection(own: Schema, declared: Schema, pieces: list[Piece]) -> Inspection:
    """The inspection of a file whose columns are `own`."""
    names = tuple(field.name for field in own)
    missing = missing_fields(declared, names)
    if missing:
        pieces = [Piece(piece.rows, {**piece.location, "lacking": list(missing)}) for piece in pieces]
    schema = declared or own
    sure = frozenset(
        field.name for field in schema if field.data_type in ALWAYS_READABLE or field in own or field.name in missing
    )
    return Inspection(schema, pieces, sure, missing, columns=names)


class BatchBuilder:
    """Turns frames of a piece into batches with the wanted columns."""

    def __init__(self, schema: Schema, location: Mapping[str, Any], wanted: Wanted | None) -> None:
        missing = frozenset(location.get("lacking", ()))
        chosen = [field for field in schema if wanted is None or field.name in wanted.columns]
        self._read = tuple(field for field in chosen if field.name not in missing)
        self._nulls = [pl.lit(None, polars_dtype(field)).alias(field.name) for field in chosen if field.name in missing]
        self._order = [field.name for field in chosen]

    @property
    def names(self) -> list[str]:
        """The columns to read from the file."""
        return [field.name for field in self._read]

    def batch(self, raw: pl.DataFrame, first_row: int, rows_done: int, position: int | None = None) -> Batch:
        """A batch of `raw`, whose first row has the number `first_row`; `rows_done` is the number of rows of the piece
        done with it. Raises SourceError(`source_changed`)."""
        gone = [name for name in self.names if name not in raw.columns]
        if gone:
            raise SourceError("source_changed", f"The column '{gone[0]}' no longer exists.", "Start a new run.")
        numbers = pl.int_range(first_row, first_row + raw.height, dtype=pl.Int64, eager=True)
        frame, rejects, _ = cast_columns(raw, numbers, self._read, cast_native)
        if self._nulls:
            frame = frame.with_columns(self._nulls).select(*self._order, ROW)
        return Batch(frame, raw.height, rows_done, rejects, position)


def split_into_runs(rows: list[int], pieces: int) -> list[tuple[int, int, int]]:
    """Divides consecutive parts into at most `pieces` runs of about equal rows: (first part, end, rows)."""
    total, done = sum(rows), 0
    starts: list[int] = []
    for part, count in enumerate(rows):
        if not starts or (len(starts) < pieces and done >= total * len(starts) / pieces):
            starts.append(part)
        done += count
    ends = [*starts[1:], len(rows)] if starts else []
    return [(start, end, sum(rows[start:end])) for start, end in zip(starts, ends, strict=True)] or [(0, 0, 0)]


_OFFSET = re.compile(r"[+-][0-9]{2}(:?[0-9]{2})?|Z", re.ASCII)
_KEY = r'^\{"key":("(?s:.*)")\}$'
_PLAIN_KEY = r'^\{"key":([^"]+)\}$'


def as_frame(table: pa.Table, name: str) -> pl.DataFrame:
    """The table as a frame. Decimals of more than 38 digits become text, maps become JSON objects. Raises SourceError
    with the name of the file (`name`) and the column: polars panics at types it does not have."""
    names = table.column_names
    if len(set(names)) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise SourceError("bad_header", f"Column name '{twice}' is in {name} twice.", "Give every column its own name.")
    return pl.DataFrame([_series(table.column(column), column, name) for column in names])


def _series(values: pa.ChunkedArray, column: str, name: str) -> pl.Series:
    try:
        if pa.types.is_decimal(values.type) and values.type.precision > MAX_PRECISION:
            return pl.Series(column, pl.from_arrow(pc.cast(values, pa.string())))
        if pa.types.is_map(values.type):
            return _objects(values, column)
        if pa.types.is_timestamp(values.type) and _OFFSET.fullmatch(values.type.tz or ""):
            values = pc.cast(values, pa.timestamp(values.type.unit, "UTC"))  # instants; polars has no such zones
        found = pl.from_arrow(values)
    except MemoryError:
        raise  # a problem of this process, not of the file
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        found = None
    if not isinstance(found, pl.Series):
        raise SourceError(
            "unsupported_type",
            f"Column '{column}' of {name} has the type {values.type}, which cannot be read.",
            "Write it as text, or declare `fields` without it.",
        ) from None
    return found.alias(column)


def _objects(values: pa.ChunkedArray, column: str) -> pl.Series:
    """Each map as a JSON object."""
    entry = pa.struct([("key", values.type.key_type), ("value", values.type.item_type)])
    listed = pl.from_arrow(pc.cast(values, pa.list_(entry)))
    assert isinstance(listed, pl.Series)
    boxed = pl.struct(pl.element().struct.field("key")).struct.json_encode()
    key = boxed.str.replace(_KEY, "${1}").str.replace(_PLAIN_KEY, '"${1}"')
    value = pl.element().struct.field("value").map_batches(_json, return_dtype=pl.String)
    members = pl.col(column).list.eval(pl.concat_str(key, value, separator=":")).list.join(",")
    return listed.alias(column).to_frame().select(("{" + members + "}").alias(column)).to_series()


def _json(values: pl.Series) -> pl.Series:
    """Each value as JSON. One with NaN or infinity is written as what is not JSON, and is an error row where that is
    wanted."""
    text, beyond = to_json(values)
    return (text if beyond is None else text.set(beyond, "NaN")).fill_null("null")
