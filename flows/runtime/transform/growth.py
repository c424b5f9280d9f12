"""Batches that grow: what is made of a batch may be many times as large as what was read, and is held several times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from headrace.connectors.batch_size import BATCH_BYTES, rows_within
from headrace.connectors.source import Batch
from headrace.flows.runtime.input.partition_input import cut_batch_at

_LARGE, _TRIED = BATCH_BYTES // 4, 16


@dataclass(slots=True)
class Growth:
    """How large the rows of a partition become. Nothing is known of the first batch: if it is large, a sixteenth of it
    goes first."""

    rows: int = 0
    size: int = 0

    def made(self, batch: Batch, frames: Iterable[pl.DataFrame]) -> None:
        """That much was made of a batch."""
        if batch.rows and not batch.unread:
            self.rows, self.size = batch.rows, int(sum(each.estimated_size() for each in frames))

    def cut(self, batch: Batch) -> Iterator[Batch]:
        """The batch in pieces of which about BATCH_BYTES will be made; whole where that is twice as much at most."""
        left = batch
        while not left.unread and (rows := self._next(left)) < left.rows:
            first, left = cut_batch_at(left, [left.rows_done - left.rows + rows])
            yield first
        yield left

    def _next(self, batch: Batch) -> int:
        if not self.rows:
            return max(1, batch.rows // _TRIED) if batch.frame.estimated_size() > _LARGE else batch.rows
        if self.size * batch.rows <= 2 * BATCH_BYTES * self.rows:
            return batch.rows
        return rows_within(self.rows, self.size, batch.rows)
