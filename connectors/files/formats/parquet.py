"""Parquet files: pieces are runs of row groups."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.parquet import ColumnChunkMetaData, RowGroupMetaData

from headrace.connectors.casting.columns import ALWAYS_READABLE, cast_columns, cast_native
from headrace.connectors.casting.nested import always_json
from headrace.connectors.datatypes import field_of_polars, polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import check_declared, missing_fields
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.files.formats.options import check_options
from headrace.connectors.files.formats.parquet_batches import bounded_batches, opened
from headrace.connectors.files.formats.typed_rows import as_frame, split_into_runs
from headrace.connectors.source import ROW, Batch, Bound, Comparison, Fitting, Wanted
from headrace.ir.schema import Field, Schema

_LOW: dict[Comparison, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, "=": operator.le}
"""By comparison: how the smallest value must compare with the bound's value for any row to be within it."""
_HIGH: dict[Comparison, Callable[[Any, Any], bool]] = {">": operator.gt, ">=": operator.ge, "=": operator.ge}

_ORDERED: tuple[type, ...] = (int, Decimal, str, date, datetime)
"""Types with reliable statistics: those of floats leave out NaN, which compares above all others."""


def excluded_by_statistics(group: RowGroupMetaData, bounds: Iterable[Bound]) -> bool:
    """Whether some bound excludes all rows of the group."""
    wanted = {bound.column: bound for bound in bounds}
    if not wanted:
        return False
    found = {}
    for index in range(group.num_columns):
        column = group.column(index)
        found[column.path_in_schema] = column
    return any(bound.column in found and _excludes(found[bound.column], bound) for bound in bounds)


def _excludes(column: ColumnChunkMetaData, bound: Bound) -> bool:
    held = column.statistics
    if held is None:
        return False
    if held.has_null_count and held.null_count == column.num_values:
        return True  # null is within no bound
    if not held.has_min_max:
        return False
    try:
        low, high = held.min, held.max
    except (OverflowError, ValueError):
        return False  # a date or time that Python cannot represent
    if type(low) not in _ORDERED or not _are_comparable(low, bound.value):
        return False
    if bound.comparison in _LOW and not _LOW[bound.comparison](low, bound.value):
        return True
    return bound.comparison in _HIGH and not _HIGH[bound.comparison](high, bound.value)


def _are_comparable(held: object, value: object) -> bool:
    """Whether the two can be compared: a date and a datetime cannot, nor datetimes with and without a zone."""
    if isinstance(held, datetime) and isinstance(value, datetime):
        return (held.tzinfo is None) == (value.tzinfo is None)
    numbers = isinstance(held, int | Decimal) and isinstance(value, int | Decimal)
    return numbers or type(held) is type(value)


BATCH_ROWS = 65_536


