"""What needs rows together before it can say anything: the ops and joins at which a stage ends and another begins.

The rows are sent into buckets by the hash of their keys, so that rows with equal keys meet in one. Each bucket is then
evaluated once, by itself; with no keys there is one bucket for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import polars as pl

from connectors.base import ROW

BUCKET_BYTES = 96 * 1024 * 1024
"""About so much of a bucket is in memory while it is evaluated, in the plainest form; polars needs some times that."""
MAX_BUCKETS = 256
_ONE_BUCKET_ROWS = 100_000
"""So few rows are not worth spreading."""


@dataclass(frozen=True, slots=True)
class Side:
    """Rows that are sent: `name` tells the inputs of a join apart, `schema` has ROW and the columns that are of use,
    the others are not sent. Rows whose `keys` are equal come together; the keys of two sides have the same types."""

    name: str
    keys: tuple[pl.Expr, ...]
    schema: pl.Schema

    @property
    def layout(self) -> str:
        """A short name for what is sent: rows that were sent in another layout are of no use."""
        told = ", ".join(f"{name} {dtype}" for name, dtype in self.schema.items())
        return sha256(told.encode()).hexdigest()[:8]

    def bucket(self, buckets: int) -> pl.Expr:
        """The bucket of each row, from 0."""
        if buckets == 1 or not self.keys:
            return pl.lit(0, pl.UInt64)
        names = [f"k{index}" for index in range(len(self.keys))]
        return pl.struct(key.alias(name) for key, name in zip(self.keys, names, strict=True)).hash(0) % buckets


@dataclass(frozen=True, slots=True)
class Gather:
    """`evaluate` makes the rows of one bucket from those that were sent, one frame per side, in an order that depends
    on nothing but these rows. `origins` says which incoming columns each column behind it comes from.

    `keeps_rows`: what comes out is some of the rows that went in, under their own numbers, and the others are skipped.
    Otherwise the rows are new, without ROW, and numbered by `apply`.
    """

    sides: tuple[Side, ...]
    evaluate: Callable[[Sequence[pl.LazyFrame]], pl.LazyFrame]
    origins: Mapping[str, tuple[str, ...]]
    keeps_rows: bool = False
    order: tuple[str, bool] | None = None
    """The column that the rows come out ordered by before all others, nulls last, and whether from the largest down:
    they may then be evaluated range by range."""

    @property
    def spreads(self) -> bool:
        """Whether there is anything to tell buckets by."""
        return bool(self.sides[0].keys)

    def apply(self, frames: Sequence[pl.LazyFrame], bucket: int = 0, buckets: int = 1) -> pl.LazyFrame:
        """The rows of a bucket, numbered: new ones so that no two buckets have a number in common."""
        made = self.evaluate(frames)
        if self.keeps_rows:
            return made
        numbers = pl.int_range(pl.len(), dtype=pl.Int64) * buckets + bucket + 1
        return made.with_columns(numbers.alias(ROW))


def bucket_count(gather: Gather, rows: Sequence[int], at_once: int) -> int:
    """How many buckets for so many rows per side: few enough bytes in each, and work for everybody (`at_once`)."""
    if not gather.spreads or sum(rows) <= _ONE_BUCKET_ROWS:
        return 1
    size = sum(count * row_bytes(side.schema) for side, count in zip(gather.sides, rows, strict=True))
    return min(max(at_once, -(-size // BUCKET_BYTES)), MAX_BUCKETS)


def row_bytes(schema: pl.Schema) -> int:
    """About so many bytes has a row in memory."""
    return sum(_BYTES.get(dtype.base_type(), 48) for dtype in schema.dtypes())


_BYTES: dict[type[pl.DataType], int] = {
    pl.Boolean: 1,
    pl.Int8: 1,
    pl.Int16: 2,
    pl.Int32: 4,
    pl.Date: 4,
    pl.Decimal: 16,
    **dict.fromkeys((pl.Int64, pl.UInt64, pl.Float64, pl.Datetime, pl.Time, pl.Duration), 8),
}
