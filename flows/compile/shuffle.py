"""Shuffles: ops and joins that need all rows with equal keys together, so that a stage ends and another begins.

Rows are sent into buckets by the hash of their keys, so that rows with equal keys are in one bucket. Each bucket is
then evaluated once; without keys there is one bucket for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import polars as pl

from headrace.connectors.source import ROW

BUCKET_BYTES = 160 * 1024 * 1024
"""Target size of the rows of a bucket in memory; polars needs a multiple of it to evaluate them. Buckets are counted
before the widths of texts are known, so a bucket that turns out to be larger is evaluated in pieces."""
MAX_BUCKETS = 256
_ONE_BUCKET_ROWS = 100_000
"""Up to this many rows all sides together use one bucket."""


@dataclass(frozen=True, slots=True)
class ShuffleSide:
    """One input: `name` distinguishes the inputs of a join, `schema` are ROW and the columns that are sent. Rows with
    equal `keys` go to the same bucket; the keys of two sides have the same types."""

    name: str
    keys: tuple[pl.Expr, ...]
    schema: pl.Schema

    @property
    def layout(self) -> str:
        """A short hash of `schema`: rows that were sent with another one cannot be used."""
        columns = ", ".join(f"{name} {dtype}" for name, dtype in self.schema.items())
        return sha256(columns.encode()).hexdigest()[:8]

    def bucket(self, buckets: int) -> pl.Expr:
        """The bucket of each row, from 0."""
        return self._hash() % buckets if buckets > 1 and self.keys else pl.lit(0, pl.UInt64)

    def piece(self, buckets: int, pieces: int) -> pl.Expr:
        """The piece of each row of a bucket, from 0. Rows with equal keys are in the same piece."""
        return self._hash() // buckets % pieces

    def _hash(self) -> pl.Expr:
        names = [f"k{index}" for index in range(len(self.keys))]
        return pl.struct(key.alias(name) for key, name in zip(self.keys, names, strict=True)).hash(0)


@dataclass(frozen=True, slots=True)
class Shuffle:
    """`evaluate` makes the output rows of one bucket from its input rows, one frame per side; their order depends on
    nothing but these rows. `origins` are the input columns of each output column.

    `keeps_rows`: the output rows are some of the input rows with their numbers, and the others are skipped. Otherwise
    the output rows are new, without ROW, and `apply` numbers them.
    """

    sides: tuple[ShuffleSide, ...]
    evaluate: Callable[[Sequence[pl.LazyFrame]], pl.LazyFrame]
    origins: Mapping[str, tuple[str, ...]]
    keeps_rows: bool = False
    order: tuple[str, bool] | None = None
    """The first column of the output order (nulls last) and whether it is descending: the rows may then be evaluated
    range by range."""

    made: pl.Schema | None = None
    """The output columns without ROW, where they are known without evaluating anything."""
    reads: frozenset[str] | None = None
    """The columns of its only side that it reads, where they are known."""
    parents: Callable[[Sequence[pl.LazyFrame]], pl.LazyFrame] | None = None
    """For new rows in the order of `evaluate`: the number of the row of each side that a row is made of
    (`parent(side)`), null for none. None where many rows become one. Needs only keys and ROW."""

    @property
    def spreads(self) -> bool:
        """Whether there are keys, so that rows can be spread over buckets."""
        return bool(self.sides[0].keys)

    def apply(self, frames: Sequence[pl.LazyFrame], bucket: int = 0, buckets: int = 1, before: int = 0) -> pl.LazyFrame:
        """The output rows of a bucket, or of a piece of it, with ROW. Numbers of new rows are unique over all buckets;
        `before` are the rows of the pieces before this one."""
        made = self.evaluate(frames)
        return made if self.keeps_rows else _numbered(made, bucket, buckets, before)

    def traced(self, frames: Sequence[pl.LazyFrame], bucket: int, buckets: int, before: int = 0) -> pl.LazyFrame:
        """The numbers of the output rows of `apply` with those of their input rows; only where there are `parents`."""
        assert self.parents is not None
        return _numbered(self.parents(frames), bucket, buckets, before)


def parent(side: int) -> str:
    """The name of the column with the row numbers of a side."""
    return f"side {side}"


def _numbered(made: pl.LazyFrame, bucket: int, buckets: int, before: int) -> pl.LazyFrame:
    # not pl.int_range(pl.len()), which would need all of them in memory
    numbers = (pl.col(ROW).cast(pl.Int64) + before) * buckets + bucket + 1
    return made.with_row_index(ROW).select(pl.exclude(ROW), numbers.alias(ROW))


def bucket_count(shuffle: Shuffle, rows: Sequence[int], at_once: int) -> int:
    """The number of buckets for `rows` per side: about BUCKET_BYTES in each, and at least `at_once` of them."""
    if not shuffle.spreads or sum(rows) <= _ONE_BUCKET_ROWS:
        return 1
    size = sum(count * row_bytes(side.schema) for side, count in zip(shuffle.sides, rows, strict=True))
    return min(max(at_once, -(-size // BUCKET_BYTES)), MAX_BUCKETS)


def row_bytes(schema: pl.Schema, per_text: int = 48) -> int:
    """About how many bytes a row takes in memory, with so many for each text and each value of nested types."""
    return sum(_BYTES.get(dtype.base_type(), per_text) for dtype in schema.dtypes())


_BYTES: dict[type[pl.DataType], int] = {
    pl.Boolean: 1,
    pl.Int8: 1,
    pl.Int16: 2,
    pl.Int32: 4,
    pl.Date: 4,
    pl.Decimal: 16,
    **dict.fromkeys((pl.Int64, pl.UInt64, pl.Float64, pl.Datetime, pl.Time, pl.Duration), 8),
}
