"""The values of one key as a column of a field's type: exact values, or rejected cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from headrace.connectors.casting.columns import MAX_VALUE, cast_native, cast_text
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.mongodb.bson import values
from headrace.connectors.mongodb.bson.json_text import json_text
from headrace.connectors.mongodb.bson.layout import ALIASES, Buffer, Kind, Places
from headrace.connectors.mongodb.bson.table import Elements
from headrace.connectors.source import REJECT_SCHEMA
from headrace.ir.schema import EXPECTED, Field

NOT_UTF8, TWICE = "A text that is not UTF-8", "The key is there twice"
_NESTED_FAULT = "A text in it is not UTF-8, or a document in it has a key twice"
_WRITTEN = (Kind.STRING, Kind.SYMBOL)
_NUMBERS = (Kind.DOUBLE, Kind.INT32, Kind.INT64)
_WHOLE = ("smallint", "integer", "bigint")
_TIMES = ("date", "time", "timestamp", "timestamptz")
_EXACT_DIGITS = 15
"""Decimal digits that a double keeps exactly."""

Converted = tuple[pl.Series, pl.Series | None]
"""Values in a field's type, and a mask of the values that do not fit it (they are null)."""


@dataclass(frozen=True, slots=True)
class Column:
    """`values` has a value or null for each document, `bad` is true where one could not be read, `rejects` says what
    was wrong (REJECT_SCHEMA, rows counted from 0)."""

    values: pl.Series
    rejects: pl.DataFrame | None = None


def column(buffer: Buffer, found: Elements, field: Field, rows: int) -> Column:
    """The elements of one key as a field, of so many documents. Raises Malformed."""
    twice = found.repeated
    if len(twice):
        found = found.some(~np.isin(found.row, twice))
    found = found.present()
    parts, order, rejects = [], [], []
    for kind in np.unique(found.kind).tolist():
        which = np.flatnonzero(found.kind == kind)
        some = found.some(which) if len(which) < len(found.kind) else found
        read, bad = _converted(buffer, kind, some.at, some.size, field)
        parts.append(read)
        order.append(some.row)
        if bad is not None and bad.any():
            rejects.append(_rejected(buffer, kind, some.some(bad.to_numpy()), field))
    if len(twice):
        rejects.append(_lines(pl.Series(twice), None, f"{TWICE}: '{field.name}'", "duplicate"))
    return Column(_placed(parts, order, field, rows), pl.concat(rejects) if rejects else None)


def plain(buffer: Buffer, kind: int, at: Places, size: Places) -> pl.Series:
    """Values as text: strings unchanged, scalars in their usual notation, documents and BSON's special types as
    JSON."""
    if kind in _WRITTEN:
        return values.text(buffer, at, size)
    if kind == Kind.OBJECT_ID:
        return values.object_ids(buffer, at)
    if kind == Kind.BINARY:
        return values.binary_text(buffer, at, size)
    if kind == Kind.DECIMAL:
        return values.decimals(buffer, at)
    if kind == Kind.DATE:
        millis = values.milliseconds(buffer, at)
        text = values.iso(millis)
        return text if not text.null_count() else text.zip_with(text.is_not_null(), json_text(buffer, kind, at, size))
    if kind == Kind.DOUBLE:
        text = values.number(buffer, kind, at).cast(pl.String)
        return text.str.replace("^(-?)inf$", "${1}Infinity")
    return json_text(buffer, kind, at, size)


