"""Cutting a batch to the size a user asked for (`executionConfig.batchSize`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import polars as pl

from connectors.base import ROW, Batch


def cut(batch: Batch, first_row: int, size: int | None) -> Iterator[Batch]:
    """Batches of at most `size` source records; the batch itself when it is small enough, has nothing to load, or no
    size is given.

    `first_row` is the source row number of the partition's first row. Only the last piece keeps the short cut to its
    position: a resume behind another one finds its place by counting rows.
    """
    if size is None or batch.rows <= size or batch.unread:
        yield batch
        return
    start = first_row + batch.rows_done - batch.rows
    done = batch.rows_done - batch.rows
    for low in range(start, start + batch.rows, size):
        high = min(low + size, start + batch.rows)
        done += high - low
        inside = pl.col(ROW).is_between(low, high - 1)
        yield Batch(
            frame=batch.frame.filter(inside),
            rows=high - low,
            rows_done=done,
            rejects=batch.rejects.filter(pl.col("row").is_between(low, high - 1)),
            position=batch.position if high == start + batch.rows else None,
        )


def cut_at(batch: Batch, marks: Iterable[int]) -> Iterator[Batch]:
    """The batch in pieces that end where the partition has so many rows done. As above, only the last keeps the short
    cut to its position."""
    before = batch.rows_done - batch.rows
    ends = sorted({mark for mark in marks if before < mark < batch.rows_done})
    if not ends:
        yield batch
        return
    numbers = pl.concat([batch.frame.get_column(ROW), batch.rejects.get_column("row").unique().alias(ROW)])
    # What was rejected stands between the others by its number; without rejects the rows may be in any order.
    numbers = numbers.sort() if batch.rejects.height else numbers
    for start, end in pairwise([before, *ends, batch.rows_done]):
        inside = numbers[start - before : end - before].implode()
        yield Batch(
            frame=batch.frame.filter(pl.col(ROW).is_in(inside)),
            rows=end - start,
            rows_done=end,
            rejects=batch.rejects.filter(pl.col("row").is_in(inside)),
            position=batch.position if end == batch.rows_done else None,
            gone=batch.gone if start == before else 0,
            unread=batch.unread,
        )
