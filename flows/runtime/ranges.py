"""Rows in ranges of one column, each small enough to be ordered in memory; behind each other they are all in order."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

_SAMPLE_ROWS = 100_000


def ranges(rows: pl.LazyFrame, order: tuple[str, bool], count: int, many: int) -> Iterator[pl.LazyFrame]:
    """About `many` parts of the `count` rows: those of the first part come before those of the second in `order`, nulls
    in the last. Rows with equal values are in one part, so a value that most rows have is not divided."""
    name, descending = order
    value = pl.col(name)
    sample = rows.select(value).gather_every(max(1, count // _SAMPLE_ROWS)).collect().to_series().drop_nulls().sort()
    places = [sample.len() * part // many for part in range(1, many)]
    bounds = sample.gather(places).unique(maintain_order=True) if sample.len() else sample
    lowest = [None, *bounds]
    parts = [rows.filter(_between(value, low, high)) for low, high in zip(lowest, [*lowest[1:], None], strict=True)]
    yield from reversed(parts) if descending else parts
    yield rows.filter(value.is_null())


def _between(value: pl.Expr, low: object, high: object) -> pl.Expr:
    inside = value.is_not_null()
    if low is not None:
        inside &= value >= pl.lit(low)
    return inside if high is None else inside & (value < pl.lit(high))