class Parquet:
    """Parquet files. They have no options."""

    unpacked = True

    def __init__(self, options: Mapping[str, Any], *, batch_rows: int = BATCH_ROWS) -> None:
        check_options(options, (), "parquet")
        self._batch_rows = batch_rows

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """Reads the footer only. Raises SourceError."""
        with _open(path, name) as file:
            frame = _empty(file, name, [field.name for field in declared] or None)
            missing = missing_fields(declared, file.schema_arrow.names)
            schema = declared or tuple(
                Field(column, "json") if is_map(file, column) else field_of_polars(column, dtype)
                for column, dtype in frame.schema.items()
            )
            rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
            sure = frozenset(
                field.name for field in schema if field.name in missing or _always_readable(field, frame.schema)
            )
        also: dict[str, Any] = {"lacking": list(missing)} if missing else {}
        parts = [
            Piece(count, {"firstGroup": first, "endGroup": stop, **also})
            for first, stop, count in split_into_runs(rows, pieces)
        ]
        return Inspection(schema, parts, sure, missing, columns=tuple(file.schema_arrow.names))

    def types_of(self, path: Path, name: str, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Empty: the file declares its types."""
        return {}

    def read(
        self,
        path: Path,
        name: str,
        piece: Piece,
        schema: Schema,
        *,
        first_row: int,
        rows_done: int,
        position: int | None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        """`position` is not used: the row counts of row groups are known. Row groups whose statistics exclude the
        wanted bounds are not read."""
        skip, groups = rows_done, list(range(int(piece.location["firstGroup"]), int(piece.location["endGroup"])))
        with _open(path, name) as file:
            missing = frozenset(piece.location.get("lacking", ()))
            wanting = [field for field in schema if field.name not in missing]
            check_declared(tuple(wanting), file.schema_arrow.names, name)
            held = _empty(file, name, [field.name for field in wanting]).schema
            while groups and skip >= file.metadata.row_group(groups[0]).num_rows:
                skip -= file.metadata.row_group(groups.pop(0)).num_rows
            chosen = [field for field in schema if wanted is None or field.name in wanted.columns] or [*schema[:1]]
            nulls = [pl.lit(None, polars_dtype(field)).alias(field.name) for field in chosen if field.name in missing]
            there = [field for field in schema if field.name not in missing]
            read = [field for field in chosen if field.name not in missing] or there[:1]
            bounds = () if wanted is None else _usable_bounds(wanted.bounds, read, held)
            for unread, run in groupby(
                groups, lambda group: excluded_by_statistics(file.metadata.row_group(group), bounds)
            ):
                neighbours = list(run)
                if unread:
                    rows = sum(file.metadata.row_group(group).num_rows for group in neighbours) - skip
                    rows_done, skip = rows_done + rows, 0
                    yield Batch(_empty_batch(chosen), rows, rows_done, unread=True)
                    continue
                columns = [field.name for field in read]
                for part in _batches(file, name, self._batch_rows, neighbours, columns):
                    raw = as_frame(part, name)
                    if skip >= raw.height:
                        skip -= raw.height
                        continue
                    raw, skip = raw.slice(skip), 0
                    begin = first_row + rows_done
                    numbers = pl.int_range(begin, begin + raw.height, dtype=pl.Int64, eager=True)
                    frame, rejects, _ = cast_columns(raw, numbers, tuple(read), cast_native)
                    rows_done += raw.height
                    if nulls:
                        frame = frame.with_columns(nulls).select(*(field.name for field in chosen), ROW)
                    yield Batch(frame, raw.height, rows_done, rejects)
        if rows_done != piece.rows:
            raise SourceError("source_changed", f"{name} has changed since the run started.", "Start a new run.")


def _open(path: Path, name: str) -> pq.ParquetFile:
    if path.stat().st_size == 0:
        raise SourceError("empty_file", f"{name} is empty.", "A Parquet file has at least a footer.")
    try:
        # INT96, as Spark and Impala write it, would overflow in nanoseconds.
        return opened(path, coerce_int96_timestamp_unit="us")
    except MemoryError:
        raise  # a problem of this process, not of the file
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            "bad_parquet", f"{name} is not a readable Parquet file: {str(error).splitlines()[0]}"
        ) from None


def _empty(file: pq.ParquetFile, name: str, columns: list[str] | None) -> pl.DataFrame:
    """An empty frame with those of the columns that the file has. Raises SourceError."""
    table = file.schema_arrow.empty_table()
    if columns is not None:
        table = table.select([column for column in dict.fromkeys(columns) if column in table.column_names])
    return as_frame(table, name)


def _batches(file: pq.ParquetFile, name: str, rows: int, groups: list[int], columns: list[str]) -> Iterator[pa.Table]:
    try:
        yield from bounded_batches(file, groups, columns, rows)
    except MemoryError:
        raise  # a problem of this process, not of the file
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            "bad_parquet",
            f"{name} is damaged: {str(error).splitlines()[0]}",
            "Write it again, or compare it with the original.",
        ) from None


def is_map(file: pq.ParquetFile, column: str) -> bool:
    """Whether the column holds maps, which become JSON objects."""
    return bool(pa.types.is_map(file.schema_arrow.field(column).type))


def _always_readable(field: Field, held: pl.Schema) -> bool:
    """Whether every value in the file can be read as the field: it is text, or has exactly that type in the file."""
    have = held[field.name]
    if have.is_nested():
        return always_json(have)
    return field.data_type in ALWAYS_READABLE or field == field_of_polars(field.name, have)


def _usable_bounds(bounds: tuple[Bound, ...], read: list[Field], held: pl.Schema) -> tuple[Bound, ...]:
    """The bounds on columns that are read with the file's own type; none if a row may be rejected for its values."""
    if not all(_always_readable(field, held) for field in read):
        return ()
    as_held = {
        field.name
        for field in read
        if field == field_of_polars(field.name, held[field.name]) and held[field.name] != pl.Datetime("ns")
    }
    return tuple(bound for bound in bounds if bound.column in as_held)


def _empty_batch(read: list[Field]) -> pl.DataFrame:
    return pl.DataFrame(schema={field.name: polars_dtype(field) for field in read} | {ROW: pl.Int64})
