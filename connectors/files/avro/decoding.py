"""Decodes the rows of blocks into a frame: with polars if every column is simple, else with fastavro."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.files.avro.columns import Column
from headrace.connectors.files.avro.container import MAGIC, written
from headrace.connectors.files.jsontext.cells import cells
from headrace.connectors.files.optional_libraries import import_optional

_SYNC = b"headrace-headrac"
_FAULTS = (
    EOFError, ValueError, TypeError, KeyError, IndexError, StopIteration, OverflowError, ArithmeticError, struct.error,
    RecursionError, AttributeError,
)  # fmt: skip
_WRITER = msgspec.json.Encoder(decimal_format="number")
_VALUES = msgspec.json.Decoder(list[msgspec.Raw])


class Decoder:
    """A decoder for the rows of one file."""

    def __init__(self, schema: Any, columns: Sequence[Column]) -> None:
        fields = [{**field, "type": each.bare} for field, each in zip(schema["fields"], columns, strict=True)]
        for field in fields:
            field.pop("default", None)
        self._columns = columns
        text = json.dumps({**schema, "fields": fields}).encode()
        named = b"avro.schema" + written(len(text)) + text
        self._head = MAGIC + written(1) + written(len(b"avro.schema")) + named + written(0) + _SYNC
        self._simple = all(each.simple for each in columns)

    def frame(self, data: bytes, rows: int, at: int) -> pl.DataFrame:
        """All columns of the rows, in their data types. Raises SourceError(`bad_avro`)."""
        if rows > len(data):  # every column except null takes a byte; a few bytes must not claim any number of rows
            raise _unsound(at, f"{rows:,} rows in {len(data):,} bytes")
        file = self._head + written(rows) + written(len(data)) + data + _SYNC
        found = self._by_polars(file, rows) if self._simple else None
        if found is None:
            found = self._by_fastavro(file, rows, at)
        return found

    def _by_polars(self, file: bytes, rows: int) -> pl.DataFrame | None:
        try:
            raw = pl.read_avro(io.BytesIO(file))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
            return None  # fastavro's message is better
        names = [each.field.name for each in self._columns]
        if raw.height != rows or raw.columns != names:
            return None
        return pl.DataFrame([each.typed(raw.get_column(each.field.name)) for each in self._columns])

    def _by_fastavro(self, file: bytes, rows: int, at: int) -> pl.DataFrame:
        fastavro = import_optional("fastavro", "avro")
        try:
            records = list(fastavro.reader(io.BytesIO(file)))
            if len(records) != rows:
                raise _unsound(at, f"{len(records):,} rows where {rows:,} should be")
            return pl.DataFrame(
                [_series(each, [record[each.field.name] for record in records]) for each in self._columns]
            )
        except _FAULTS as error:
            raise _unsound(at, str(error) or type(error).__name__) from None


def _series(column: Column, values: list[Any]) -> pl.Series:
    field = column.field
    if field.data_type == "json":
        return cells(field.name, _VALUES.decode(_WRITER.encode(values)), verbatim=True).text
    if field.data_type == "decimal":
        return pl.Series(field.name, values, dtype=pl.Decimal(field.precision, field.scale or 0))
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {bytes}:
        return pl.Series(field.name, values, dtype=pl.Binary)
    if field.data_type in ("text", "uuid"):
        return cells(field.name, _VALUES.decode(_WRITER.encode(values))).text
    return column.typed(pl.Series(field.name, values, strict=True))


def _unsound(at: int, why: str) -> SourceError:
    return SourceError("bad_avro", f"It is damaged: the block at byte {at} cannot be read: {why}.", "Send it again.")
