"""Column types guessed from samples: only what every sampled value supports, text when in doubt."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from connectors.casting import cast_text
from connectors.files.delimited.dialect import Dialect
from connectors.files.delimited.parse import ChunkParser
from ir.datatypes import DataType
from ir.schema import Field, Schema

_INTEGER = r"^[+-]?(?:0|[1-9][0-9]{0,18})$"
_NUMBER = r"^[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_TOO_LONG = r"^[+-]?(?:0*\.?0*)[1-9](?:\.?\d){15,}"
"""A number with more significant digits than a double keeps."""

_BOOLEAN = r"^(?i:true|false)$"
_DATE = r"^\d{4}-\d\d-\d\d$"
_STAMP = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?$"
_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[zZ]|[+-]\d\d(?::?\d\d)?)$"
_PATTERNS: tuple[tuple[str, DataType], ...] = (
    (_BOOLEAN, "boolean"),
    (_INTEGER, "bigint"),
    (_NUMBER, "double"),
    (_DATE, "date"),
    (_STAMP, "timestamp"),
    (_ZONED, "timestamptz"),
)

INTEGER_MAX = 2**31 - 1
SURE = 100_000_000
"""Sampled whole numbers below this are taken as integer; nearer to its limit, unseen values might not fit."""


def infer(samples: Sequence[bytes], dialect: Dialect, names: tuple[str, ...], *, complete: bool) -> Schema:
    """Fields for the columns; `complete` says that the samples are the whole file. No values at all make text."""
    parser = ChunkParser(dialect, names, tuple(Field(name, "text") for name in names))
    frames = [parser.parse(sample, 1).frame.select(names) for sample in samples if sample]
    if not frames:
        return tuple(Field(name, "text") for name in names)
    sampled = pl.concat(frames)
    return tuple(_field(sampled.get_column(name), complete=complete) for name in names)


def widen(one: DataType, other: DataType) -> DataType:
    """The narrowest type that holds both."""
    if one == other:
        return one
    order: list[DataType] = ["smallint", "integer", "bigint", "double"]
    if one in order and other in order:
        return max(one, other, key=order.index)
    if {one, other} == {"date", "timestamp"}:
        return "timestamp"
    return "text"


def _field(values: pl.Series, *, complete: bool) -> Field:
    text = values.drop_nulls()
    if not text.len():
        return Field(values.name, "text")
    for pattern, data_type in _PATTERNS:
        if not text.str.contains(pattern).all():
            continue
        if data_type == "double" and text.str.contains(_TOO_LONG).any():
            return Field(values.name, "text")
        typed, bad = cast_text(text, Field(values.name, data_type))
        if bad is not None:
            return Field(values.name, "text")
        return Field(values.name, _narrowed(typed, complete=complete) if data_type == "bigint" else data_type)
    if text.str.contains(f"{_DATE}|{_STAMP}").all():
        return Field(values.name, "timestamp")
    return Field(values.name, "text")


def _narrowed(numbers: pl.Series, *, complete: bool) -> DataType:
    limit = INTEGER_MAX if complete else SURE
    low, high = numbers.min(), numbers.max()
    return "integer" if isinstance(low, int) and isinstance(high, int) and -limit <= low and high <= limit else "bigint"
