"""The batches of one partition, from a source or from gathered rows, cut to `executionConfig.batchSize`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from time import monotonic
from typing import Protocol

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import PASSED, ROW, Batch, Partition, Position, Restart, Source
from headrace.flows.compile import Stage
from headrace.flows.compile.push_down.projection import filled_up
from headrace.flows.runtime.errors import RunFailed


def cut_batch(batch: Batch, first_row: int, size: int | None) -> Iterator[Batch]:
    """Batches of at most `size` source records; the batch itself when it is small enough, has nothing to load, or no
    size is given.

    `first_row` is the source row number of the partition's first row. Only the last piece keeps the short cut to its
    position: a resume after another batch finds its place by counting rows.
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
            cells=batch.cells,
            locate=batch.locate,
            dead=None if batch.dead is None else batch.dead.filter(pl.col("row").is_between(low, high - 1)),
        )


def cut_batch_at(batch: Batch, marks: Iterable[int]) -> Iterator[Batch]:
    """The batch in pieces that end where the partition has so many rows done. As above, only the last keeps the short
    cut to its position."""
    before = batch.rows_done - batch.rows
    ends = sorted({mark for mark in marks if before < mark < batch.rows_done})
    if not ends:
        yield batch
        return
    numbers = pl.concat([batch.frame.get_column(ROW), batch.rejects.get_column("row").unique().alias(ROW)])
    # Rejected rows are placed among the others by their numbers; without rejects the rows may be in any order.
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
            cells=batch.cells,
            locate=batch.locate,
            dead=None if batch.dead is None else batch.dead.filter(pl.col("row").is_in(inside)),
        )


class PartitionInput(Protocol):
    """The batches of one partition."""

    def read(self, rows_done: int, position: Position | None) -> Iterator[Batch]:
        """Those after the first `rows_done` rows, in order. Raises SourceError or RunFailed."""

    @property
    def rows(self) -> int | None:
        """How many rows the partition has, at the latest once it has been read; None: as many as come."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """`max_rows` and `max_seconds` end a partition with a cursor early, after the batch that reaches one of them: the
    next run of the pipeline continues there. `ended_early` is called then, whether more rows would have come or not."""

    max_rows: int | None = None
    max_seconds: int | None = None
    ended_early: Callable[[], object] = lambda: None

    def reached(self, partition: Partition, rows: int, seconds: float) -> bool:
        """Whether so many rows, read in so many seconds, are enough of the partition."""
        if partition.cursor is None or partition.counted:
            return False
        return (self.max_rows is not None and rows >= self.max_rows) or (
            self.max_seconds is not None and seconds >= self.max_seconds
        )


NO_LIMITS = ReadLimits()


@dataclass(frozen=True, slots=True)
class SourceInput:
    """A partition of the source that a stage reads. `batch_rows` bounds a batch, if configured."""

    source: Source
    stage: Stage
    partition: Partition
    batch_rows: int | None = None
    restart: Restart = Restart.EXACT
    limits: ReadLimits = NO_LIMITS

    def read(self, rows_done: int, position: Position | None) -> Iterator[Batch]:
        """Reads the source. Columns that it leaves out are there without values."""
        stage = self.stage
        wanted = replace(stage.wanted, batch_rows=self.batch_rows)
        done, began = rows_done, monotonic()
        batches = self.source.read(self.partition, stage.schema, wanted=wanted, rows_done=rows_done, position=position)
        for batch in batches:
            batch.frame = filled_up(batch.frame, stage.unread)
            done = batch.rows_done
            if self.restart is Restart.EXACT:
                yield from cut_batch(batch, self.partition.first_row, self.batch_rows)
            elif batch.position is None and batch.rows:
                raise RunFailed(
                    f"The connector '{stage.root_node}' reads through gave rows without the position after them, so "
                    "that a retry could load them twice. Nothing of this batch was loaded. That is a fault of the "
                    "connector."
                )
            else:  # a piece of a batch has no position to continue from
                yield batch
            if self.limits.reached(self.partition, done, monotonic() - began):
                self.limits.ended_early()
                break
        if not self.partition.counted:
            yield Batch(_no_rows(stage), 0, done, last=True)

    @property
    def rows(self) -> int | None:
        """The planned number of rows, if it is not an estimate."""
        return self.partition.rows if self.partition.counted else None


def _no_rows(stage: Stage) -> pl.DataFrame:
    """A frame as the stage reads it, without rows."""
    if stage.passed is not None:
        return pl.DataFrame(schema={PASSED: pl.Binary, ROW: pl.Int64})
    return pl.DataFrame(schema={**{each.name: polars_dtype(each) for each in stage.schema}, ROW: pl.Int64})
