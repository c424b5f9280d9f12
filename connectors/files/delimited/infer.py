"""Infers column types from sampled values: a type that every sampled value fits, else text."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.numbers import NUMERIC, NumberFormat
from headrace.connectors.files.delimited.parse import ChunkParser
from headrace.connectors.files.delimited.records import find_records
from headrace.connectors.source import Fitting
from headrace.ir.schema import DataType, Field, Schema

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
"""Sampled whole numbers below this become integer; closer to the limit of integer, unseen values might not fit."""


def infer_schema(samples: Sequence[bytes], dialect: Dialect, names: tuple[str, ...], *, complete: bool) -> Schema:
    """The fields of the columns. `complete`: the samples are the whole file. A column without values is text."""
    parser = ChunkParser(dialect, names, tuple(Field(name, "text") for name in names))
    frames = [
        parser.parse(sample, 1, find_records(sample, dialect.marks, final=True)).frame.select(names)
        for sample in samples
        if sample
    ]
    if not frames:
        return tuple(Field(name, "text") for name in names)
    sampled = pl.concat(frames)
    columns = [sampled.get_column(name) for name in names]
    if not dialect.numbers.plain:
        columns = [dialect.numbers.rewritten(column) for column in columns]
    return tuple(infer_field(column, complete=complete) for column in columns)


def widen(one: DataType, other: DataType) -> DataType:
    """The narrowest type that holds values of both."""
    if one == other:
        return one
    order: list[DataType] = ["smallint", "integer", "bigint", "double"]
    if one in order and other in order:
        return max(one, other, key=order.index)
    if {one, other} == {"date", "timestamp"}:
        return "timestamp"
    return "text"


def infer_field(values: pl.Series, *, complete: bool) -> Field:
    """The field for a column of text. `complete`: these are all values of the column."""
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


_READABLE: tuple[tuple[str, DataType], ...] = (
    (_BOOLEAN, "boolean"),
    (r"^[+-]?[0-9]{1,19}$", "bigint"),
    (r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$", "double"),
    *_PATTERNS[3:],
)
"""Patterns of values that can be computed with, including numbers with leading zeros."""


class TypeStatistics:
    """Counts which types all values of some text columns fit; frames may be added in any order."""

    def __init__(self, columns: Schema) -> None:
        self._names = [field.name for field in columns]
        self._given = dict.fromkeys(self._names, 0)
        self._fit = {(name, data_type): 0 for name in self._names for _, data_type in _READABLE}
        self._padded = dict.fromkeys(self._names, False)
        self._long = dict.fromkeys(self._names, False)
        self._large = dict.fromkeys(self._names, False)

    def add(self, frame: pl.DataFrame) -> None:
        """Adds the values of a frame."""
        for name in self._names:
            text = frame.get_column(name).drop_nulls().str.strip_chars()
            text = text.filter(text != "")
            self._given[name] += text.len()
            left = text
            for pattern, data_type in _READABLE:
                if not left.len():
                    break
                fits = left.str.contains(pattern)
                found = left.filter(fits)
                if not found.len():
                    continue
                left = left.filter(~fits)
                _, bad = cast_text(found, Field(name, data_type))
                self._fit[name, data_type] += found.len() - (0 if bad is None else int(bad.sum()))
                if data_type in ("bigint", "double"):
                    self._padded[name] |= bool(found.str.contains(r"^[+-]?0[0-9]").any())
                if data_type == "double":
                    self._long[name] |= bool(found.str.contains(_TOO_LONG).any())
                elif data_type == "bigint" and not self._large[name]:
                    sizes = found.cast(pl.Int64, strict=False)
                    self._large[name] = bool(((sizes > INTEGER_MAX) | (sizes < -INTEGER_MAX) | sizes.is_null()).any())

    @property
    def found(self) -> dict[str, Fitting]:
        """By column, the type that most values fit."""
        return {name: self._fitting(name) for name in self._names}

    def _fitting(self, name: str) -> Fitting:
        given = self._given[name]
        fit = {data_type: self._fit[name, data_type] for _, data_type in _READABLE}
        whole: DataType = "bigint" if self._large[name] else "integer"
        broken: DataType = "decimal" if self._long[name] else "double"
        numbers, days = fit["bigint"] + fit["double"], fit["date"] + fit["timestamp"]
        counts: list[tuple[DataType, int]] = [
            (broken if fit["double"] else whole, numbers),
            ("timestamp" if fit["timestamp"] else "date", days),
            ("boolean", fit["boolean"]),
            ("timestamptz", fit["timestamptz"]),
        ]
        data_type, count = max(counts, key=lambda each: each[1])
        if not count:
            return Fitting("text", 1.0)
        return Fitting(data_type, count / given, self._padded[name])


LOCAL_SHARE = 0.95
"""The share of values that must be numbers in the source's format; the others are error rows."""


class LocalNumbers:
    """Finds the columns that are numbers in a format of their own, from all values; frames may be added in any order.

    These are read as numbers by the source, because nothing after it knows how they were written. A column without
    points and separators is read the same in any format, so it is one like any other."""

    def __init__(self, numbers: NumberFormat, names: Sequence[str]) -> None:
        self._numbers = numbers
        self._types = TypeStatistics(tuple(Field(name, "text") for name in names))
        self._marked = dict.fromkeys(names, False)

    def add(self, frame: pl.DataFrame) -> None:
        """Adds the values of a frame."""
        texts = [frame.get_column(name) for name in self._marked]
        for text in texts:
            self._marked[text.name] = self._marked[text.name] or self._numbers.has_marks(text)
        self._types.add(pl.DataFrame([self._numbers.rewritten(text) for text in texts]))

    def schema(self, inferred: Schema) -> tuple[Schema, frozenset[str]]:
        """The inferred schema with the types of these columns, and the names of the other columns."""
        found = self._types.found
        types: dict[str, DataType] = {
            name: found[name].data_type if found[name].share >= LOCAL_SHARE else "text"
            for name, marked in self._marked.items()
            if marked
        }
        fields = tuple(Field(each.name, types.get(each.name, each.data_type)) for each in inferred)
        return fields, frozenset(each.name for each in fields if types.get(each.name, "text") not in NUMERIC)
