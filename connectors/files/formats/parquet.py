"""Parquet files: pieces are runs of row groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.base import ROW, Batch, Bound, SourceError, Wanted
from connectors.casting import ALWAYS_READABLE, cast_native, settle
from connectors.files.delimited.dialect import check_declared, near
from connectors.files.formats.base import Inspection, Piece
from connectors.files.formats.row_groups import none_within
from connectors.types import field_of_polars, polars_dtype
from ir.schema import Field, Schema

BATCH_ROWS = 65_536


class Parquet:
    """Has no options: the file says everything."""

    def __init__(self, options: Mapping[str, Any], *, batch_rows: int = BATCH_ROWS) -> None:
        for name in options:
            if name != "compression":
                raise SourceError("bad_option", f"Unknown option '{name}' of parquet.", near(name, ("compression",)))
        self._batch_rows = batch_rows

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """Reads the footer only. Raises SourceError."""
        with _open(path, name) as file:
            frame = _empty(file)
            check_declared(declared, frame.columns, name)
            schema = declared or tuple(field_of_polars(column, dtype) for column, dtype in frame.schema.items())
            rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
            sure = frozenset(field.name for field in schema if _sure(field, frame.schema))
        return Inspection(schema, _runs(rows, pieces), sure)

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
        """See FileFormat; `position` is not used, row groups tell their rows. Row groups whose statistics say that no
        row is within the wanted bounds are left unread."""
        skip, groups = rows_done, list(range(int(piece.location["firstGroup"]), int(piece.location["endGroup"])))
        with _open(path, name) as file:
            held = _empty(file).schema
            check_declared(schema, held.names(), name)
            while groups and skip >= file.metadata.row_group(groups[0]).num_rows:
                skip -= file.metadata.row_group(groups.pop(0)).num_rows
            read = [field for field in schema if wanted is None or field.name in wanted.columns] or [*schema[:1]]
            bounds = () if wanted is None else _usable(wanted.bounds, read, held)
            for unread, run in groupby(groups, lambda group: none_within(file.metadata.row_group(group), bounds)):
                neighbours = list(run)
                if unread:
                    rows = sum(file.metadata.row_group(group).num_rows for group in neighbours) - skip
                    rows_done, skip = rows_done + rows, 0
                    yield Batch(_nothing(read), rows, rows_done, unread=True)
                    continue
                columns = [field.name for field in read]
                for part in file.iter_batches(self._batch_rows, row_groups=neighbours, columns=columns):
                    raw = _frame(pa.Table.from_batches([part]))
                    if skip >= raw.height:
                        skip -= raw.height
                        continue
                    raw, skip = raw.slice(skip), 0
                    begin = first_row + rows_done
                    numbers = pl.int_range(begin, begin + raw.height, dtype=pl.Int64, eager=True)
                    frame, rejects, _ = settle(raw, numbers, tuple(read), cast_native)
                    rows_done += raw.height
                    yield Batch(frame, raw.height, rows_done, rejects)
        if rows_done != piece.rows:
            raise SourceError("source_changed", f"{name} is not what it was when the run started.", "Start a new run.")


def _open(path: Path, name: str) -> pq.ParquetFile:
    if path.stat().st_size == 0:
        raise SourceError("empty_file", f"{name} is empty.", "A Parquet file has at least a footer.")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(
            "bad_parquet", f"{name} is not a readable Parquet file: {str(error).splitlines()[0]}"
        ) from None


def _empty(file: pq.ParquetFile) -> pl.DataFrame:
    return _frame(file.schema_arrow.empty_table())


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _sure(field: Field, held: pl.Schema) -> bool:
    """Whether every value the file has can be read as the field: it is text, or in the file of just that type."""
    return field.data_type in ALWAYS_READABLE or field == field_of_polars(field.name, held[field.name])


def _usable(bounds: tuple[Bound, ...], read: list[Field], held: pl.Schema) -> tuple[Bound, ...]:
    """Those that are about values as the file has them; none where a row may be rejected for its values."""
    if not all(_sure(field, held) for field in read):
        return ()
    as_held = {
        field.name
        for field in read
        if field == field_of_polars(field.name, held[field.name]) and held[field.name] != pl.Datetime("ns")
    }
    return tuple(bound for bound in bounds if bound.column in as_held)


def _nothing(read: list[Field]) -> pl.DataFrame:
    return pl.DataFrame(schema={field.name: polars_dtype(field) for field in read} | {ROW: pl.Int64})


def _runs(rows: list[int], pieces: int) -> list[Piece]:
    """Row groups in at most `pieces` runs of about equal rows."""
    total, done = sum(rows), 0
    starts: list[int] = []
    for group, count in enumerate(rows):
        if not starts or (len(starts) < pieces and done >= total * len(starts) / pieces):
            starts.append(group)
        done += count
    ends = [*starts[1:], len(rows)] if starts else []
    runs = [
        Piece(sum(rows[start:end]), {"firstGroup": start, "endGroup": end})
        for start, end in zip(starts, ends, strict=True)
    ]
    return runs or [Piece(0, {"firstGroup": 0, "endGroup": 0})]
