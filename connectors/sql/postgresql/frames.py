"""Converts text of COPY to frames: types that polars parses exactly are parsed, the rest stay text.

In COPY's text format no row has a line's end or a tab in a value: they are escaped, as is the backslash, and null is
`\\N`. So nothing has to be quoted, and an empty text is not null.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from polars.datatypes import DataTypeClass
from polars.exceptions import PolarsError

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.sql.select import Asked
from headrace.connectors.sql.stamps import read_stamps

Dtype = pl.DataType | DataTypeClass

_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\b": "\b", "\\f": "\f", "\\v": "\v"}
_PLAIN: frozenset[str] = frozenset(("smallint", "integer", "bigint", "double", "boolean"))
_MAY_FAIL: frozenset[str] = frozenset(("decimal", "date"))
_NEVER_ESCAPED: frozenset[str] = frozenset(("decimal", "date", "time", "timestamp", "timestamptz", "uuid"))
_STAMPS = ("timestamp", "timestamptz")
FIRST = "0"
"""The name of a constant first column: with it, a leading byte-order mark is not skipped, and a row of one empty text
is not an empty line."""


class Frames:
    """Converts pieces of one COPY to frames of the selected columns. The statement selects a 1 before them."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = tuple(asked)
        self._risky = frozenset(
            place
            for place, each in enumerate(asked)
            if not each.as_declared and each.column.field.data_type in _MAY_FAIL and _sized(each)
        )
        self._as_text: frozenset[int] = frozenset()
        """Columns with a value that does not fit their type: NaN, infinity, a year of five digits."""

    def frame(self, piece: bytes) -> pl.DataFrame:
        """The rows of a piece. A value that does not fit its column's type makes the column text."""
        try:
            raw = self._read(piece, self._as_text)
        except PolarsError:
            raw = self._read(piece, self._risky)
            tried = {place: _tried(raw[:, place + 1], self._dtype(place)) for place in self._risky}
            self._as_text |= {place for place in tried if tried[place].null_count() > raw[:, place + 1].null_count()}
            raw = raw.with_columns(each for place, each in tried.items() if place not in self._as_text)
        if not self._asked:  # only the number of rows is needed
            return raw
        raw = raw.drop(FIRST)
        return pl.DataFrame([self._finished(raw[:, place], each) for place, each in enumerate(self._asked)])

    def _read(self, piece: bytes, as_text: frozenset[int]) -> pl.DataFrame:
        schema: dict[str, Dtype] = {FIRST: pl.Int8}
        for place in range(len(self._asked)):
            schema[str(place + 1)] = pl.String if place in as_text else self._dtype(place)
        return pl.read_csv(
            piece,
            schema=schema,
            has_header=False,
            separator="\t",
            quote_char=None,
            null_values="\\N",
            empty_string_is_null=False,
        )

    def _dtype(self, place: int) -> Dtype:
        asked = self._asked[place]
        plain = asked.column.field.data_type in _PLAIN or place in self._risky
        return polars_dtype(asked.column.field) if plain and not asked.as_declared else pl.String

    def _finished(self, values: pl.Series, asked: Asked) -> pl.Series:
        values = values.alias(asked.column.name)
        if values.dtype != pl.String:
            return values
        kind = asked.column.field.data_type
        if kind in _STAMPS and not asked.as_declared:
            return _stamps(values, aware=kind == "timestamptz")
        if kind in _NEVER_ESCAPED or not values.str.contains("\\", literal=True).any():
            return values
        return values.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))


def typed(values: pl.Series, asked: Asked) -> pl.Series:
    """Texts of the server, not escaped, as `Frames` reads them from a COPY of `types.expression`."""
    field = asked.column.field
    if asked.column.kind == "bool":
        if not asked.as_declared:
            return values == "t"
        return values.replace_strict({"t": "true", "f": "false"}, return_dtype=pl.String)
    if asked.as_declared:
        return values
    if asked.column.kind == "float4":
        return values.cast(pl.Float32).cast(pl.Float64)
    if field.data_type in _PLAIN:
        return values.cast(polars_dtype(field))
    if field.data_type in _MAY_FAIL and _sized(asked):
        found = _tried(values, polars_dtype(field))
        return values if found.null_count() > values.null_count() else found
    return _stamps(values, aware=field.data_type == "timestamptz") if field.data_type in _STAMPS else values


def _sized(asked: Asked) -> bool:
    """Whether each value has as many digits as the type says, so that none can be lost."""
    return asked.column.field.data_type != "decimal" or asked.column.field.precision is not None


def _tried(values: pl.Series, dtype: Dtype) -> pl.Series:
    return values.str.to_date("%Y-%m-%d", strict=False) if dtype == pl.Date else values.cast(dtype, strict=False)


def _stamps(values: pl.Series, *, aware: bool) -> pl.Series:
    """Parses `2024-01-31 10:00:00.5+00`. The column stays text if a value has another form: infinite, before Christ, or
    with a year of five digits."""
    read = read_stamps(values.str.strip_suffix("+00") if aware else values, aware=aware)
    return values if read.dtype == pl.String else read
