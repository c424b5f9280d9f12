"""Columns of JSON objects decoded straight to their types, where every value is of the kind that its type expects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.cells import SEPARATOR
from headrace.connectors.files.jsontext.rows import FAULTS, Decode, Texts, nameable, struct
from headrace.ir.schema import Field, Schema

_KINDS: Mapping[str, Any] = {"smallint": int, "integer": int, "bigint": int, "double": float, "boolean": bool}
_AS_WRITTEN = ("json", "decimal")
"""Data types whose values are needed as the file has them."""
_DTYPES: Mapping[Any, Any] = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean, str: pl.String}
_NEGATIVE_ZERO = re.compile(rb"-0[,}\]\s]")
"""A whole number, whose sign is lost if it is read as a double."""
Values = pl.Series | bytes
"""A column: values of a type, or as written with SEPARATOR between them."""


def _kind(field: Field, *, texts_only: bool) -> Any:
    """What the values of the column are in Python; None if they are needed as written."""
    if field.data_type in _AS_WRITTEN:
        return None
    kind = _KINDS.get(field.data_type, str)
    return None if texts_only and kind is not str else kind


class TypedColumns:
    """Decodes blocks in which all records are objects with values of the expected kinds. A column with another value (a
    number in a text, a text in a boolean, a number out of range) is read as written from then on."""

    def __init__(self, schema: Schema, keys: Sequence[str], *, texts_only: bool) -> None:
        """`texts_only`: numbers and booleans are needed as written, too."""
        self._schema, self._keys = schema, keys
        kinds = [_kind(field, texts_only=texts_only) for field in schema]
        self._kinds = kinds if nameable(keys) else [None] * len(kinds)
        self._prepare()

    def columns(self, block: Block) -> tuple[int, list[Values]] | None:
        """The number of records, and their columns; None if the block has to be read as written."""
        if not self._some:
            return None
        parts: list[list[Any]] = [[] for _ in self._schema]
        rows = 0
        for _, found in self._decode.attempts(block):
            if found is None:
                return None
            if not found:
                continue
            rows += len(found)
            for place, getter in enumerate(self._getters):
                values = self._values(place, list(map(getter, found)))
                if values is None:
                    self._as_written(place)
                    return None
                parts[place].append(values)
        columns: list[Values] = []
        for place, part in enumerate(parts if rows else ()):
            column = SEPARATOR.join(part) if self._kinds[place] is None else self._typed(place, part, block)
            if column is None:
                self._as_written(place)
                return None
            columns.append(column)
        return (rows, columns) if rows else None

    def learn(self, texts: Texts) -> None:
        """Finds the columns because of which a block was not decoded to types, from its values as written."""
        kinds = [self._fitting(kind, values) for kind, values in zip(self._kinds, texts.columns, strict=True)]
        if kinds != self._kinds:
            self._kinds = kinds
            self._prepare()

    def _fitting(self, kind: Any, values: bytes) -> Any:
        """The kind; None if not all of these values are of it."""
        if kind is None or not values:
            return kind
        try:
            msgspec.json.decode(b"[" + values.replace(SEPARATOR, b",") + b"]", type=list[kind | None])
        except FAULTS:
            return None
        return kind

    def _prepare(self) -> None:
        self._some = any(kind is not None for kind in self._kinds)
        if self._some:
            kind = struct(self._keys, self._kinds)
            self._decode = Decode[Any](kind)
            self._getters = [attrgetter(name) for name in kind.__struct_fields__]

    def _as_written(self, place: int) -> None:
        """From now on the column is read as written."""
        self._kinds[place] = None
        self._prepare()

    def _values(self, place: int, found: list[Any]) -> Any:
        kind = self._kinds[place]
        if kind is None:
            return SEPARATOR.join(found)
        try:
            return pl.Series(self._schema[place].name, found, dtype=_DTYPES[kind])
        except (TypeError, OverflowError, PolarsError):
            return None  # an integer beyond 64 bits

    def _typed(self, place: int, parts: list[pl.Series], block: Block) -> pl.Series | None:
        """The column in its type; None if a value does not fit, or may be written otherwise."""
        values = pl.concat(parts, rechunk=True)
        kind = self._kinds[place]
        if kind is int:
            narrow = values.cast(polars_dtype(self._schema[place]), strict=False)
            return narrow if narrow.null_count() == values.null_count() else None
        if kind is float and (values == 0).any() and _NEGATIVE_ZERO.search(block.text):
            return None
        return values
