"""The memory that rows take, known before they are read. It depends on nothing but the rows, so that every attempt
finds the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from headrace.flows.compile.shuffle import row_bytes

_PER_TEXT = 16
"""Bytes of a text in memory beside its characters."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of several rows: how many they are, and the bytes of their texts, binary values and lists."""

    rows: int
    values: int

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Size:
        """The size of a frame."""
        return cls(frame.height, sum(map(_value_bytes, frame.get_columns())))

    @classmethod
    def total(cls, sizes: Iterable[Size]) -> Size:
        """The size of all together."""
        all_of_them = [*sizes]
        return cls(sum(each.rows for each in all_of_them), sum(each.values for each in all_of_them))

    def memory(self, schema: pl.Schema) -> int:
        """Bytes of these rows in memory, about."""
        return self.rows * row_bytes(schema, _PER_TEXT) + self.values


def _value_bytes(values: pl.Series) -> int:
    dtype = values.dtype
    if dtype == pl.String:
        return int(values.str.len_bytes().sum())
    if dtype == pl.Binary:
        return int(values.bin.size().sum())
    if isinstance(dtype, pl.Struct):
        return sum(map(_value_bytes, values.struct.unnest().get_columns()))
    if isinstance(dtype, pl.Array):
        return _value_bytes(values.arr.to_list())
    if isinstance(dtype, pl.List):
        inner = values.list.explode(keep_nulls=False, empty_as_null=False)
        return inner.len() * row_bytes(pl.Schema({"v": dtype.inner}), _PER_TEXT) + _value_bytes(inner)
    return 0