def _converted(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    match field.data_type:
        case "json":
            return _or_bad(json_text(buffer, kind, at, size))
        case "text" | "varchar":
            return _or_bad(plain(buffer, kind, at, size))
    if kind in _WRITTEN:
        text = values.text(buffer, at, size)
        result, bad = cast_text(text, field)
        return result, _either(bad, text.is_null())
    return _OF.get(field.data_type, _none)(buffer, kind, at, size, field)


def _integer(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    """Doubles or decimals that are whole numbers, as integers."""
    if kind in _NUMBERS:
        return cast_native(values.number(buffer, kind, at), field)
    if kind == Kind.DECIMAL:
        return cast_text(values.decimals(buffer, at).str.replace(r"^(-?\d+)\.0+$", "$1"), field)
    return _none(buffer, kind, at, size, field)


def _decimal(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    """Doubles as the shortest text that parses to the same double."""
    if kind in (Kind.INT32, Kind.INT64):
        return cast_native(values.number(buffer, kind, at), field)
    if kind in (Kind.DOUBLE, Kind.DECIMAL):
        text = plain(buffer, kind, at, size)
        result, bad = cast_text(text, field)
        return result, bad
    return _none(buffer, kind, at, size, field)


def _double(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    """Longs that a double represents exactly, and decimals of up to 15 digits."""
    if kind == Kind.INT64:
        whole = values.number(buffer, kind, at)
        inexact = (whole.cast(pl.Float64).cast(pl.Int64, strict=False) != whole).fill_null(value=True)
        return whole.cast(pl.Float64).set(inexact, None), inexact
    if kind in _NUMBERS:
        return values.number(buffer, kind, at).cast(pl.Float64), None
    if kind == Kind.DECIMAL:
        text = values.decimals(buffer, at)
        digits = text.str.replace("E.*$", "").str.replace_all(r"[-.]", "").str.strip_chars("0").str.len_bytes()
        result, bad = cast_text(text, field)
        fine = (digits > _EXACT_DIGITS) & text.str.contains(r"^-?\d")
        zero = (result == 0) & (digits > 0)
        return result.set(fine | zero, None), _either(bad, fine | zero)
    return _none(buffer, kind, at, size, field)


def _boolean(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    if kind == Kind.BOOL:
        return values.boolean(buffer, at), None
    if kind in (Kind.INT32, Kind.INT64):
        return cast_text(values.number(buffer, kind, at).cast(pl.String), field)
    return _none(buffer, kind, at, size, field)


def _time(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    """Dates at midnight UTC as days; other times do not fit."""
    if kind != Kind.DATE or field.data_type == "time":
        return _none(buffer, kind, at, size, field)
    millis = values.milliseconds(buffer, at)
    moments = values.moments(millis)
    bad = moments.is_null()
    if field.data_type == "date":
        bad = bad | (millis % 86_400_000 != 0)
        return moments.cast(pl.Date).set(bad, None), bad
    return (moments if field.data_type == "timestamptz" else moments.dt.replace_time_zone(None)), bad


def _uuid(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    if kind != Kind.BINARY:
        return _none(buffer, kind, at, size, field)
    fits = values.is_uuids(buffer, at, size)
    return values.binary_text(buffer, at, size).set(~fits, None), ~fits


def _none(buffer: Buffer, kind: int, at: Places, size: Places, field: Field) -> Converted:
    """No value of the type fits the field."""
    del buffer, kind, size
    return pl.Series([None], dtype=polars_dtype(field)).new_from_index(0, len(at)), pl.Series([True]).new_from_index(
        0, len(at)
    )


_OF: dict[str, Callable[[Buffer, int, Places, Places, Field], Converted]] = {
    **dict.fromkeys(_WHOLE, _integer),
    **dict.fromkeys(_TIMES, _time),
    "decimal": _decimal,
    "double": _double,
    "boolean": _boolean,
    "uuid": _uuid,
}


def _or_bad(text: pl.Series) -> Converted:
    """Every value has a text, except invalid UTF-8."""
    return text, text.is_null() if text.null_count() else None


def _either(one: pl.Series | None, other: pl.Series) -> pl.Series:
    return other if one is None else one | other


def _rejected(buffer: Buffer, kind: int, bad: Elements, field: Field) -> pl.DataFrame:
    """The rejects of cells. Invalid text rejects the row as a whole."""
    text = plain(buffer, kind, bad.at, bad.size)
    rows = pl.Series(bad.row)
    broken = text.is_null()
    parts = []
    if broken.any():
        what = NOT_UTF8 if kind in values.TEXTS else _NESTED_FAULT
        parts.append(_lines(rows.filter(broken), None, f"{what}: '{field.name}'", "encoding"))
    if not broken.all():
        error = f"{EXPECTED[field.data_type]}, not a value of the type {ALIASES[Kind(kind)]}"
        if (
            kind in _WRITTEN
            or kind in _NUMBERS
            or kind == Kind.DECIMAL
            or (kind == Kind.DATE and field.data_type in _TIMES)
        ):
            error = EXPECTED[field.data_type]
        lines = _lines(rows.filter(~broken), text.filter(~broken), error, "type")
        parts.append(lines.with_columns(pl.lit(field.name).alias("column")))
    return pl.concat(parts)


def _lines(rows: pl.Series, text: pl.Series | None, error: str, rule: str) -> pl.DataFrame:
    value = pl.lit(None, dtype=pl.String) if text is None else text.str.slice(0, MAX_VALUE).alias("value")
    frame = pl.DataFrame({"row": rows.cast(pl.Int64)})
    return frame.with_columns(
        column=pl.lit(None, dtype=pl.String), value=value, error=pl.lit(error), rule=pl.lit(rule)
    ).select(list(REJECT_SCHEMA))


def _placed(parts: list[pl.Series], order: list[Places], field: Field, rows: int) -> pl.Series:
    """One column with the parts at their rows; other rows are null."""
    dtype = polars_dtype(field)
    if not parts:
        return pl.Series(field.name, [None], dtype=dtype).new_from_index(0, rows)
    whole = pl.concat([part.cast(dtype).alias("v").rechunk() for part in parts]) if len(parts) > 1 else parts[0]
    row = np.concatenate(order)
    if len(row) == rows and (len(parts) == 1 and (rows == 0 or bool((row == np.arange(rows)).all()))):
        return whole.cast(dtype).alias(field.name)
    places = np.full(rows, -1, dtype=np.int64)
    places[row] = np.arange(len(row))
    index = pl.Series(places)
    return whole.cast(dtype).gather(index.set(index < 0, None)).alias(field.name)
